#include "analysis/error_report.h"

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

/// 1/2 sum_j |P~_ij - P_ij| of one row, tile by tile.
template <Real T>
double total_variation(const HeadView<T>& head, std::span<const double> lse, const ConvWeights<T>& weights, Index row) {
  double sum = 0.0;
  Matrix<T> exact(1, tile_columns);
  Matrix<T> approximate(1, tile_columns);
  for (Index column = 0; column <= row; column += tile_columns) {
    const Index count = std::min(tile_columns, row + 1 - column);
    const Eigen::OuterStride<> stride(tile_columns);
    const MutableMatrixView<T> p(exact.data(), 1, count, stride);
    const MutableMatrixView<T> q(approximate.data(), 1, count, stride);
    probability_tile<T>(head, lse, row, column, p);
    weights.probability_tile(row, column, q);
    sum += static_cast<double>((p - q).cwiseAbs().sum());
  }
  return sum / 2.0;
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
  parallel_for(
      context, count,
      [&](Index x, int) {
        const auto at = static_cast<std::size_t>(x);
        report.row_total_variation[at] = total_variation(head, lse, weights, report.row_total_variation_index[at]);
      },
      "total variation");
  report.mean_total_variation =
      std::accumulate(report.row_total_variation.begin(), report.row_total_variation.end(), 0.0) / static_cast<double>(count);
  return report;
}

template ErrorReport compare(const HeadView<float>&, std::span<const double>, MatrixView<float>, const ConvWeights<float>&,
                             MatrixView<float>, const RunContext&);
template ErrorReport compare(const HeadView<double>&, std::span<const double>, MatrixView<double>, const ConvWeights<double>&,
                             MatrixView<double>, const RunContext&);

}  // namespace convbasis
