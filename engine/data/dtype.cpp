#include "data/dtype.h"

#include "core/errors.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>

namespace convbasis {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are copied as they lie in the file");

struct Traits {
  std::size_t bytes;
  std::string_view name;
};

constexpr std::array<Traits, 13> traits{{{2, "f16"},
                                         {2, "bf16"},
                                         {4, "f32"},
                                         {8, "f64"},
                                         {1, "i8"},
                                         {2, "i16"},
                                         {4, "i32"},
                                         {8, "i64"},
                                         {1, "u8"},
                                         {2, "u16"},
                                         {4, "u32"},
                                         {8, "u64"},
                                         {1, "bool"}}};

/// IEEE half precision: 1 sign, 5 exponent, 10 fraction bits.
float from_f16(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16U;
  const std::uint32_t exponent = (half >> 10U) & 0x1FU;
  const std::uint32_t fraction = half & 0x3FFU;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, exact in float
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  const std::uint32_t wide_exponent = exponent == 0x1F ? 0xFFU : exponent + (127 - 15);  // infinity and NaN stay what they are
  return std::bit_cast<float>(sign | wide_exponent << 23U | fraction << 13U);
}

/// bfloat16 is the upper half of a float.
float from_bf16(std::uint16_t upper) { return std::bit_cast<float>(static_cast<std::uint32_t>(upper) << 16U); }

template <class Stored, Real T, class Decode>
void convert_each(std::span<const std::byte> raw, std::span<T> out, Decode decode) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, raw.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = static_cast<T>(decode(stored));
  }
}

template <class Stored, Real T>
void convert_each(std::span<const std::byte> raw, std::span<T> out) {
  convert_each<Stored>(raw, out, [](Stored stored) { return stored; });
}

}  // namespace

std::size_t bytes_of(DType type) { return traits[static_cast<std::size_t>(type)].bytes; }

std::string_view name_of(DType type) { return traits[static_cast<std::size_t>(type)].name; }

bool is_floating(DType type) { return type == DType::f16 || type == DType::bf16 || type == DType::f32 || type == DType::f64; }

template <Real T>
void convert(DType type, std::span<const std::byte> raw, std::span<T> out) {
  if (raw.size() / bytes_of(type) != out.size() || raw.size() % bytes_of(type) != 0) {
    throw InvalidArgument(fmt::format("{} bytes of {} are not {} elements", raw.size(), name_of(type), out.size()));
  }
  switch (type) {
    case DType::f16:
      return convert_each<std::uint16_t>(raw, out, from_f16);
    case DType::bf16:
      return convert_each<std::uint16_t>(raw, out, from_bf16);
    case DType::f32:
      return convert_each<float>(raw, out);
    case DType::f64:
      return convert_each<double>(raw, out);
    case DType::i8:
      return convert_each<std::int8_t>(raw, out);
    case DType::i16:
      return convert_each<std::int16_t>(raw, out);
    case DType::i32:
      return convert_each<std::int32_t>(raw, out);
    case DType::i64:
      return convert_each<std::int64_t>(raw, out);
    case DType::u8:
      return convert_each<std::uint8_t>(raw, out);
    case DType::u16:
      return convert_each<std::uint16_t>(raw, out);
    case DType::u32:
      return convert_each<std::uint32_t>(raw, out);
    case DType::u64:
      return convert_each<std::uint64_t>(raw, out);
    case DType::boolean:
      return convert_each<std::uint8_t>(raw, out, [](std::uint8_t stored) { return stored != 0 ? 1 : 0; });
  }
}

template void convert(DType, std::span<const std::byte>, std::span<float>);
template void convert(DType, std::span<const std::byte>, std::span<double>);

}  // namespace convbasis
