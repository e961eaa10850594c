/// \file
/// Element types of tensor files and their conversion to float and double.
#pragma once

#include "core/types.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace convbasis {

enum class DType : std::uint8_t { f16, bf16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64, boolean };

std::size_t bytes_of(DType type);
std::string_view name_of(DType type);  ///< "f16", "bf16", ...
/// f16, bf16, f32, f64: what Q, K and V may be.
bool is_floating(DType type);

/// Converts `raw` (little-endian elements of `type`, any alignment) to numbers. raw.size() == bytes_of(type) * out.size().
template <Real T>
void convert(DType type, std::span<const std::byte> raw, std::span<T> out);

}  // namespace convbasis
