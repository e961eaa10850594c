// Errors against k: the points of one recovery are those of a recovery for each k, and what cannot fit is refused.
#include "analysis/error_by_k.h"

#include "analysis/head_analysis.h"
#include "data/planted.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace convbasis {
namespace {

using testing_inputs::gaussian_head;
using testing_inputs::message_of;

std::vector<Index> all_rows(Index n) {
  std::vector<Index> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), Index{0});
  return rows;
}

/// A head whose columns all differ, so that Recover finds as many segments as it may.
HeadAnalysis<double> analysis_of(Index n, Index k, Search search = Search::binary) {
  return analyze_head(gaussian_head<double>(n, 8, 5, 3),
                      {.k = k, .T = std::min<Index>(4, n), .delta = 0.5, .eps = 0.0, .search = search});
}

TEST(KLadder, GrowsByHalvesAndEndsAtTheLargest) {
  EXPECT_THAT(k_ladder(16), testing::ElementsAre(1, 2, 3, 4, 6, 8, 12, 16));
  EXPECT_THAT(k_ladder(13), testing::ElementsAre(1, 2, 3, 4, 6, 8, 12, 13));
  EXPECT_THAT(k_ladder(1), testing::ElementsAre(1));
  EXPECT_THAT(k_ladder(0), testing::IsEmpty());
}

TEST(ErrorByK, SmallerKIsAPrefixOfLargerK) {
  for (const Search search : {Search::binary, Search::scan}) {
    const auto large = analysis_of(90, 24, search);
    ASSERT_EQ(large.recovery.basis.count(), 24);
    for (const Index k : {1, 2, 7, 23}) {
      const auto small = analysis_of(90, k, search);
      const ConvBasis<double> prefix = large.recovery.basis.first(k);
      ASSERT_THAT(std::vector<Index>(prefix.starts().begin(), prefix.starts().end()),
                  testing::ElementsAreArray(small.recovery.basis.starts().begin(), small.recovery.basis.starts().end()));
      for (Index r = 0; r < k; ++r) {
        EXPECT_EQ(prefix.lag_vector(r).data(), large.recovery.basis.lag_vector(r).data()) << "not shared";
        const auto expected = small.recovery.basis.lag_vector(r);
        // The same products, perhaps in another order: some roundings of scores below 10.
        for (std::size_t t = 0; t < expected.size(); ++t) EXPECT_NEAR(prefix.lag_vector(r)[t], expected[t], 1e-13);
      }
    }
  }
}

TEST(ErrorByK, EqualsTheErrorOfAnAnalysisForEachK) {
  const Index n = 120;
  const auto large = analysis_of(n, 32);
  const std::vector<Index> ks = k_ladder(32);
  std::vector<KError> seen;
  const auto points = error_by_k<double>(large.head(), all_rows(n), view(large.exact->output), large.recovery.basis, ks,
                                         [&](const KError& point) { seen.push_back(point); });
  EXPECT_EQ(seen, points);
  ASSERT_EQ(points.size(), ks.size());
  for (std::size_t x = 0; x < ks.size(); ++x) {
    const auto one = analysis_of(n, ks[x]);
    EXPECT_EQ(points[x].k, ks[x]);
    EXPECT_EQ(points[x].found, one.recovery.basis.count());
    EXPECT_NEAR(points[x].error, one.error.relative_error, 1e-10);
    const auto expected = reference::segment_sum(one.recovery.basis, reference::Dense(one.head().value));
    EXPECT_NEAR(points[x].error, reference::relative_error(expected, large.exact->output), 1e-10);
  }
}

TEST(ErrorByK, LooksAtTheGivenRowsOnly) {
  const Index n = 60;
  const auto analysis = analysis_of(n, 5);
  const std::vector<Index> rows{0, 17, 18, 59};
  Matrix<double> exact(4, 5);
  double difference = 0.0;
  double total = 0.0;
  for (Index x = 0; x < 4; ++x) {
    exact.row(x) = analysis.exact->output.row(rows[static_cast<std::size_t>(x)]);
    difference += (analysis.output.row(rows[static_cast<std::size_t>(x)]) - exact.row(x)).squaredNorm();
    total += exact.row(x).squaredNorm();
  }
  const std::vector<Index> ks{5};
  const auto points = error_by_k<double>(analysis.head(), rows, view(exact), analysis.recovery.basis, ks);
  ASSERT_EQ(points.size(), 1U);
  EXPECT_NEAR(points[0].error, std::sqrt(difference / total), 1e-12);
}

TEST(ErrorByK, PlantedErrorVanishesAtItsK) {
  PlantedOptions options{.n = 200, .d = 16, .k = 4, .T = 4};
  auto planted = make_planted<double>(options);
  const auto analysis = analyze_head(std::move(planted.head), {.k = 16, .T = 4, .delta = planted.delta, .eps = 0.0});
  const std::vector<Index> ks{3, 4, 8};
  const auto points =
      error_by_k<double>(analysis.head(), all_rows(200), view(analysis.exact->output), analysis.recovery.basis, ks);
  ASSERT_EQ(points.size(), 3U);
  EXPECT_GT(points[0].error, 1e-3);
  EXPECT_LE(points[1].error, 1e-10);
  EXPECT_EQ(points[2].found, 4);
  EXPECT_LE(points[2].error, 1e-10);
}

TEST(ErrorByK, OfOneTokenAndOfNaN) {
  const auto one = analysis_of(1, 1);
  const std::vector<Index> ks{1};
  const auto points = error_by_k<double>(one.head(), all_rows(1), view(one.exact->output), one.recovery.basis, ks);
  ASSERT_EQ(points.size(), 1U);
  EXPECT_LE(points[0].error, 1e-12);
  Matrix<double> exact = one.exact->output;
  exact(0, 0) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(error_by_k<double>(one.head(), all_rows(1), view(exact), one.recovery.basis, ks)[0].error));
}

TEST(ErrorByK, RefusesWhatDoesNotFit) {
  const auto analysis = analysis_of(10, 2);
  const auto call = [&](std::vector<Index> rows, std::vector<Index> ks) {
    return message_of<InvalidArgument>(
        [&] { error_by_k<double>(analysis.head(), rows, view(analysis.exact->output), analysis.recovery.basis, ks); });
  };
  EXPECT_THAT(call({0, 1}, {1}), testing::HasSubstr("10 x 5"));
  EXPECT_THAT(call(all_rows(10), {0}), testing::HasSubstr("k is 0"));
  auto rows = all_rows(10);
  std::swap(rows[3], rows[4]);
  EXPECT_THAT(call(rows, {1}), testing::HasSubstr("ascend"));
}

TEST(ErrorByK, CanBeStopped) {
  const auto analysis = analysis_of(50, 4);
  std::stop_source stop;
  RunContext context;
  context.stop = stop.get_token();
  const std::vector<Index> ks{1, 2, 3};
  std::vector<KError> seen;
  EXPECT_THROW(error_by_k<double>(
                   analysis.head(), all_rows(50), view(analysis.exact->output), analysis.recovery.basis, ks,
                   [&](const KError& point) {
                     seen.push_back(point);
                     stop.request_stop();
                   },
                   context),
               Cancelled);
  EXPECT_EQ(seen.size(), 1U);
}

}  // namespace
}  // namespace convbasis
