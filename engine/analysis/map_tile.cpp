#include "analysis/map_tile.h"

#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace convbasis {
namespace {

constexpr float masked = std::numeric_limits<float>::quiet_NaN();

/// Cells that one pixel of a level spans in each direction.
Index cells_per_pixel(int level) { return Index{1} << level; }

/// Values of the cells [row, row + cells.rows()) x [column, ...), in place, as the key asks. Entries above the diagonal are
/// unspecified.
template <Real T>
void read_cells(const HeadAnalysis<T>& analysis, const MapTileKey& key, Index row, Index column, Matrix<T>& cells,
                Matrix<T>& scratch) {
  const HeadView<T> head = analysis.head();
  const ConvWeights<T>& weights = *analysis.weights;
  const auto exact = [&](Matrix<T>& target) {
    if (key.quantity == MapQuantity::score) {
      score_tile<T>(head, row, column, mutable_view(target));
    } else {
      probability_tile<T>(head, analysis.exact->lse, row, column, mutable_view(target));
    }
  };
  const auto approximate = [&](Matrix<T>& target) {
    if (key.quantity == MapQuantity::score) {
      weights.scores.tile(row, column, mutable_view(target));
    } else {
      weights.probability_tile(row, column, mutable_view(target));
    }
  };
  if (key.kind == MapKind::approximation) {
    approximate(cells);
    return;
  }
  exact(cells);
  if (key.kind == MapKind::residual) {
    scratch.resize(cells.rows(), cells.cols());
    approximate(scratch);
    cells -= scratch;
  }
}

/// The pixels of one tile while cells are poured into them. Different rows of pixels may be filled from different threads.
class Pool {
 public:
  Pool(Pooling pooling, int level) : pooling_(pooling), level_(level) {}

  /// One causal cell at (row, column), counted in cells from the tile's corner.
  void add(Index row, Index column, double value) {
    const auto pixel = static_cast<std::size_t>((row >> level_) * map_tile_size + (column >> level_));
    if (pooling_ == Pooling::mean) {
      values_[pixel] += value;
    } else if (counts_[pixel] == 0 || std::abs(value) > std::abs(values_[pixel])) {
      values_[pixel] = value;
    }
    ++counts_[pixel];
  }

  MapTile finish() const {
    MapTile pixels(values_.size(), masked);
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (counts_[i] == 0) continue;
      const double count = pooling_ == Pooling::mean ? static_cast<double>(counts_[i]) : 1.0;
      pixels[i] = static_cast<float>(values_[i] / count);
    }
    return pixels;
  }

 private:
  Pooling pooling_;
  int level_;
  // In double: at coarse levels a pixel sums millions of cells.
  std::vector<double> values_ = std::vector<double>(static_cast<std::size_t>(map_tile_size * map_tile_size), 0.0);
  std::vector<std::int64_t> counts_ = std::vector<std::int64_t>(static_cast<std::size_t>(map_tile_size * map_tile_size), 0);
};

/// Pours the causal cells of rows [first, end) of the matrix that lie in the tile.
template <Real T>
void pour_rows(const HeadAnalysis<T>& analysis, const MapTileKey& key, Index first, Index end, Pool& pool,
               const RunContext& context) {
  const Index n = analysis.n;
  const Index span = map_tile_size * cells_per_pixel(key.level);
  const Index corner_row = key.row * span;
  const Index corner_column = key.column * span;
  Matrix<T> cells;
  Matrix<T> scratch;
  for (Index row = first; row < end; row += map_tile_size) {
    const Index row_count = std::min(map_tile_size, end - row);
    const Index end_column = std::min({n, corner_column + span, row + row_count});
    for (Index column = corner_column; column < end_column; column += map_tile_size) {
      context.check();
      cells.resize(row_count, std::min(map_tile_size, end_column - column));
      read_cells(analysis, key, row, column, cells, scratch);
      for (Index a = 0; a < cells.rows(); ++a) {
        const Index causal = std::min(cells.cols(), row + a - column + 1);
        for (Index b = 0; b < causal; ++b)
          pool.add(row + a - corner_row, column + b - corner_column, static_cast<double>(cells(a, b)));
      }
    }
  }
}

}  // namespace

int coarsest_level(Index n) {
  int level = 0;
  while (map_tile_size * cells_per_pixel(level) < n) ++level;
  return level;
}

bool is_empty(const MapTileKey& key, Index n) {
  const Index span = map_tile_size * cells_per_pixel(key.level);
  const bool outside = key.row < 0 || key.column < 0 || key.row * span >= n || key.column * span >= n;
  return outside || key.column > key.row;
}

template <Real T>
MapTile compute_map_tile(const HeadAnalysis<T>& analysis, const MapTileKey& key, const RunContext& context) {
  const Index n = analysis.n;
  if (is_empty(key, n)) return MapTile(static_cast<std::size_t>(map_tile_size * map_tile_size), masked);
  // A strip is a whole number of pixel rows, so that threads never share a pixel.
  const Index strip = std::max(map_tile_size, cells_per_pixel(key.level));
  const Index first_row = key.row * map_tile_size * cells_per_pixel(key.level);
  const Index end_row = std::min(n, first_row + map_tile_size * cells_per_pixel(key.level));
  const Index strips = (end_row - first_row + strip - 1) / strip;
  Pool pool(key.pooling, key.level);
  parallel_for(context, strips, [&](Index item, int) {
    const Index row = first_row + (strips - 1 - item) * strip;  // the last rows have the most cells
    pour_rows(analysis, key, row, std::min(row + strip, end_row), pool, context);
  });
  return pool.finish();
}

template <Real T>
MapCell map_cell(const HeadAnalysis<T>& analysis, Index row, Index column) {
  const auto exact = static_cast<double>(score(analysis.head(), row, column));
  const auto approximate = static_cast<double>(analysis.weights->scores.entry(row, column));
  return {exact, approximate, std::exp(exact - analysis.exact->lse[static_cast<std::size_t>(row)]),
          std::exp(approximate - analysis.weights->log_row_sum(row))};
}

template MapTile compute_map_tile(const HeadAnalysis<float>&, const MapTileKey&, const RunContext&);
template MapTile compute_map_tile(const HeadAnalysis<double>&, const MapTileKey&, const RunContext&);
template MapCell map_cell(const HeadAnalysis<float>&, Index, Index);
template MapCell map_cell(const HeadAnalysis<double>&, Index, Index);

}  // namespace convbasis
