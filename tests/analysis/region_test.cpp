// Rectangles of the maps against the dense matrices.
#include "analysis/region.h"

#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class RegionTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(RegionTest, Precisions);

struct DensePair {
  reference::Dense exact, approximate;
};

template <Real T>
DensePair dense_maps(const HeadAnalysis<T>& analysis, MapQuantity quantity) {
  Matrix<T> basis(analysis.n, analysis.n);
  analysis.recovery.basis.tile(0, 0, mutable_view(basis));
  DensePair maps{reference::scores(analysis.head()), basis.template cast<double>()};
  if (quantity == MapQuantity::probability) {
    maps.exact = reference::softmax(maps.exact).probability;
    maps.approximate = reference::softmax(maps.approximate).probability;
  }
  return maps;
}

template <Real T>
HeadAnalysis<T> example(Index n) {
  return analyze_head(gaussian_head<T>(n, 8, 2, 7), {.k = 5, .T = 1, .delta = 0.8, .eps = 0.0, .search = Search::scan});
}

constexpr Index n = 600;
const std::vector<MapRegion> regions{{0, 0, n, n},      {10, 3, 1, 1},      {599, 0, 1, 600}, {0, 599, 600, 1},
                                     {100, 90, 30, 40}, {300, 0, 299, 257}, {0, 5, 5, 10},    {50, -20, 700, 90}};

TYPED_TEST(RegionTest, VisitsEveryCausalCellOnce) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(n);
  const double tolerance = 2.0 * score_tolerance(analysis.head());
  for (const MapQuantity quantity : {MapQuantity::probability, MapQuantity::score}) {
    const DensePair maps = dense_maps(analysis, quantity);
    for (const MapRegion& region : regions) {
      reference::Dense seen = reference::Dense::Zero(n, n);
      visit_region<T>(analysis, region, quantity,
                      [&](Index row, Index column, std::span<const T> exact, std::span<const T> other) {
                        ASSERT_EQ(exact.size(), other.size());
                        for (std::size_t x = 0; x < exact.size(); ++x) {
                          const Index j = column + static_cast<Index>(x);
                          ASSERT_NEAR(exact[x], maps.exact(row, j), tolerance);
                          ASSERT_NEAR(other[x], maps.approximate(row, j), tolerance);
                          seen(row, j) += 1.0;
                        }
                      });
      for (Index i = 0; i < n; ++i) {
        for (Index j = 0; j < n; ++j) {
          const bool inside = i >= region.row && i < region.row + region.rows && j >= region.column &&
                              j < region.column + region.columns && j <= i;
          ASSERT_EQ(seen(i, j), inside ? 1.0 : 0.0) << i << ", " << j;
        }
      }
    }
  }
}

TYPED_TEST(RegionTest, StatisticsAreThoseOfTheCells) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(n);
  const double tolerance = 4.0 * score_tolerance(analysis.head());
  const DensePair maps = dense_maps(analysis, MapQuantity::probability);
  for (const MapRegion& region : regions) {
    const RegionStatistics found = region_statistics(analysis, region, MapQuantity::probability);
    std::vector<double> differences;
    std::vector<double> exact;
    for (Index i = std::max<Index>(region.row, 0); i < std::min(n, region.row + region.rows); ++i) {
      for (Index j = std::max<Index>(region.column, 0); j < std::min(i + 1, region.column + region.columns); ++j) {
        differences.push_back(maps.exact(i, j) - maps.approximate(i, j));
        exact.push_back(maps.exact(i, j));
      }
    }
    EXPECT_EQ(found.row_step, 1);
    ASSERT_EQ(found.cells, std::ssize(exact));
    if (exact.empty()) {
      EXPECT_TRUE(std::isnan(found.exact.mean));
      continue;
    }
    const auto cells = static_cast<double>(exact.size());
    double sum = 0.0;
    for (const double value : exact) sum += value;
    double squares = 0.0;
    for (const double value : differences) squares += value * value;
    EXPECT_NEAR(found.exact.sum, sum, tolerance * cells);
    EXPECT_NEAR(found.exact.mean, sum / cells, tolerance);
    EXPECT_NEAR(found.exact.largest, *std::ranges::max_element(exact), tolerance);
    EXPECT_NEAR(found.exact.least, *std::ranges::min_element(exact), tolerance);
    EXPECT_NEAR(found.difference.largest, *std::ranges::max_element(differences), tolerance);
    EXPECT_NEAR(found.difference.least, *std::ranges::min_element(differences), tolerance);
    EXPECT_NEAR(found.rms_difference, std::sqrt(squares / cells), tolerance);
  }
}

TYPED_TEST(RegionTest, StopsOnRequest) {
  const HeadAnalysis<TypeParam> analysis = example<TypeParam>(100);
  std::stop_source source;
  source.request_stop();
  EXPECT_THROW(region_statistics(analysis, {0, 0, 100, 100}, MapQuantity::score, {.stop = source.get_token()}), Cancelled);
}

}  // namespace
}  // namespace convbasis
