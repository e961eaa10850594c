#include "view/colour_scale.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace convscope {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

TEST(ColourScale, PutsTheEndsOfTheRangeAtTheEndsOfTheBar) {
  for (const ScaleKind kind : {ScaleKind::linear, ScaleKind::log, ScaleKind::symlog}) {
    const ColourScale scale{kind, {1e-4, 0.3}};
    EXPECT_DOUBLE_EQ(scale.position(1e-4), 0.0);
    EXPECT_DOUBLE_EQ(scale.position(0.3), 1.0);
  }
}

TEST(ColourScale, LogPutsEachDecadeAtEqualDistance) {
  const ColourScale scale{ScaleKind::log, {1e-4, 1.0}};
  // Logarithms are rounded; a few units of double's rounding.
  EXPECT_NEAR(scale.position(1e-3), 0.25, 1e-14);
  EXPECT_NEAR(scale.position(1e-1), 0.75, 1e-14);
}

TEST(ColourScale, SymlogIsOddAndMonotone) {
  const ColourScale scale{ScaleKind::symlog, {-2.0, 2.0}};
  EXPECT_DOUBLE_EQ(scale.position(0.0), 0.5);
  double before = -1.0;
  for (double value = -2.0; value <= 2.0; value += 0.01) {
    EXPECT_NEAR(scale.position(value) - 0.5, 0.5 - scale.position(-value), 1e-14);
    EXPECT_GT(scale.position(value), before);
    before = scale.position(value);
  }
}

TEST(ColourScale, ValueAtIsTheInverseOfPosition) {
  for (const ScaleKind kind : {ScaleKind::linear, ScaleKind::log, ScaleKind::symlog}) {
    const ColourScale scale{kind, {0.002, 5.0}};
    for (double position = 0.0; position <= 1.0; position += 0.05) {
      // A dozen rounded operations lie between.
      EXPECT_NEAR(scale.position(scale.value_at(position)), position, 1e-12);
    }
  }
}

TEST(ColourScale, KeepsNanAndPutsZeroBelowALogScale) {
  const ColourScale scale{ScaleKind::log, {1e-4, 1.0}};
  EXPECT_TRUE(std::isnan(scale.position(std::nan(""))));
  EXPECT_EQ(scale.position(0.0), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(scale.position(-1.0), -std::numeric_limits<double>::infinity());
}

TEST(QuantileRange, FindsTheQuantilesOfAllParts) {
  std::vector<float> low(500);
  std::vector<float> high(501);
  std::iota(low.begin(), low.end(), 0.0F);
  std::iota(high.begin(), high.end(), 500.0F);
  std::shuffle(low.begin(), low.end(), std::mt19937(1));
  const std::vector<std::span<const float>> parts{high, low};
  EXPECT_EQ(quantile_range(parts, 1.0), (Range{0.0, 1000.0}));
  EXPECT_EQ(quantile_range(parts, 0.99), (Range{10.0, 990.0}));
}

TEST(QuantileRange, IgnoresWhatIsNotFinite) {
  const std::vector<float> values{nan_value, 3.0F, std::numeric_limits<float>::infinity(), 1.0F, nan_value, 2.0F};
  const std::vector<std::span<const float>> parts{values};
  EXPECT_EQ(quantile_range(parts, 1.0), (Range{1.0, 3.0}));
}

TEST(QuantileRange, OfNothingIsZero) {
  EXPECT_EQ(quantile_range({}, 0.99), (Range{0.0, 0.0}));
  const std::vector<float> masked(100, nan_value);
  const std::vector<std::span<const float>> parts{masked};
  EXPECT_EQ(quantile_range(parts, 0.99), (Range{0.0, 0.0}));
}

TEST(QuantileRange, SamplesEveryColumnOfALargeTile) {
  // One column of 256 holds ones. A stride that divides 256 would see all or nothing of it.
  std::vector<float> values(std::size_t{256} * 2048, 0.0F);
  for (std::size_t i = 77; i < values.size(); i += 256) values[i] = 1.0F;
  const std::vector<std::span<const float>> parts{values};
  EXPECT_EQ(quantile_range(parts, 0.999).hi, 1.0);
  EXPECT_EQ(quantile_range(parts, 0.99).hi, 0.0);
}

TEST(ReadableRange, OfLogIsWholeDecadesAtMostFour) {
  const Range wide = readable_range({1e-12, 0.83}, ScaleKind::log);
  EXPECT_DOUBLE_EQ(wide.lo, 1e-4);
  EXPECT_DOUBLE_EQ(wide.hi, 1.0);
  const Range narrow = readable_range({0.02, 0.03}, ScaleKind::log);
  EXPECT_DOUBLE_EQ(narrow.lo, 0.01);
  EXPECT_DOUBLE_EQ(narrow.hi, 0.1);
}

TEST(ReadableRange, OfLogSurvivesZerosAndNegatives) {
  EXPECT_GT(readable_range({0.0, 0.5}, ScaleKind::log).lo, 0.0);
  EXPECT_GT(readable_range({-3.0, -1.0}, ScaleKind::log).lo, 0.0);
  EXPECT_GT(readable_range({0.0, 0.0}, ScaleKind::log).lo, 0.0);
}

TEST(ReadableRange, CoversTheQuantilesWithTwoDigits) {
  const Range range = readable_range({-3.14159, 27.1828}, ScaleKind::linear);
  EXPECT_DOUBLE_EQ(range.lo, -3.2);
  EXPECT_DOUBLE_EQ(range.hi, 28.0);
}

TEST(ReadableRange, IsNeverEmpty) {
  for (const ScaleKind kind : {ScaleKind::linear, ScaleKind::log, ScaleKind::symlog}) {
    for (const double value : {-2.0, 0.0, 0.5, 1.0}) {
      const Range range = readable_range({value, value}, kind);
      EXPECT_LT(range.lo, range.hi) << name_of(kind) << " of " << value;
    }
  }
}

TEST(SymmetricRange, CoversBothSides) {
  EXPECT_EQ(symmetric_range({-0.3, 0.1}), (Range{-0.3, 0.3}));
  const Range zeros = symmetric_range({0.0, 0.0});
  EXPECT_LT(zeros.lo, zeros.hi);
}

}  // namespace
}  // namespace convscope
