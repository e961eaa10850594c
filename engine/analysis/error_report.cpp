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

/// The relative error over those of the known rows that `counts` picks.
template <Real T, class Counts>
double error_over(const ExactPart<T>& exact, const Matrix<T>& output, const Counts& counts) {
  double difference = 0.0;
  double size = 0.0;
  for (std::size_t x = 0; x < exact.rows.size(); ++x) {
    if (!counts(exact.rows[x])) continue;
    const Eigen::RowVectorXd wanted = exact.output.row(static_cast<Index>(x)).template cast<double>();
    difference += (output.row(exact.rows[x]).template cast<double>() - wanted).squaredNorm();
    size += wanted.squaredNorm();
  }
  return difference == 0.0 ? 0.0 : std::sqrt(difference / size);
}

struct RowDifference {
  double total_variation = 0.0;
  double largest_score_error = 0.0;
};

/// Rows that are compared together: they share what fetching the keys costs.
constexpr Index rows_at_once = 64;

/// Scores and probabilities of some rows, exact against approximate, tile by tile.
template <Real T>
std::vector<RowDifference> compare_rows(const HeadView<T>& head, const RowNormalisers& normalisers,
                                        const Approximation<T>& approximation, std::span<const Index> rows,
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
      const std::span<const T> exact_scores(tile.row(x), static_cast<std::size_t>(count));
      const auto cells = std::span(approximate).first(static_cast<std::size_t>(count));
      RowDifference& difference = result[static_cast<std::size_t>(x)];
      if (!approximation.is_of_weights()) {
        approximation.scores(row, key, exact_scores, cells);
        difference.largest_score_error = max_or_nan(difference.largest_score_error,
                                                    static_cast<double>((p - q).abs().template maxCoeff<Eigen::PropagateNaN>()));
      }
      approximation.probabilities(row, key, exact_scores, cells);
      kernels::exp_shifted<T>(tile.row(x), count, static_cast<T>(normalisers[row]), tile.row(x));
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

}  // namespace

template <Real T>
ErrorReport compare(const HeadView<T>& head, const ExactPart<T>& exact, const Approximation<T>& approximation,
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
  report.max_score_error = approximation.is_of_weights() ? ErrorReport::unknown : 0.0;
  for (const RowDifference& row : differences) {
    report.row_total_variation.push_back(row.total_variation);
    report.max_score_error = max_or_nan(report.max_score_error, row.largest_score_error);
    sum += row.total_variation;
  }
  report.mean_total_variation = sum / static_cast<double>(count);
  return report;
}

template <Real T>
double known_row_error(const ExactPart<T>& exact, const Matrix<T>& output) {
  return error_over(exact, output, [](Index) { return true; });
}

template <Real T>
double odd_row_error(const ExactPart<T>& exact, const Matrix<T>& output) {
  const auto odd = [](Index row) { return row % 2 != 0; };
  return std::ranges::any_of(exact.rows, odd) ? error_over(exact, output, odd) : ErrorReport::unknown;
}

template ErrorReport compare(const HeadView<float>&, const ExactPart<float>&, const Approximation<float>&, MatrixView<float>,
                             const RunContext&);
template ErrorReport compare(const HeadView<double>&, const ExactPart<double>&, const Approximation<double>&, MatrixView<double>,
                             const RunContext&);
template double known_row_error(const ExactPart<float>&, const Matrix<float>&);
template double known_row_error(const ExactPart<double>&, const Matrix<double>&);
template double odd_row_error(const ExactPart<float>&, const Matrix<float>&);
template double odd_row_error(const ExactPart<double>&, const Matrix<double>&);

}  // namespace convbasis
