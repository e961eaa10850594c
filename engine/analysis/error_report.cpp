#include "analysis/error_report.h"

#include "attention/exact_rows.h"
#include "attention/kernels.h"
#include "core/threads.h"

#include <algorithm>
#include <cmath>

namespace convbasis {
namespace {

constexpr Index all_rows_limit = 4096;
constexpr Index spread_rows = 1024;  ///< beyond that limit
constexpr Index sampled_rows = 64;   ///< where only some rows are known

/// max that keeps a NaN once it has met one.
double max_or_nan(double a, double b) { return std::isnan(a) || a > b ? a : b; }

template <Real T>
void compare_outputs(const ExactPart<T>& exact, MatrixView<T> output, ErrorReport& report) {
  double difference_squares = 0.0;
  double exact_squares = 0.0;
  report.max_abs_error = 0.0;
  report.row_error_index = exact.rows;
  report.row_error.reserve(exact.rows.size());
  for (Index x = 0; x < std::ssize(exact.rows); ++x) {
    const Index row = exact.rows[static_cast<std::size_t>(x)];
    double row_squares = 0.0;
    for (Index c = 0; c < exact.output.cols(); ++c) {
      const auto truth = static_cast<double>(exact.output(x, c));
      const double difference = static_cast<double>(output(row, c)) - truth;
      row_squares += difference * difference;
      exact_squares += truth * truth;
      report.max_abs_error = max_or_nan(report.max_abs_error, std::abs(difference));
    }
    difference_squares += row_squares;
    report.row_error.push_back(std::sqrt(row_squares));
  }
  report.relative_error = difference_squares == 0.0 ? 0.0 : std::sqrt(difference_squares / exact_squares);
  const double row_norm = std::sqrt(exact_squares / static_cast<double>(exact.rows.size()));
  if (row_norm > 0.0) {
    for (double& error : report.row_error) error /= row_norm;
  }
}

struct RowDifference {
  double total_variation = 0.0;
  double largest_score_error = 0.0;
};

/// Rows that are compared together: they share what fetching the keys costs.
constexpr Index rows_at_once = 64;

/// A conv basis as compare_rows() asks for it.
template <Real T>
struct BasisRows {
  const ConvWeights<T>& weights;

  static constexpr bool has_scores = true;
  void scores(Index row, Index key, std::span<T> out) const { weights.scores.row(row, key, out); }
  void probabilities(Index row, Index key, std::span<const T>, std::span<T> out) const { weights.probability_row(row, key, out); }
};

/// A structured fit likewise: its exact entries are those of exact attention, times what its normalisers differ by.
template <Real T>
struct FitRows {
  const StructuredFit& fit;
  const RowNormalisers& normalisers;

