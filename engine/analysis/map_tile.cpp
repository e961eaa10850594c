#include "analysis/map_tile.h"

#include "attention/exact_rows.h"
#include "attention/kernels.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

namespace convbasis {
namespace {

constexpr float masked = std::numeric_limits<float>::quiet_NaN();

/// Cells that one pixel of a level spans in each direction.
Index cells_per_pixel(int level) { return Index{1} << level; }

/// A number that looks random and always is the same for the same `value` (the finaliser of splitmix64).
std::uint64_t scrambled(std::uint64_t value) {
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31U);
}

/// The rows of the matrix that the tile looks at: all, or one of every row_step, anywhere among them, for evenly spaced rows
/// could fall in step with what they are to show.
std::vector<Index> rows_of_tile(const MapTileKey& key, Index n) {
  const Index span = map_tile_size * cells_per_pixel(key.level);
  std::vector<Index> rows;
  for (Index first = key.row * span; first < std::min(n, (key.row + 1) * span); first += key.row_step) {
    const auto choices = static_cast<std::uint64_t>(std::min(key.row_step, n - first));
    rows.push_back(first + static_cast<Index>(scrambled(static_cast<std::uint64_t>(first)) % choices));
  }
  return rows;
}

/// The pixels of one tile while cells are poured into them. Different pixels may be filled from different threads.
class Pool {
 public:
  explicit Pool(const MapTileKey& key) : key_(key) {}

  /// Causal cells of one row of the matrix, from `column` on, all within the tile.
  template <Real T>
  void add(Index row, Index column, std::span<const T> cells) {
    const Index pixel_row = (row >> key_.level) - key_.row * map_tile_size;
    const Index side = cells_per_pixel(key_.level);
    for (std::size_t x = 0; x < cells.size();) {
      const Index j = column + static_cast<Index>(x);
      const Index pixel_column = (j >> key_.level) - key_.column * map_tile_size;
      const auto count = std::min(cells.size() - x, static_cast<std::size_t>(side - (j & (side - 1))));
      pour(static_cast<std::size_t>(pixel_row * map_tile_size + pixel_column), cells.subspan(x, count));
      x += count;
    }
  }

  MapTile finish() const {
    MapTile pixels(values_.size(), masked);
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (counts_[i] == 0) continue;
      const double count = key_.pooling == Pooling::mean ? static_cast<double>(counts_[i]) : 1.0;
      pixels[i] = static_cast<float>(values_[i] / count);
    }
    return pixels;
  }

 private:
  template <Real T>
  void pour(std::size_t pixel, std::span<const T> cells) {
    if (key_.quantity == MapQuantity::score) {
      // What must not be seen has no score: it would hide all others.
      for (const T cell : cells) {
        if (!(std::abs(static_cast<double>(cell)) >= -0.5 * masked_score)) pour_all(pixel, std::span(&cell, 1));
      }
    } else {
      pour_all(pixel, cells);
    }
  }

  template <Real T>
  void pour_all(std::size_t pixel, std::span<const T> cells) {
    if (key_.pooling == Pooling::mean) {
      T sum{0};
      for (const T cell : cells) sum += cell;
      values_[pixel] += static_cast<double>(sum);
    } else {
      for (const T cell : cells) {
        if (!(std::abs(static_cast<double>(cell)) <= std::abs(values_[pixel]))) values_[pixel] = static_cast<double>(cell);
      }
    }
    counts_[pixel] += static_cast<std::int64_t>(cells.size());
  }

  MapTileKey key_;
  // In double: at coarse levels a pixel sums millions of cells.
  std::vector<double> values_ = std::vector<double>(static_cast<std::size_t>(map_tile_size * map_tile_size), 0.0);
  std::vector<std::int64_t> counts_ = std::vector<std::int64_t>(static_cast<std::size_t>(map_tile_size * map_tile_size), 0);
};

/// What one thread needs to read cells.
template <Real T>
class CellReader {
 public:
  /// `rows` are those of the matrix that will be read, ascending.
  CellReader(const HeadAnalysis<T>& analysis, const MapTileKey& key, std::span<const Index> rows)
      : analysis_(analysis), approximation_(analysis.approximation()), key_(key), rows_(rows) {
    if (key.kind != MapKind::approximation || approximation_.reads_scores()) scores_.emplace(analysis.head(), rows);
  }

  /// Pours the causal cells of these rows and `count` <= RowScores::tile_keys columns.
  void pour(Index column, Index count, Pool& pool) {
    if (scores_) scores_->compute(column, count, exact_);
    const Index first = std::ranges::lower_bound(rows_, column) - rows_.begin();
    for (Index x = first; x < std::ssize(rows_); ++x) {
      const Index row = rows_[static_cast<std::size_t>(x)];
      const auto causal = static_cast<std::size_t>(std::min(count, row + 1 - column));
      pool.add<T>(row, column,
                  key_.kind == MapKind::approximation ? approximate(x, row, column, causal) : exact(x, row, column, causal));
    }
  }

