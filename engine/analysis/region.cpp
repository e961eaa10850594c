#include "analysis/region.h"

#include "attention/exact_rows.h"
#include "attention/kernels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

constexpr Index rows_at_once = 256;

/// Shows the visitor the causal cells of `rows`, ascending, and columns [column, end).
template <Real T>
void visit_rows(const HeadAnalysis<T>& analysis, std::span<const Index> rows, Index column, Index end, MapQuantity quantity,
                const RegionVisitor<T>& visitor, const RunContext& context) {
  constexpr Index tile_keys = RowScores<T>::tile_keys;
  const RowNormalisers& normalisers = *analysis.exact->normalisers;
  const RowScores<T> scores(analysis.head(), rows);
  typename RowScores<T>::Tile tile;
  const Approximation<T> approximation = analysis.approximation();
  std::array<T, tile_keys> approximate{};
  end = std::min(end, rows.back() + 1);
  for (Index key = column; key < end; key += tile_keys) {
    context.check();
    const Index keys = std::min(tile_keys, end - key);
    scores.compute(key, keys, tile);
    for (Index x = scores.first_to_see(key); x < std::ssize(rows); ++x) {
      const Index row = rows[static_cast<std::size_t>(x)];
      const auto count = static_cast<std::size_t>(std::min(keys, row + 1 - key));
      const std::span<T> exact(tile.row(x), count);
      const auto other = std::span(approximate).first(count);
      if (quantity == MapQuantity::probability) {
        approximation.probabilities(row, key, exact, other);
        kernels::exp_shifted<T>(exact.data(), std::ssize(exact), static_cast<T>(normalisers[row]), exact.data());
      } else {
        approximation.scores(row, key, exact, other);
      }
      visitor(row, key, exact, other);
    }
  }
}

template <Real T>
void visit_some_rows(const HeadAnalysis<T>& analysis, const MapRegion& region, Index row_step, MapQuantity quantity,
                     const RegionVisitor<T>& visitor, const RunContext& context) {
  const Index end = region.row + region.rows;
  const Index block = rows_at_once * row_step;
  for (Index first = region.row; first < end; first += block) {
    std::vector<Index> rows;
    for (Index row = first; row < std::min(first + block, end); row += row_step) {
      if (row >= region.column) rows.push_back(row);
    }
    if (rows.empty() || region.columns == 0) continue;
    if (quantity == MapQuantity::probability) analysis.exact->normalisers->require(analysis.head(), rows, context);
    visit_rows(analysis, rows, region.column, region.column + region.columns, quantity, visitor, context);
  }
}

/// Sums up numbers one by one. A NaN among them shows in all figures.
class Summary {
 public:
  void add(double value) {
    sum_ += value;
    squares_ += value * value;
    if (!(value >= least_)) least_ = value;
    if (!(value <= largest_)) largest_ = value;
    ++count_;
  }
  Spread spread() const {
    if (count_ == 0) {
      constexpr double none = std::numeric_limits<double>::quiet_NaN();
      return {none, none, none, none};
    }
    return {sum_, sum_ / static_cast<double>(count_), least_, largest_};
  }
  double rms() const { return std::sqrt(squares_ / static_cast<double>(count_)); }
  Index count() const { return count_; }

 private:
  double sum_ = 0.0, squares_ = 0.0;
  double least_ = std::numeric_limits<double>::infinity();
  double largest_ = -std::numeric_limits<double>::infinity();
  Index count_ = 0;
};

}  // namespace

MapRegion clamped(MapRegion region, Index n) {
  const auto cut = [n](Index& first, Index& count) {
    const Index end = std::clamp<Index>(first + count, 0, n);
    first = std::clamp<Index>(first, 0, n);
    count = std::max<Index>(end - first, 0);
  };
  cut(region.row, region.rows);
  cut(region.column, region.columns);
  return region;
}

template <Real T>
void visit_region(const HeadAnalysis<T>& analysis, const MapRegion& region, MapQuantity quantity, const RegionVisitor<T>& visitor,
                  const RunContext& context) {
  visit_some_rows(analysis, clamped(region, analysis.n), 1, quantity, visitor, context);
}

template <Real T>
RegionStatistics region_statistics(const HeadAnalysis<T>& analysis, const MapRegion& wanted, MapQuantity quantity,
                                   const RunContext& context) {
  RegionStatistics result;
  result.region = clamped(wanted, analysis.n);
  // Multiply-adds: cells, and the normalisers of rows that may have to be computed first.
  const bool known = quantity == MapQuantity::score || analysis.exact->complete();
  const Index row_cost = (known ? result.region.columns : analysis.n) * analysis.tensors->query.cols();
  const Index affordable = std::max<Index>((Index{1} << 33) / std::max<Index>(row_cost, 1), 16);
  result.row_step = std::max<Index>((result.region.rows + affordable - 1) / affordable, 1);
  Summary exact;
  Summary approximate;
  Summary difference;
  const RegionVisitor<T> add = [&](Index, Index, std::span<const T> left, std::span<const T> right) {
    for (std::size_t x = 0; x < left.size(); ++x) {
      exact.add(static_cast<double>(left[x]));
      approximate.add(static_cast<double>(right[x]));
      difference.add(static_cast<double>(left[x]) - static_cast<double>(right[x]));
    }
  };
  visit_some_rows(analysis, result.region, result.row_step, quantity, add, context);
  result.cells = exact.count();
  result.exact = exact.spread();
  result.approximate = approximate.spread();
  result.difference = difference.spread();
  result.rms_difference = difference.rms();
  return result;
}

template void visit_region(const HeadAnalysis<float>&, const MapRegion&, MapQuantity, const RegionVisitor<float>&,
                           const RunContext&);
template void visit_region(const HeadAnalysis<double>&, const MapRegion&, MapQuantity, const RegionVisitor<double>&,
                           const RunContext&);
template RegionStatistics region_statistics(const HeadAnalysis<float>&, const MapRegion&, MapQuantity, const RunContext&);
template RegionStatistics region_statistics(const HeadAnalysis<double>&, const MapRegion&, MapQuantity, const RunContext&);

}  // namespace convbasis