  static constexpr bool has_scores = false;
  void scores(Index, Index, std::span<T>) const {}
  void probabilities(Index row, Index key, std::span<const T> exact, std::span<T> out) const {
    const auto count = std::ssize(out);
    fit.rest_tile<T>(row, key, {out.data(), 1, count, Eigen::OuterStride<>(count)});
    const auto factor = static_cast<T>(std::exp(normalisers[row] - fit.lse[static_cast<std::size_t>(row)]));
    const auto copy = [&](Index j) {
      out[static_cast<std::size_t>(j - key)] = factor * exact[static_cast<std::size_t>(j - key)];
    };
    for (Index j = std::max(key, row - fit.exact.band + 1); j < key + count; ++j) copy(j);
    const auto& columns = fit.exact.columns;
    for (auto j = std::ranges::lower_bound(columns, key); j != columns.end() && *j < key + count; ++j) copy(*j);
  }
};

/// Scores and probabilities of some rows, exact against approximate, tile by tile.
template <Real T, class Approximation>
std::vector<RowDifference> compare_rows(const HeadView<T>& head, const RowNormalisers& normalisers,
                                        const Approximation& approximation, std::span<const Index> rows,
                                        const RunContext& context) {
  constexpr Index tile_keys = RowScores<T>::tile_keys;
  const RowScores<T> scores(head, rows);
  typename RowScores<T>::Tile tile;
  std::vector<T> approximate(static_cast<std::size_t>(tile_keys));
  std::vector<RowDifference> result(rows.size());
  for (Index key = 0; key <= rows.back(); key += tile_keys) {
    context.check();
    const Index keys = std::min(tile_keys, head.size() - key);
    scores.compute(key, keys, tile);
    for (Index x = scores.first_to_see(key); x < std::ssize(rows); ++x) {
      const Index row = rows[static_cast<std::size_t>(x)];
      const Index count = std::min(keys, row + 1 - key);
      const Eigen::Map<Eigen::ArrayX<T>> p(tile.row(x), count);
      const Eigen::Map<Eigen::ArrayX<T>> q(approximate.data(), count);
      const std::span<T> target = std::span(approximate).first(static_cast<std::size_t>(count));
      RowDifference& difference = result[static_cast<std::size_t>(x)];
      if constexpr (Approximation::has_scores) {
        approximation.scores(row, key, target);
        difference.largest_score_error = max_or_nan(difference.largest_score_error,
                                                    static_cast<double>((p - q).abs().template maxCoeff<Eigen::PropagateNaN>()));
      }
      kernels::exp_shifted<T>(tile.row(x), count, static_cast<T>(normalisers[row]), tile.row(x));
      approximation.probabilities(row, key, std::span<const T>(tile.row(x), target.size()), target);
      difference.total_variation += static_cast<double>((p - q).abs().sum()) / 2.0;
    }
  }
  return result;
}

/// `count` of the rows, evenly chosen.
std::vector<Index> spread(std::span<const Index> rows, Index count) {
  std::vector<Index> chosen;
  for (Index x = 0; x < count; ++x)
    chosen.push_back(rows[static_cast<std::size_t>((2 * x + 1) * std::ssize(rows) / (2 * count))]);
  return chosen;
}

template <Real T, class Approximation>
ErrorReport compare_with(const HeadView<T>& head, const ExactPart<T>& exact, const Approximation& approximation,
                         MatrixView<T> output, const RunContext& context) {
  ErrorReport report;
  compare_outputs(exact, output, report);
  const Index most = !exact.complete() ? sampled_rows : head.size() <= all_rows_limit ? head.size() : spread_rows;
  const Index count = std::min<Index>(most, std::ssize(exact.rows));
  report.total_variation_rows = count;
  report.row_total_variation_index = spread(exact.rows, count);
  std::vector<RowDifference> differences(static_cast<std::size_t>(count));
  parallel_for(
      context, (count + rows_at_once - 1) / rows_at_once,
      [&](Index item, int) {
        const auto first = static_cast<std::size_t>(item * rows_at_once);
        const auto rows = std::span<const Index>(report.row_total_variation_index)
                              .subspan(first, std::min<std::size_t>(rows_at_once, static_cast<std::size_t>(count) - first));
        std::ranges::copy(compare_rows(head, *exact.normalisers, approximation, rows, context),
                          differences.begin() + static_cast<std::ptrdiff_t>(first));
      },
      "total variation");
  double sum = 0.0;
  if constexpr (Approximation::has_scores) report.max_score_error = 0.0;
  for (const RowDifference& row : differences) {
    report.row_total_variation.push_back(row.total_variation);
    report.max_score_error = max_or_nan(report.max_score_error, row.largest_score_error);
    sum += row.total_variation;
  }
  report.mean_total_variation = sum / static_cast<double>(count);
  return report;
}

}  // namespace

template <Real T>
ErrorReport compare(const HeadView<T>& head, const ExactPart<T>& exact, const ConvWeights<T>& weights, MatrixView<T> output,
                    const RunContext& context) {
  return compare_with(head, exact, BasisRows<T>{weights}, output, context);
}

template <Real T>
ErrorReport compare(const HeadView<T>& head, const ExactPart<T>& exact, const StructuredFit& fit, MatrixView<T> output,
                    const RunContext& context) {
  return compare_with(head, exact, FitRows<T>{fit, *exact.normalisers}, output, context);
}

template ErrorReport compare(const HeadView<float>&, const ExactPart<float>&, const ConvWeights<float>&, MatrixView<float>,
                             const RunContext&);
template ErrorReport compare(const HeadView<double>&, const ExactPart<double>&, const ConvWeights<double>&, MatrixView<double>,
                             const RunContext&);

template ErrorReport compare(const HeadView<float>&, const ExactPart<float>&, const StructuredFit&, MatrixView<float>,
                             const RunContext&);
template ErrorReport compare(const HeadView<double>&, const ExactPart<double>&, const StructuredFit&, MatrixView<double>,
                             const RunContext&);

}  // namespace convbasis
