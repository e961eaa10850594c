#include "view/ticks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace convscope {
namespace {

using testing::ElementsAre;

std::vector<std::string> labels(const std::vector<Tick>& ticks) {
  std::vector<std::string> texts;
  for (const Tick& tick : ticks) {
    if (!tick.text.empty()) texts.push_back(tick.text + (tick.exponent.empty() ? "" : "^" + tick.exponent));
  }
  return texts;
}

TEST(LinearTicks, StandAtRoundNumbersWithOneNumberOfDecimals) {
  EXPECT_THAT(labels(linear_ticks({-0.1, 0.1}, 5)), ElementsAre("−0.10", "−0.05", "0.00", "0.05", "0.10"));
  EXPECT_THAT(labels(linear_ticks({0.0, 1.0}, 6)), ElementsAre("0.0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_THAT(labels(linear_ticks({-1e-6, 1e-6}, 5)), ElementsAre("−1.0e−6", "−5.0e−7", "0", "5.0e−7", "1.0e−6"));
}

TEST(LinearTicks, AreInTheRangeAndNeverMoreThanAsked) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-9.0, 9.0);
  std::uniform_real_distribution<double> place(-1.0, 1.0);
  for (int i = 0; i < 1000; ++i) {
    const double span = std::pow(10.0, exponent(random));
    const double lo = place(random) * span;
    for (const int count : {2, 3, 5, 9}) {
      const auto ticks = linear_ticks({lo, lo + span}, count);
      ASSERT_FALSE(ticks.empty()) << lo << " + " << span;
      EXPECT_LE(static_cast<int>(ticks.size()), count);
      // A tick is a rounded multiple of its step, so it may pass the end by that rounding.
      EXPECT_GE(ticks.front().value, lo - 1e-6 * span);
      EXPECT_LE(ticks.back().value, lo + span + 1e-6 * span);
    }
  }
}

TEST(LinearTicks, OfAnEmptyOrBrokenRangeAreNone) {
  EXPECT_TRUE(linear_ticks({1.0, 1.0}, 5).empty());
  EXPECT_TRUE(linear_ticks({2.0, 1.0}, 5).empty());
  EXPECT_TRUE(linear_ticks({std::nan(""), 1.0}, 5).empty());
}

TEST(CellTicks, StandAtWholeCells) {
  EXPECT_THAT(labels(cell_ticks({0.0, 255.0}, 6)), ElementsAre("0", "50", "100", "150", "200", "250"));
  EXPECT_THAT(labels(cell_ticks({3.0, 6.0}, 9)), ElementsAre("3", "4", "5", "6"));
  EXPECT_THAT(labels(cell_ticks({7.0, 7.0}, 5)), ElementsAre("7"));
  EXPECT_THAT(labels(cell_ticks({0.0, 0.0}, 5)), ElementsAre("0"));
}

TEST(LogTicks, LabelDecadesAndMarkWhatLiesBetween) {
  const auto ticks = log_ticks({1e-4, 1.0}, 5);
  EXPECT_THAT(labels(ticks), ElementsAre("10^−4", "10^−3", "10^−2", "10^−1", "10^0"));
  EXPECT_EQ(ticks.size(), 5U + 4U * 8U);
  for (std::size_t i = 1; i < ticks.size(); ++i) EXPECT_LT(ticks[i - 1].value, ticks[i].value);
}

TEST(LogTicks, SkipDecadesRatherThanOverlap) {
  EXPECT_THAT(labels(log_ticks({1e-4, 1.0}, 3)), ElementsAre("10^−4", "10^−2", "10^0"));
  for (const int count : {2, 3, 4, 7}) EXPECT_LE(static_cast<int>(labels(log_ticks({1e-20, 1.0}, count)).size()), count);
}

TEST(LogTicks, NeedAPositiveRange) {
  EXPECT_TRUE(log_ticks({0.0, 1.0}, 5).empty());
  EXPECT_TRUE(log_ticks({-1.0, 1.0}, 5).empty());
}

TEST(ScaleTicks, OfSymlogAreSymmetricAboutZero) {
  EXPECT_THAT(labels(scale_ticks({ScaleKind::symlog, {-0.1, 0.1}}, 7)),
              ElementsAre("−10^−1", "−10^−2", "−10^−3", "0", "10^−3", "10^−2", "10^−1"));
  EXPECT_THAT(labels(scale_ticks({ScaleKind::symlog, {-0.1, 0.1}}, 5)), ElementsAre("−10^−1", "−10^−3", "0", "10^−3", "10^−1"));
}

TEST(ScaleTicks, LieOnTheBar) {
  for (const ScaleKind kind : {ScaleKind::linear, ScaleKind::log, ScaleKind::symlog}) {
    const ColourScale scale{kind, {0.0003, 0.7}};
    for (const Tick& tick : scale_ticks(scale, 6)) {
      // Ticks are computed by multiplication, so the ends may be missed by a rounding.
      EXPECT_GE(scale.position(tick.value), -1e-9);
      EXPECT_LE(scale.position(tick.value), 1.0 + 1e-9);
    }
  }
}

TEST(ShortNumber, HasThreeSignificantDigits) {
  EXPECT_EQ(short_number(0.0), "0");
  EXPECT_EQ(short_number(0.41234), "0.412");
  EXPECT_EQ(short_number(0.0013249), "0.00132");
  EXPECT_EQ(short_number(-0.0003), "−3.00e−4");
  EXPECT_EQ(short_number(12.34), "12.3");
  EXPECT_EQ(short_number(999.9), "1000");
  EXPECT_EQ(short_number(12345678.0), "1.23e7");
  EXPECT_EQ(short_number(0.41234, 2), "0.41");
  EXPECT_EQ(short_number(std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(short_number(-std::numeric_limits<double>::infinity()), "−inf");
}

}  // namespace
}  // namespace convscope