 private:
  /// Exact cells, or the residual.
  std::span<const T> exact(Index x, Index row, Index column, std::size_t count) {
    const std::span<T> cells(exact_.row(x), count);
    if (key_.kind == MapKind::residual) approximate(x, row, column, count);  // reads the scores, which the next step replaces
    if (key_.quantity == MapQuantity::probability) {
      kernels::exp_shifted<T>(cells.data(), std::ssize(cells), static_cast<T>((*analysis_.exact->normalisers)[row]),
                              cells.data());
    }
    if (key_.kind == MapKind::residual) {
      for (std::size_t c = 0; c < count; ++c) cells[c] -= approximate_[c];
    }
    return cells;
  }

  std::span<const T> approximate(Index x, Index row, Index column, std::size_t count) {
    const auto cells = std::span(approximate_).first(count);
    const auto scores = scores_ ? std::span<const T>(exact_.row(x), count) : std::span<const T>();
    if (key_.quantity == MapQuantity::score) {
      approximation_.scores(row, column, scores, cells);
    } else {
      approximation_.probabilities(row, column, scores, cells);
    }
    return cells;
  }

  const HeadAnalysis<T>& analysis_;
  Approximation<T> approximation_;
  MapTileKey key_;
  std::span<const Index> rows_;
  std::optional<RowScores<T>> scores_;
  typename RowScores<T>::Tile exact_;
  std::array<T, RowScores<T>::tile_keys> approximate_{};
};

/// The work on a tile, cut into pieces that share no pixel: some rows of pixels and some columns of pixels each.
template <Real T>
void fill_tile(const HeadAnalysis<T>& analysis, const MapTileKey& key, std::span<const Index> rows, Pool& pool,
               const RunContext& context) {
  constexpr Index rows_at_once = 256;
  const Index side = cells_per_pixel(key.level);
  const Index rows_per_pixel = side / key.row_step;
  const Index batch = std::max(rows_at_once / rows_per_pixel, Index{1}) * rows_per_pixel;
  const Index batches = (std::ssize(rows) + batch - 1) / batch;
  const Index groups = batches >= 8 ? 1 : 8;
  const Index group_columns = map_tile_size / groups * side;
  const Index corner = key.column * map_tile_size * side;
  parallel_for(context, batches * groups, [&](Index item, int) {
    const Index first = (batches - 1 - item / groups) * batch;  // the last rows have the most cells
    const auto some =
        rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(std::min(batch, std::ssize(rows) - first)));
    const Index begin = corner + item % groups * group_columns;
    const Index end = std::min(begin + group_columns, some.back() + 1);
    if (begin >= end) return;
    CellReader<T> reader(analysis, key, some);
    for (Index column = begin; column < end; column += RowScores<T>::tile_keys) {
      context.check();
      reader.pour(column, std::min(RowScores<T>::tile_keys, end - column), pool);
    }
  });
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
Index map_row_step(const HeadAnalysis<T>& analysis, int level) {
  // Multiply-adds for a tile of whole rows. Row normalisers that have to be computed first cost up to as much again.
  const Index budget = Index{1} << (analysis.exact->complete() ? 36 : 33);
  constexpr Index read_cost = 16;  // of a score that is given, in multiply-adds
  const Index cell_cost = std::max(analysis.tensors->query.cols(), read_cost);
  const Index affordable = budget / (map_tile_size * analysis.n * cell_cost);
  Index step = 1;
  while (step < cells_per_pixel(level) && affordable * step < cells_per_pixel(level)) step *= 2;
  return step;
}

template <Real T>
MapTile compute_map_tile(const HeadAnalysis<T>& analysis, const MapTileKey& key, const RunContext& context) {
  if (is_empty(key, analysis.n)) return MapTile(static_cast<std::size_t>(map_tile_size * map_tile_size), masked);
  const Index side = cells_per_pixel(key.level);
  if (key.row_step < 1 || key.row_step > side || side % key.row_step != 0) {
    throw InvalidArgument(fmt::format("row_step = {} is not a power of two in [1, {}]", key.row_step, side));
  }
  const std::vector<Index> rows = rows_of_tile(key, analysis.n);
  if (key.kind != MapKind::approximation && key.quantity == MapQuantity::probability) {
    analysis.exact->normalisers->require(analysis.head(), rows, context);
  }
  Pool pool(key);
  fill_tile(analysis, key, rows, pool, context);
  return pool.finish();
}

template <Real T>
MapCell map_cell(const HeadAnalysis<T>& analysis, Index row, Index column) {
  const auto exact = static_cast<double>(score(analysis.head(), row, column));
  const Approximation<T> approximation = analysis.approximation();
  const auto score_of_cell = static_cast<T>(exact);
  T approximate_score;
  T approximate_probability;
  approximation.scores(row, column, std::span(&score_of_cell, 1), std::span(&approximate_score, 1));
  approximation.probabilities(row, column, std::span(&score_of_cell, 1), std::span(&approximate_probability, 1));
  return {exact, static_cast<double>(approximate_score), std::exp(exact - (*analysis.exact->normalisers)[row]),
          static_cast<double>(approximate_probability)};
}

template Index map_row_step(const HeadAnalysis<float>&, int);
template Index map_row_step(const HeadAnalysis<double>&, int);
template MapTile compute_map_tile(const HeadAnalysis<float>&, const MapTileKey&, const RunContext&);
template MapTile compute_map_tile(const HeadAnalysis<double>&, const MapTileKey&, const RunContext&);
template MapCell map_cell(const HeadAnalysis<float>&, Index, Index);
template MapCell map_cell(const HeadAnalysis<double>&, Index, Index);

}  // namespace convbasis
