// From the error against k to the smallest k for a target, and histograms of errors.
#include "view/error_target.h"
#include "view/log_histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

namespace convscope {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Asks for points until nothing is left; `asked` in the order in which they were wanted.
std::vector<KError> whole_curve(const std::function<double(Index)>& error, Index largest, double target,
                                std::vector<Index>* asked = nullptr) {
  const std::vector<Index> ladder = convbasis::k_ladder(largest);
  std::vector<KError> points;
  while (const auto k = next_k(points, ladder, target)) {
    if (asked) asked->push_back(*k);
    points.insert(std::ranges::upper_bound(points, *k, {}, &KError::k), KError{*k, *k, error(*k)});
    if (points.size() > 100) break;  // it has to come to an end
  }
  return points;
}

TEST(ErrorTarget, LocatesTheSmallestKOfAFallingError) {
  const auto error = [](Index k) { return 1.0 / static_cast<double>(k); };
  for (Index k = 1; k < 200; ++k) {
    const double target = 1.0 / (static_cast<double>(k) - 0.5);
    const auto points = whole_curve(error, 256, target);
    const KError* smallest = smallest_k_below(points, target);
    ASSERT_TRUE(smallest);
    EXPECT_EQ(smallest->k, k);
    EXPECT_LE(points.size(), 16U + 7U);
  }
}

TEST(ErrorTarget, ClimbsTheLadderFirst) {
  std::vector<Index> asked;
  whole_curve([](Index k) { return k >= 11 ? 0.0 : 1.0; }, 16, 0.5, &asked);
  EXPECT_THAT(asked, testing::ElementsAre(1, 2, 3, 4, 6, 8, 12, 16, 10, 11));
}

TEST(ErrorTarget, FindsNoneWhereThereIsNone) {
  const auto points = whole_curve([](Index k) { return k == 6 ? 0.83 : 1.0; }, 16, 0.05);
  EXPECT_EQ(points.size(), 8U);
  EXPECT_FALSE(smallest_k_below(points, 0.05));
  ASSERT_TRUE(best_of(points));
  EXPECT_EQ(best_of(points)->k, 6);
  EXPECT_EQ(describe_target(points, true, 0.05), "no k up to 16; best 0.830 at k = 6");
}

TEST(ErrorTarget, NaNIsNeverBelow) {
  const auto points = whole_curve([](Index) { return nan; }, 4, 0.05);
  EXPECT_EQ(points.size(), 4U);
  EXPECT_FALSE(smallest_k_below(points, 0.05));
  EXPECT_FALSE(best_of(points));
  EXPECT_THAT(describe_target(points, true, 0.05), testing::HasSubstr("not a number"));
}

TEST(ErrorTarget, SaysWhatIsUnderWay) {
  EXPECT_EQ(describe_target({}, false, 0.05), "computing …");
  const std::vector<KError> points{{1, 1, 0.5}, {2, 2, 0.01}};
  EXPECT_EQ(describe_target(points, false, 0.05), "computing … k up to 2");
  EXPECT_EQ(describe_target(points, true, 0.05), "smallest k: 2 (error 0.0100)");
}

TEST(LogHistogram, CountsEveryValueOnce) {
  std::vector<double> values;
  for (int x = 0; x < 1000; ++x) values.push_back(1e-6 * static_cast<double>((x * 7919) % 1000 + 1));
  values.insert(values.end(), {0.0, 0.0, nan, std::numeric_limits<double>::infinity()});
  const LogHistogram histogram = log_histogram(values, 12);
  ASSERT_EQ(histogram.edges.size(), 13U);
  ASSERT_EQ(histogram.counts.size(), 12U);
  EXPECT_EQ(histogram.zeros, 2U);
  EXPECT_EQ(histogram.not_numbers, 2U);
  EXPECT_EQ(std::accumulate(histogram.counts.begin(), histogram.counts.end(), 0.0), 1000.0);
  EXPECT_NEAR(histogram.edges.front(), 1e-6, 1e-15);
  EXPECT_NEAR(histogram.edges.back(), 1e-3, 1e-12);
  for (std::size_t x = 0; x < 12; ++x) {
    const auto inside = std::ranges::count_if(values, [&](double value) {
      return value >= histogram.edges[x] * (1 + 1e-9) && value < histogram.edges[x + 1] * (1 - 1e-9);
    });
    EXPECT_NEAR(histogram.counts[x], static_cast<double>(inside), 2.0) << "bin " << x;  // two may lie on the edges
  }
}

TEST(LogHistogram, OfEqualValuesHasAWidth) {
  const std::vector<double> values{0.25, 0.25, 0.25};
  const LogHistogram histogram = log_histogram(values, 5);
  EXPECT_LT(histogram.edges.front(), 0.25);
  EXPECT_GT(histogram.edges.back(), 0.25);
  EXPECT_EQ(histogram.counts[2], 3.0);
}

TEST(LogHistogram, OfNothingIsEmpty) {
  EXPECT_TRUE(log_histogram({}, 5).edges.empty());
  const std::vector<double> zeros{0.0, nan};
  EXPECT_TRUE(log_histogram(zeros, 5).edges.empty());
}

}  // namespace
}  // namespace convscope
