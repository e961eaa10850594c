// Element types: every 16-bit pattern, and the numbers of the other types, at any alignment.
#include "data/dtype.h"

#include "core/errors.h"
#include "support/tensor_bytes.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace convbasis {
namespace {

/// Converts with the bytes moved off their natural alignment.
template <Real T, class Stored>
std::vector<T> converted(DType type, const std::vector<Stored>& numbers) {
  const std::string shifted = "x" + test::bytes_of_numbers(numbers);
  std::vector<T> result(numbers.size());
  convert<T>(type, std::as_bytes(std::span(shifted)).subspan(1), result);
  return result;
}

/// The value of a floating pattern by its definition: (-1)^s 2^(e - bias) (1 + f / 2^bits), subnormal at e = 0, and so on.
double by_definition(std::uint32_t pattern, int exponent_bits, int fraction_bits) {
  const double sign = pattern >> (exponent_bits + fraction_bits) != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>(pattern >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = static_cast<int>(pattern) & ((1 << fraction_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

template <Real T>
void expect_all_patterns(DType type, int exponent_bits, int fraction_bits) {
  std::vector<std::uint16_t> patterns;
  for (std::uint32_t pattern = 0; pattern < 0x10000; ++pattern) patterns.push_back(static_cast<std::uint16_t>(pattern));
  const std::vector<T> numbers = converted<T>(type, patterns);
  for (std::uint32_t pattern = 0; pattern < 0x10000; ++pattern) {
    const double expected = by_definition(pattern, exponent_bits, fraction_bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(numbers[pattern])) << pattern;
    } else {
      ASSERT_EQ(static_cast<double>(numbers[pattern]), expected) << pattern;
      ASSERT_EQ(std::signbit(numbers[pattern]), std::signbit(expected)) << pattern;
    }
  }
}

TEST(DType, EveryHalfPrecisionPattern) {
  expect_all_patterns<float>(DType::f16, 5, 10);
  expect_all_patterns<double>(DType::f16, 5, 10);
}

TEST(DType, EveryBfloatPattern) {
  expect_all_patterns<float>(DType::bf16, 8, 7);
  expect_all_patterns<double>(DType::bf16, 8, 7);
}

template <class Stored>
void numbers_convert(DType type) {
  const auto numbers = *rc::gen::arbitrary<std::vector<Stored>>();
  const std::vector<float> singles = converted<float>(type, numbers);
  const std::vector<double> doubles = converted<double>(type, numbers);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    RC_ASSERT(singles[i] == static_cast<float>(numbers[i]));
    RC_ASSERT(doubles[i] == static_cast<double>(numbers[i]));
  }
}

RC_GTEST_PROP(DTypeProperty, NumbersConvertLikeTheLanguageDoes, ()) {
  numbers_convert<float>(DType::f32);
  numbers_convert<double>(DType::f64);
  numbers_convert<std::int8_t>(DType::i8);
  numbers_convert<std::int16_t>(DType::i16);
  numbers_convert<std::int32_t>(DType::i32);
  numbers_convert<std::int64_t>(DType::i64);
  numbers_convert<std::uint8_t>(DType::u8);
  numbers_convert<std::uint16_t>(DType::u16);
  numbers_convert<std::uint32_t>(DType::u32);
  numbers_convert<std::uint64_t>(DType::u64);
}

TEST(DType, TruthValues) {
  EXPECT_EQ(converted<float>(DType::boolean, std::vector<std::uint8_t>{0, 1, 7}), (std::vector<float>{0, 1, 1}));
}

TEST(DType, NamesAndSizes) {
  EXPECT_EQ(bytes_of(DType::bf16), 2U);
  EXPECT_EQ(bytes_of(DType::boolean), 1U);
  EXPECT_EQ(bytes_of(DType::f64), 8U);
  EXPECT_EQ(name_of(DType::f16), "f16");
  EXPECT_EQ(name_of(DType::u64), "u64");
  EXPECT_TRUE(is_floating(DType::bf16));
  EXPECT_FALSE(is_floating(DType::i8));
}

TEST(DType, SizesMustFit) {
  std::vector<float> out(2);
  EXPECT_THROW(convert<float>(DType::f32, std::vector<std::byte>(7), out), InvalidArgument);
  EXPECT_THROW(convert<float>(DType::f32, std::vector<std::byte>(9), out), InvalidArgument);
}

}  // namespace
}  // namespace convbasis
