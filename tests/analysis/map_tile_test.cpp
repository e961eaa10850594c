#include "analysis/map_tile.h"

#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

/// The four dense matrices behind the maps.
struct DenseMaps {
  reference::Dense exact_score, approximate_score, exact_probability, approximate_probability;

  template <Real T>
  explicit DenseMaps(const HeadAnalysis<T>& analysis) {
    exact_score = reference::scores(analysis.head());
    Matrix<T> basis(exact_score.rows(), exact_score.rows());
    analysis.recovery.basis.tile(0, 0, mutable_view(basis));
    approximate_score = basis.template cast<double>();
    exact_probability = reference::softmax(exact_score).probability;
    approximate_probability = reference::softmax(approximate_score).probability;
  }

  reference::Dense map(MapKind kind, MapQuantity quantity) const {
    const bool score = quantity == MapQuantity::score;
    const reference::Dense& exact = score ? exact_score : exact_probability;
    const reference::Dense& approximate = score ? approximate_score : approximate_probability;
    if (kind == MapKind::exact) return exact;
    if (kind == MapKind::approximation) return approximate;
    return exact - approximate;
  }
};

/// The causal cells under one pixel of a tile.
std::vector<double> cells_of(const reference::Dense& map, const MapTileKey& key, Index pixel_row, Index pixel_column) {
  const Index side = Index{1} << key.level;
  const Index row = (key.row * map_tile_size + pixel_row) * side;
  const Index column = (key.column * map_tile_size + pixel_column) * side;
  std::vector<double> cells;
  for (Index i = row; i < std::min(row + side, map.rows()); ++i) {
    for (Index j = column; j < std::min(column + side, i + 1); ++j) cells.push_back(map(i, j));
  }
  return cells;
}

void expect_pixel(float pixel, const std::vector<double>& cells, Pooling pooling, double tolerance) {
  if (cells.empty()) {
    ASSERT_TRUE(std::isnan(pixel));
    return;
  }
  if (pooling == Pooling::mean) {
    double sum = 0.0;
    for (const double cell : cells) sum += cell;
    ASSERT_NEAR(pixel, sum / static_cast<double>(cells.size()), tolerance);
    return;
  }
  double largest = 0.0;
  double nearest = std::numeric_limits<double>::infinity();
  for (const double cell : cells) {
    largest = std::max(largest, std::abs(cell));
    nearest = std::min(nearest, std::abs(cell - static_cast<double>(pixel)));
  }
  ASSERT_NEAR(std::abs(pixel), largest, tolerance);
  ASSERT_LE(nearest, tolerance) << "the peak has the sign of a cell";
}

template <Real T>
void expect_tile(const HeadAnalysis<T>& analysis, const DenseMaps& dense, const MapTileKey& key) {
  SCOPED_TRACE("kind " + std::to_string(static_cast<int>(key.kind)) + ", quantity " +
               std::to_string(static_cast<int>(key.quantity)) + ", pooling " + std::to_string(static_cast<int>(key.pooling)) +
               ", level " + std::to_string(key.level) + ", tile " + std::to_string(key.row) + ", " + std::to_string(key.column));
  const reference::Dense map = dense.map(key.kind, key.quantity);
  // The score's rounding in T, and that of a pixel, which is a float.
  const double tolerance = 2.0 * score_tolerance(analysis.head()) + 1e-6 * std::max(1.0, map.cwiseAbs().maxCoeff());
  const MapTile tile = compute_map_tile(analysis, key);
  ASSERT_EQ(tile.size(), static_cast<std::size_t>(map_tile_size * map_tile_size));
  for (Index p = 0; p < map_tile_size; ++p) {
    for (Index q = 0; q < map_tile_size; ++q) {
      expect_pixel(tile[static_cast<std::size_t>(p * map_tile_size + q)], cells_of(map, key, p, q), key.pooling, tolerance);
      if (testing::Test::HasFatalFailure()) {
        ADD_FAILURE() << "pixel " << p << ", " << q;
        return;
      }
    }
  }
}

constexpr MapKind kinds[] = {MapKind::exact, MapKind::approximation, MapKind::residual};
constexpr MapQuantity quantities[] = {MapQuantity::probability, MapQuantity::score};
constexpr Pooling poolings[] = {Pooling::mean, Pooling::peak};

