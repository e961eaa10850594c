// Slopes, crossovers and times between points, on curves whose answers are known.
#include "view/runtime_fit.h"

#include <gtest/gtest.h>

#include <cmath>

namespace convscope {
namespace {

CurvePoint point(const char* method, Index n, double seconds, bool extrapolated = false) {
  CurvePoint result;
  result.method = method;
  result.n = n;
  result.seconds = result.seconds_min = result.seconds_max = seconds;
  result.extrapolated = extrapolated;
  return result;
}

std::vector<CurvePoint> power_law(double factor, double power) {
  std::vector<CurvePoint> curve;
  for (Index n = 256; n <= 32768; n *= 2) curve.push_back(point("exact", n, factor * std::pow(static_cast<double>(n), power)));
  return curve;
}

TEST(RuntimeFit, FindsTheSlopeOfAPowerLaw) {
  for (const double power : {1.0, 1.37, 2.0}) {
    const auto found = slope(power_law(1e-9, power));
    ASSERT_TRUE(found);
    EXPECT_NEAR(*found, power, 1e-9);
  }
}

TEST(RuntimeFit, LooksAtTheUpperHalfAndAtMeasuredPointsOnly) {
  auto curve = power_law(1e-9, 2.0);
  for (std::size_t x = 0; x < 4; ++x) curve[x].seconds = 1.0;
  curve.push_back(point("exact", 65536, 1e6, true));
  ASSERT_TRUE(slope(curve));
  EXPECT_NEAR(*slope(curve), 2.0, 1e-9);
}

TEST(RuntimeFit, NeedsTwoPointsForASlope) {
  EXPECT_FALSE(slope({}));
  const std::vector one{point("exact", 256, 1.0)};
  EXPECT_FALSE(slope(one));
  const std::vector guessed{point("exact", 256, 1.0), point("exact", 512, 4.0, true)};
  EXPECT_FALSE(slope(guessed));
}

TEST(RuntimeFit, PicksAndSortsOneMethod) {
  const std::vector points{point("planned", 512, 2.0), point("exact", 256, 3.0), point("planned", 256, 1.0)};
  const auto curve = points_of(points, "planned");
  ASSERT_EQ(curve.size(), 2U);
  EXPECT_EQ(curve[0].n, 256);
  EXPECT_EQ(curve[1].n, 512);
  EXPECT_TRUE(points_of(points, "rank").empty());
}

TEST(RuntimeFit, ReadsTimesBetweenAndBesidePoints) {
  const auto curve = power_law(1e-9, 2.0);
  for (const double n : {100.0, 256.0, 3000.0, 32768.0, 100000.0}) {
    const auto seconds = seconds_at(curve, n);
    ASSERT_TRUE(seconds) << n;
    EXPECT_NEAR(*seconds, 1e-9 * n * n, 1e-9 * 1e-9 * n * n);
  }
  EXPECT_FALSE(seconds_at({}, 100.0));
  const std::vector one{point("exact", 256, 0.5)};
  EXPECT_EQ(seconds_at(one, 256.0), 0.5);
  EXPECT_FALSE(seconds_at(one, 257.0));
}

TEST(RuntimeFit, FindsWhereTwoPowerLawsCross) {
  // 1e-9 n^2 = 3e-6 n at n = 3000.
  const Crossover found = crossover(power_law(1e-9, 2.0), power_law(3e-6, 1.0));
  ASSERT_EQ(found.kind, Crossover::Kind::at);
  EXPECT_NEAR(found.n, 3000.0, 1e-6);
  EXPECT_FALSE(found.extrapolated);
}

TEST(RuntimeFit, SaysWhenThereIsNoCrossover) {
  EXPECT_EQ(crossover(power_law(1e-9, 2.0), power_law(1.0, 1.0)).kind, Crossover::Kind::never);
  EXPECT_EQ(crossover(power_law(1e-9, 2.0), power_law(1e-12, 1.0)).kind, Crossover::Kind::always);
  EXPECT_EQ(crossover(power_law(1e-9, 2.0), {}).kind, Crossover::Kind::unknown);
}

TEST(RuntimeFit, TakesTheLastCrossingAndMarksGuesses) {
  const std::vector slower{point("exact", 256, 2.0), point("exact", 512, 1.0), point("exact", 1024, 4.0, true)};
  const std::vector faster{point("conv", 256, 1.0), point("conv", 512, 2.0), point("conv", 1024, 2.0)};
  const Crossover found = crossover(slower, faster);
  ASSERT_EQ(found.kind, Crossover::Kind::at);
  EXPECT_GT(found.n, 512.0);
  EXPECT_LT(found.n, 1024.0);
  EXPECT_TRUE(found.extrapolated);
}

TEST(RuntimeFit, CarriesOnByTheMethodsOwnLaw) {
  const CurvePoint exact = extrapolated(point("exact", 1024, 3.0), 4096);
  EXPECT_DOUBLE_EQ(exact.seconds, 48.0);
  EXPECT_TRUE(exact.extrapolated);
  EXPECT_EQ(exact.repeats, 0);
  EXPECT_EQ(exact.n, 4096);
  EXPECT_DOUBLE_EQ(extrapolated(point("cuda_exact", 1024, 3.0), 4096).seconds, 48.0);
  const CurvePoint conv = extrapolated(point("conv_full", 1024, 3.0), 4096);
  EXPECT_DOUBLE_EQ(conv.seconds, 3.0 * 4.0 * 12.0 / 10.0);
  EXPECT_DOUBLE_EQ(conv.seconds_max, conv.seconds);
  EXPECT_DOUBLE_EQ(extrapolated(point("cuda_conv", 1024, 3.0), 4096).seconds, conv.seconds);
}

}  // namespace
}  // namespace convscope
