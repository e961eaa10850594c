#include "analysis/error_report.h"

#include "attention/kernels.h"
#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace convbasis {
namespace {

constexpr Index all_rows_limit = 4096;
constexpr Index sampled_rows = 1024;
constexpr Index tile_columns = 512;

/// max that keeps a NaN once it has met one.
double max_or_nan(double a, double b) { return std::isnan(a) || a > b ? a : b; }

template <Real T>
void compare_outputs(MatrixView<T> exact, MatrixView<T> output, ErrorReport& report) {
  const Index n = exact.rows();
  double difference_squares = 0.0;
  double exact_squares = 0.0;
  report.row_error.resize(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) {
    double row_squares = 0.0;
    for (Index c = 0; c < exact.cols(); ++c) {
      const double difference = static_cast<double>(output(i, c)) - static_cast<double>(exact(i, c));
      row_squares += difference * difference;
      exact_squares += static_cast<double>(exact(i, c)) * static_cast<double>(exact(i, c));
      report.max_abs_error = max_or_nan(report.max_abs_error, std::abs(difference));
    }
    difference_squares += row_squares;
    report.row_error[static_cast<std::size_t>(i)] = std::sqrt(row_squares);
  }
  report.relative_error = difference_squares == 0.0 ? 0.0 : std::sqrt(difference_squares / exact_squares);
  const double row_norm = std::sqrt(exact_squares / static_cast<double>(n));
  if (row_norm > 0.0) {
    for (double& error : report.row_error) error /= row_norm;
  }
}

struct RowDifference {
  double total_variation;
  double largest_score_error;
};

/// Scores and probabilities of one row, exact against approximate, tile by tile.
template <Real T>
RowDifference compare_row(const HeadView<T>& head, std::span<const double> lse, const ConvWeights<T>& weights, Index row) {
  RowDifference result{0.0, 0.0};
  const T* query = head.query.data() + row * head.query.outerStride();
  const auto exact_shift = static_cast<T>(lse[static_cast<std::size_t>(row)]);
  const auto approximate_shift = static_cast<T>(weights.log_row_sum(row));
  Matrix<T> exact(1, tile_columns);
  Matrix<T> approximate(1, tile_columns);
  for (Index column = 0; column <= row; column += tile_columns) {
    const Index count = std::min(tile_columns, row + 1 - column);
    kernels::multiply_vector<T>(rows(head.key, column, count), query, static_cast<T>(head.scale), exact.data());
    weights.scores.tile(row, column, MutableMatrixView<T>(approximate.data(), 1, count, Eigen::OuterStride<>(tile_columns)));
    const auto p = exact.leftCols(count);
    const auto q = approximate.leftCols(count);
    result.largest_score_error =
        max_or_nan(result.largest_score_error, static_cast<double>((p - q).cwiseAbs().template maxCoeff<Eigen::PropagateNaN>()));
    kernels::exp_shifted<T>(exact.data(), count, exact_shift, exact.data());
    kernels::exp_shifted<T>(approximate.data(), count, approximate_shift, approximate.data());
    result.total_variation += static_cast<double>((p - q).cwiseAbs().sum()) / 2.0;
  }
  return result;
}

}  // namespace

template <Real T>
ErrorReport compare(const HeadView<T>& head, std::span<const double> lse, MatrixView<T> exact, const ConvWeights<T>& weights,
                    MatrixView<T> output, const RunContext& context) {
  ErrorReport report;
  compare_outputs(exact, output, report);
  const Index n = head.size();
  const Index count = n <= all_rows_limit ? n : sampled_rows;
  report.total_variation_rows = count;
  report.row_total_variation.resize(static_cast<std::size_t>(count));
  for (Index x = 0; x < count; ++x) report.row_total_variation_index.push_back((2 * x + 1) * n / (2 * count));
  std::vector<double> score_errors(static_cast<std::size_t>(count));
  parallel_for(
      context, count,
      [&](Index x, int) {
        const auto at = static_cast<std::size_t>(x);
        const RowDifference row = compare_row(head, lse, weights, report.row_total_variation_index[at]);
        report.row_total_variation[at] = row.total_variation;
        score_errors[at] = row.largest_score_error;
      },
      "total variation");
  report.max_score_error = std::accumulate(score_errors.begin(), score_errors.end(), 0.0, max_or_nan);
  report.mean_total_variation =
      std::accumulate(report.row_total_variation.begin(), report.row_total_variation.end(), 0.0) / static_cast<double>(count);
  return report;
}

template ErrorReport compare(const HeadView<float>&, std::span<const double>, MatrixView<float>, const ConvWeights<float>&,
                             MatrixView<float>, const RunContext&);
template ErrorReport compare(const HeadView<double>&, std::span<const double>, MatrixView<double>, const ConvWeights<double>&,
                             MatrixView<double>, const RunContext&);

}  // namespace convbasis