template <Real T>
HeadAnalysis<T> example(Index n) {
  HeadTensors<T> head = gaussian_head<T>(n, 8, 2, static_cast<std::uint64_t>(n));
  head.key.topRows(std::min<Index>(n, 20) - 1).setZero();  // the first segment starts later: columns of score 0
  return analyze_head(head, {.k = std::min<Index>(n, 6), .T = 1, .delta = 0.8, .eps = 0.0, .search = Search::scan});
}

template <class T>
class MapTileTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(MapTileTest, Precisions);

TYPED_TEST(MapTileTest, EveryKindOfTileAgreesWithTheDenseMaps) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(600);
  const DenseMaps dense(analysis);
  for (const MapKind kind : kinds) {
    for (const MapQuantity quantity : quantities) {
      for (const Pooling pooling : poolings) {
        expect_tile(analysis, dense, {kind, quantity, pooling, 0, 1, 1, 1});
        expect_tile(analysis, dense, {kind, quantity, pooling, 0, 1, 2, 0});
        expect_tile(analysis, dense, {kind, quantity, pooling, 1, 1, 0, 0});
        expect_tile(analysis, dense, {kind, quantity, pooling, 2, 1, 0, 0});
        expect_tile(analysis, dense, {kind, quantity, pooling, 3, 1, 0, 0});
      }
    }
  }
}

TYPED_TEST(MapTileTest, OfAHeadGivenByItsScoresMaskedOnesHaveNone) {
  using T = TypeParam;
  Rng rng(8);
  Matrix<T> scores = gaussian<T>(300, 300, rng);
  scores.leftCols(100).bottomRows(150).setConstant(static_cast<T>(masked_score));
  const HeadAnalysis<T> analysis =
      analyze_head(head_of_scores<T>(scores, gaussian<T>(300, 3, rng)), {.k = 2, .T = 2, .delta = 0.5, .eps = 0.0});
  const MapTile tile = compute_map_tile(analysis, {MapKind::exact, MapQuantity::score, Pooling::mean, 1, 1, 0, 0});
  for (Index p = 0; p < 150; ++p) {
    for (Index q = 0; q < p; ++q) {
      const float pixel = tile[static_cast<std::size_t>(p * map_tile_size + q)];
      if (p >= 75 && q < 50) {
        ASSERT_TRUE(std::isnan(pixel)) << p << ", " << q;
      } else {
        ASSERT_NEAR(pixel, scores.block(2 * p, 2 * q, 2, 2).template cast<double>().mean(), 1e-5) << p << ", " << q;
      }
    }
  }
  const DenseMaps dense(analysis);
  expect_tile(analysis, dense, {MapKind::exact, MapQuantity::probability, Pooling::mean, 1, 1, 0, 0});
}

TYPED_TEST(MapTileTest, EveryTileOfEveryLevelAtEdges) {
  using T = TypeParam;
  for (const Index n : {1, 5, 255, 256, 257, 515}) {
    const HeadAnalysis<T> analysis = example<T>(n);
    const DenseMaps dense(analysis);
    for (int level = 0; level <= 3; ++level) {
      const Index side = map_tile_size << level;
      const Index tiles = (n + side - 1) / side;
      for (Index row = 0; row < tiles; ++row) {
        for (Index column = 0; column < tiles; ++column) {
          const Pooling pooling = (row + column) % 2 == 0 ? Pooling::mean : Pooling::peak;
          expect_tile(analysis, dense, {MapKind::residual, MapQuantity::probability, pooling, level, 1, row, column});
          expect_tile(analysis, dense, {MapKind::exact, MapQuantity::score, pooling, level, 1, row, column});
        }
      }
    }
  }
}

