// Which points a curve holds and what their fields say. How fast anything is, is never asserted.
#include "analysis/runtime_curve.h"

#include "support/expect_error.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace convbasis {
namespace {

using testing_inputs::message_of;

using PointKey = std::tuple<std::string, Index, Index>;

CurveRequest tiny_request(Precision precision) {
  return {.n = {64, 100}, .k = {1, 3}, .d = 8, .precision = precision, .max_repeats = 3, .seconds_per_point = 0.01};
}

std::map<PointKey, int> count_points(const std::vector<CurvePoint>& points) {
  std::map<PointKey, int> counts;
  for (const CurvePoint& point : points) ++counts[{point.method, point.n, point.k}];
  return counts;
}

TEST(RuntimeCurve, HoldsEveryPointOnce) {
  for (const Precision precision : {Precision::f32, Precision::f64}) {
    const std::vector<CurvePoint> points = measure_curve(tiny_request(precision));
    std::map<PointKey, int> expected;
    for (const Index n : {64, 100}) {
      expected[{"exact", n, 0}] = 1;
      expected[{"rank", n, 45}] = 1;  // C(8 + 2, 2) features
      for (const Index k : {1, 3}) {
        expected[{"conv_full", n, k}] = 1;
        expected[{"conv_partitioned", n, k}] = 1;
        expected[{"planned", n, k}] = 1;
      }
    }
    EXPECT_EQ(count_points(points), expected);
    for (const CurvePoint& point : points) {
      EXPECT_EQ(point.d, 8);
      EXPECT_EQ(point.precision, precision);
      EXPECT_FALSE(point.extrapolated);
      EXPECT_GE(point.repeats, 1);
      EXPECT_LE(point.repeats, 3);
      EXPECT_GT(point.seconds_min, 0.0);
      EXPECT_LE(point.seconds_min, point.seconds);
      EXPECT_LE(point.seconds, point.seconds_max);
    }
  }
}

TEST(RuntimeCurve, FeaturesThatDoNotFitAreRefusedOnlyWhereTheyAreWanted) {
  CurveRequest request = tiny_request(Precision::f32);
  request.d = 64;
  request.degree = 6;
  EXPECT_NE(message_of<InvalidArgument>([&] { measure_curve(request); }).find("131115985 features"), std::string::npos);
  request.degree = -1;
  EXPECT_NE(message_of<InvalidArgument>([&] { measure_curve(request); }).find("degree is -1"), std::string::npos);
  request.methods = {"exact"};
  EXPECT_EQ(measure_curve(request).size(), 2U);
}

TEST(RuntimeCurve, HoldsTheWantedMethodsOnly) {
  CurveRequest request = tiny_request(Precision::f32);
  request.methods = {"exact", "planned"};
  for (const CurvePoint& point : measure_curve(request)) EXPECT_TRUE(point.method == "exact" || point.method == "planned");
  EXPECT_EQ(measure_curve(request).size(), 6U);
  request.methods = {"magic"};
  EXPECT_NE(message_of<InvalidArgument>([&] { measure_curve(request); }).find("magic"), std::string::npos);
}

TEST(RuntimeCurve, StopsRepeatingOnceSteady) {
  CurveRequest request = tiny_request(Precision::f32);
  request.max_repeats = 20;
  request.seconds_per_point = 1e9;
  request.steady_spread = 1e9;  // whatever comes is steady enough
  for (const CurvePoint& point : measure_curve(request)) EXPECT_EQ(point.repeats, 5);
  request.steady_spread = 1e-300;  // nothing is
  for (const CurvePoint& point : measure_curve(request)) EXPECT_GE(point.repeats, 5);
}

TEST(RuntimeCurve, CallsBackForEveryPoint) {
  std::vector<CurvePoint> seen;
  const std::vector<CurvePoint> points =
      measure_curve(tiny_request(Precision::f32), {}, [&](const CurvePoint& point) { seen.push_back(point); });
  EXPECT_EQ(count_points(seen), count_points(points));
  EXPECT_EQ(seen.size(), points.size());
}

TEST(RuntimeCurve, ExtrapolatesExactBeyondItsLimitAndMarksIt) {
  CurveRequest request = tiny_request(Precision::f32);
  request.exact_limit = 128;
  for (const std::vector<Index>& sizes : std::vector<std::vector<Index>>{{64, 128, 512}, {512, 64, 128}}) {
    request.n = sizes;
    double measured = 0.0;
    double guess = 0.0;
    int extrapolated = 0;
    for (const CurvePoint& point : measure_curve(request)) {
      if (point.method != "exact") {
        EXPECT_FALSE(point.extrapolated);
        continue;
      }
      EXPECT_EQ(point.extrapolated, point.n == 512);
      if (point.n == 128) measured = point.seconds;
      if (!point.extrapolated) continue;
      ++extrapolated;
      guess = point.seconds;
      EXPECT_EQ(point.repeats, 0);
    }
    EXPECT_EQ(extrapolated, 1);
    EXPECT_NEAR(guess, 16.0 * measured, 1e-9 * measured) << "by n^2 from the largest measured n";
  }
}

TEST(RuntimeCurve, LeavesOutTheFullLengthSchemeBeyondItsLimit) {
  CurveRequest request = tiny_request(Precision::f64);
  request.full_length_limit = 64;
  const auto counts = count_points(measure_curve(request));
  EXPECT_EQ(counts.count({"conv_full", 64, 3}), 1U);
  EXPECT_EQ(counts.count({"conv_full", 100, 3}), 0U);
  EXPECT_EQ(counts.count({"conv_partitioned", 100, 3}), 1U);
}

TEST(RuntimeCurve, OneRunIsEnoughWhenTimeIsShort) {
  CurveRequest request = tiny_request(Precision::f32);
  request.seconds_per_point = 0.0;
  for (const CurvePoint& point : measure_curve(request)) {
    EXPECT_EQ(point.repeats, 1);
    EXPECT_EQ(point.seconds, point.seconds_min);
    EXPECT_EQ(point.seconds, point.seconds_max);
  }
}

TEST(RuntimeCurve, BadRequestsAreErrors) {
  const auto rejected = [](auto change) {
    CurveRequest request = tiny_request(Precision::f32);
    change(request);
    message_of<InvalidArgument>([&] { measure_curve(request); });
  };
  rejected([](CurveRequest& request) { request.n = {0}; });
  rejected([](CurveRequest& request) { request.n = {64, -5}; });
  rejected([](CurveRequest& request) { request.k = {0}; });
  rejected([](CurveRequest& request) { request.k = {65}; });
  rejected([](CurveRequest& request) { request.d = 0; });
  rejected([](CurveRequest& request) { request.d = 7; });
}

TEST(RuntimeCurve, StopsOnRequest) {
  std::stop_source source;
  source.request_stop();
  EXPECT_THROW(measure_curve(tiny_request(Precision::f32), {.stop = source.get_token()}), Cancelled);
  std::stop_source during;
  EXPECT_THROW(measure_curve(tiny_request(Precision::f32), {.stop = during.get_token()},
                             [&](const CurvePoint&) { during.request_stop(); }),
               Cancelled);
}

TEST(Precision, HasNames) {
  EXPECT_EQ(name_of(Precision::f32), "f32");
  EXPECT_EQ(name_of(Precision::f64), "f64");
}

}  // namespace
}  // namespace convbasis