/// One pixel of a tile that looks at one row of every `step`: what each choice of rows could have shown.
void expect_sampled_pixel(float pixel, const reference::Dense& map, const MapTileKey& key, Index p, Index q, double tolerance) {
  const Index side = Index{1} << key.level;
  const Index first_row = (key.row * map_tile_size + p) * side;
  const Index first_column = (key.column * map_tile_size + q) * side;
  const bool inside = first_row < map.rows() && first_column < map.rows() && first_column <= first_row + side - 1;
  if (!inside) {
    ASSERT_TRUE(std::isnan(pixel));
    return;
  }
  if (key.row_step < side || first_column > first_row) return;
  // One row stands for the pixel: it is the mean of one of the rows.
  double nearest = std::numeric_limits<double>::infinity();
  for (Index i = first_row; i < std::min(first_row + side, map.rows()); ++i) {
    const Index count = std::min(side, i + 1 - first_column);
    const double mean = map.row(i).segment(first_column, count).mean();
    nearest = std::min(nearest, std::abs(mean - static_cast<double>(pixel)));
  }
  ASSERT_LE(nearest, tolerance) << "pixel " << p << ", " << q;
}

TYPED_TEST(MapTileTest, SampledRowsAreRowsOfTheMatrix) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(1030);
  const DenseMaps dense(analysis);
  const double tolerance = 2.0 * score_tolerance(analysis.head()) + 1e-6;
  for (const MapKind kind : kinds) {
    for (const Index step : {2, 8}) {
      const MapTileKey key{kind, MapQuantity::probability, Pooling::mean, 3, step, 0, 0};
      const MapTile tile = compute_map_tile(analysis, key);
      const reference::Dense map = dense.map(kind, key.quantity);
      for (Index p = 0; p < map_tile_size; ++p) {
        for (Index q = 0; q < map_tile_size; ++q) {
          expect_sampled_pixel(tile[static_cast<std::size_t>(p * map_tile_size + q)], map, key, p, q, tolerance);
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

TYPED_TEST(MapTileTest, TheResidualLooksAtTheRowsOfTheOthers) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(2000);
  MapTileKey key{MapKind::exact, MapQuantity::probability, Pooling::mean, 3, 4, 0, 0};
  const MapTile exact = compute_map_tile(analysis, key);
  key.kind = MapKind::approximation;
  const MapTile approximate = compute_map_tile(analysis, key);
  key.kind = MapKind::residual;
  const MapTile residual = compute_map_tile(analysis, key);
  for (std::size_t i = 0; i < residual.size(); ++i) {
    ASSERT_EQ(std::isnan(residual[i]), std::isnan(exact[i]));
    if (!std::isnan(residual[i])) {
      ASSERT_NEAR(residual[i], exact[i] - approximate[i], 1e-6);
    }
  }
}

TYPED_TEST(MapTileTest, NormalisersAreComputedWhereTheyAreMissing) {
  using T = TypeParam;
  const HeadAnalysis<T> whole = example<T>(1500);
  auto sampled = std::make_shared<ExactPart<T>>(sampled_exact_part(whole.head(), std::make_shared<RowNormalisers>(whole.n)));
  ASSERT_FALSE(sampled->complete());
  HeadAnalysis<T> analysis = recover_head<T>(whole.tensors, sampled, whole.options);
  EXPECT_FALSE(analysis.assessed());
  assess_head<T>(analysis, sampled, {});
  EXPECT_TRUE(analysis.assessed());
  EXPECT_EQ(analysis.output, whole.output);
  // Some rows stand for all.
  EXPECT_NEAR(analysis.error.relative_error, whole.error.relative_error, 0.2 * whole.error.relative_error);
  // A row that nobody looked at yet.
  Index row = 700;
  while (!std::isnan((*sampled->normalisers)[row])) ++row;
  EXPECT_TRUE(std::isnan(map_cell(analysis, row, 3).exact_probability));
  EXPECT_FALSE(std::isnan(map_cell(analysis, row, 3).exact_score));
  const MapTileKey key{MapKind::exact, MapQuantity::probability, Pooling::mean, 0, 1, 2, 1};
  const MapTile tile = compute_map_tile(analysis, key);
  const MapTile expected = compute_map_tile(whole, key);
  const double tolerance = 2.0 * score_tolerance(whole.head());
  for (std::size_t i = 0; i < tile.size(); ++i) {
    ASSERT_EQ(std::isnan(tile[i]), std::isnan(expected[i]));
    if (!std::isnan(tile[i])) {
      ASSERT_NEAR(tile[i], expected[i], tolerance);
    }
  }
  EXPECT_NEAR(map_cell(analysis, row, 3).exact_probability, map_cell(whole, row, 3).exact_probability, tolerance);
}

TYPED_TEST(MapTileTest, ARowStepThatTheLevelDoesNotHaveIsAnError) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(600);
  for (const Index step : {0, 3, 4, -2}) {
    EXPECT_THROW(compute_map_tile(analysis, {.level = 1, .row_step = step}), InvalidArgument) << step;
  }
}

TYPED_TEST(MapTileTest, ShortInputsLookAtAllRows) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(2000);
  for (int level = 0; level <= 3; ++level) EXPECT_EQ(map_row_step(analysis, level), 1);
}

TYPED_TEST(MapTileTest, TilesOutsideTheMatrixAreAllMasked) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(300);
  for (const MapKind kind : kinds) {
    for (const auto& [row, column] : std::vector<std::pair<Index, Index>>{{0, 1}, {2, 0}, {0, 2}, {7, 7}}) {
      for (const float pixel : compute_map_tile(analysis, {kind, MapQuantity::probability, Pooling::mean, 0, 1, row, column})) {
        ASSERT_TRUE(std::isnan(pixel));
      }
    }
  }
}

TYPED_TEST(MapTileTest, CellsAgreeWithTheDenseMaps) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(120);
  const DenseMaps dense(analysis);
  const double tolerance = 2.0 * score_tolerance(analysis.head());
  for (Index i = 0; i < 120; ++i) {
    for (Index j = 0; j <= i; ++j) {
      const MapCell cell = map_cell(analysis, i, j);
      ASSERT_NEAR(cell.exact_score, dense.exact_score(i, j), tolerance);
      ASSERT_NEAR(cell.approximate_score, dense.approximate_score(i, j), tolerance);
      ASSERT_NEAR(cell.exact_probability, dense.exact_probability(i, j), tolerance);
      ASSERT_NEAR(cell.approximate_probability, dense.approximate_probability(i, j), tolerance);
    }
  }
}

TYPED_TEST(MapTileTest, StopsOnRequest) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = example<T>(600);
  std::stop_source source;
  source.request_stop();
  EXPECT_THROW(compute_map_tile(analysis, {.level = 1}, {.stop = source.get_token()}), Cancelled);
}

TEST(MapLevels, CoarsestLevelIsTheFirstThatFitsOneTile) {
  for (Index n = 1; n <= 5000; ++n) {
    int level = 0;
    while (n > map_tile_size << level) ++level;
    ASSERT_EQ(coarsest_level(n), level) << n;
  }
  EXPECT_EQ(coarsest_level(Index{1} << 20), 12);
}

TEST(MapLevels, EmptyTilesAreThoseWithoutACausalCell) {
  for (const Index n : {1, 255, 256, 257, 600, 1030}) {
    for (int level = 0; level <= 4; ++level) {
      const Index side = map_tile_size << level;
      for (Index row = 0; row < 7; ++row) {
        for (Index column = 0; column < 7; ++column) {
          // The bottom-left cell of the part inside the matrix is the first to be causal.
          const Index last_row = std::min((row + 1) * side, n) - 1;
          const bool inside = row * side < n && column * side < n;
          const bool empty = !inside || column * side > last_row;
          EXPECT_EQ(is_empty({.level = level, .row = row, .column = column}, n), empty)
              << "n " << n << ", level " << level << ", tile " << row << ", " << column;
        }
      }
    }
  }
}

TEST(MapTileKey, OrdersByEveryField) {
  const MapTileKey key;
  EXPECT_EQ(key, MapTileKey{});
  EXPECT_NE(key, (MapTileKey{.kind = MapKind::residual}));
  EXPECT_NE(key, (MapTileKey{.quantity = MapQuantity::score}));
  EXPECT_NE(key, (MapTileKey{.pooling = Pooling::peak}));
  EXPECT_NE(key, (MapTileKey{.level = 1}));
  EXPECT_NE(key, (MapTileKey{.row = 1}));
  EXPECT_NE(key, (MapTileKey{.column = 1}));
}

}  // namespace
}  // namespace convbasis
