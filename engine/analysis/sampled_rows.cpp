#include "analysis/sampled_rows.h"

#include "attention/kernels.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

namespace convbasis {
namespace {

constexpr Index key_tile = 256;  ///< keys that are multiplied at a time

/// The rows of `matrix` from `first` on, in double.
template <Real T>
Matrix<double> in_double(MatrixView<T> matrix, Index first, Index count) {
  return rows(matrix, first, count).template cast<double>();
}

double max_or_nan(double a, double b) { return std::isnan(a) || a > b ? a : b; }

double ratio(double difference_squares, double exact_squares) {
  return difference_squares == 0.0 ? 0.0 : std::sqrt(difference_squares / exact_squares);
}

}  // namespace

std::vector<Index> choose_rows(Index size, Index count, std::span<const Index> starts) {
  std::set<Index> chosen;
  const auto add = [&](Index row) {
    if (row >= 0 && row < size && static_cast<Index>(chosen.size()) < count) chosen.insert(row);
  };
  add(0);
  add(size - 1);
  const auto all = static_cast<Index>(starts.size());
  const Index used = std::min(all, count / 4);
  for (Index x = 0; x < used; ++x) {
    const Index start = starts[static_cast<std::size_t>((2 * x + 1) * all / (2 * used))];
    for (const Index row : {start - 1, start, start + 1}) add(row);
  }
  const Index left = std::min(count, size) - static_cast<Index>(chosen.size());
  for (Index x = 0; x < left; ++x) add((2 * x + 1) * size / (2 * left));
  for (Index row = 0; row < size && static_cast<Index>(chosen.size()) < count; ++row) add(row);  // in place of those met twice
  return {chosen.begin(), chosen.end()};
}

template <Real T>
SampledRows<T>::SampledRows(MatrixView<T> query, MatrixView<T> key, double scale, std::vector<Index> chosen,
                            const RunContext& context)
    : rows_(std::move(chosen)), size_(key.rows()), difference_squares_(rows_.size()), exact_squares_(rows_.size()) {
  const Index n = size_;
  if (query.rows() != n || query.cols() != key.cols() || n < 1) {
    throw InvalidArgument(fmt::format("query is {} x {} and key {} x {}; they must have the same shape", query.rows(),
                                      query.cols(), n, key.cols()));
  }
  if (!std::is_sorted(rows_.begin(), rows_.end()) || (!rows_.empty() && (rows_.front() < 0 || rows_.back() >= n))) {
    throw InvalidArgument(fmt::format("the rows to look at must be ascending and in [0, {})", n));
  }
  const auto count = static_cast<Index>(rows_.size());
  Matrix<double> queries(count, query.cols());
  for (Index x = 0; x < count; ++x)
    queries.row(x) = scale * query.row(rows_[static_cast<std::size_t>(x)]).template cast<double>();
  const Index tiles = (n + key_tile - 1) / key_tile;
  probability_ = Scratch<double>(static_cast<std::size_t>(count * tiles * key_tile));
  parallel_for(context, tiles, [&](Index tile, int) {
    const Index keys = std::min(key_tile, n - tile * key_tile);
    MutableMatrixView<double>(probabilities(0, tile), count, keys, Eigen::OuterStride<>(key_tile)).noalias() =
        queries * in_double(key, tile * key_tile, keys).transpose();
  });
  parallel_for(context, count, [&](Index x, int) { softmax(x); });
}

template <Real T>
double* SampledRows<T>::probabilities(Index row, Index tile) {
  return probability_.data() + (tile * static_cast<Index>(rows_.size()) + row) * key_tile;
}

/// From the scores of a row to exp(s - max) / sum for the keys that it sees, and 0 for those after it.
template <Real T>
void SampledRows<T>::softmax(Index row) {
  const Index seen = rows_[static_cast<std::size_t>(row)] + 1;
  const auto for_each_tile = [&](const auto& body) {
    for (Index first = 0; first < seen; first += key_tile) {
      body(Eigen::Map<Eigen::ArrayXd>(probabilities(row, first / key_tile), std::min(key_tile, seen - first)));
    }
  };
  double largest = -std::numeric_limits<double>::infinity();
  for_each_tile([&](auto scores) { largest = max_or_nan(scores.template maxCoeff<Eigen::PropagateNaN>(), largest); });
  double sum = 0.0;
  for_each_tile([&](auto scores) { sum += (scores = (scores - largest).exp()).sum(); });
  for_each_tile([&](auto weights) { weights /= sum; });
  const Index last = (seen - 1) / key_tile;
  std::fill(probabilities(row, last) + (seen - last * key_tile), probabilities(row, last) + key_tile, 0.0);
}

/// P V of the rows, summed over groups of keys that depend on nothing but n, and then over the groups in order.
template <Real T>
Matrix<double> SampledRows<T>::direct_sums(MatrixView<T> value, const RunContext& context) const {
  const auto count = static_cast<Index>(rows_.size());
  const Index n = value.rows();
  const Index panel = kernels::panel_width<double>();
  const Index width = round_up(value.cols(), panel);
  const Index tiles = (n + key_tile - 1) / key_tile;
  const Index groups = std::min<Index>(tiles, 32);
  std::vector<std::vector<double>> sums(static_cast<std::size_t>(groups));
  parallel_for(context, groups, [&](Index group, int) {
    std::vector<double>& sum = sums[static_cast<std::size_t>(group)];
    sum.assign(static_cast<std::size_t>(count * width), 0.0);
    std::vector<double> packed(static_cast<std::size_t>(key_tile * width));
    for (Index tile = tiles * group / groups; tile < tiles * (group + 1) / groups; ++tile) {
      context.check();
      const Index first = tile * key_tile;
      const Index keys = std::min(key_tile, n - first);
      // Rows above `first` see none of these keys.
      const Index skipped = std::lower_bound(rows_.begin(), rows_.end(), first) - rows_.begin();
      if (skipped == count) break;
      const Matrix<double> values = in_double(value, first, keys);
      kernels::pack_columns<double>(view(values), packed.data());
      kernels::multiply<double>(count - skipped, keys, width / panel, probability_.data() + (tile * count + skipped) * key_tile,
                                key_tile, packed.data(), keys * panel, sum.data() + skipped * width, width, true);
    }
  });
  Matrix<double> total = Matrix<double>::Zero(count, value.cols());
  for (const std::vector<double>& sum : sums) {
    total += MatrixView<double>(sum.data(), count, value.cols(), Eigen::OuterStride<>(width));
  }
  return total;
}

template <Real T>
void SampledRows<T>::add(MatrixView<T> value, MatrixView<T> output, const RunContext& context) {
  const Index n = size_;
  if (value.rows() != n || output.rows() != n || value.cols() != output.cols()) {
    throw InvalidArgument(fmt::format("value is {} x {} and output {} x {}; both must have {} rows and the same columns",
                                      value.rows(), value.cols(), output.rows(), output.cols(), n));
  }
  const Matrix<double> exact = direct_sums(value, context);
  for (std::size_t x = 0; x < rows_.size(); ++x) {
    const auto exact_row = exact.row(static_cast<Index>(x));
    difference_squares_[x] += (output.row(rows_[x]).template cast<double>() - exact_row).squaredNorm();
    exact_squares_[x] += exact_row.squaredNorm();
  }
}

template <Real T>
double SampledRows<T>::relative_error() const {
  const auto total = [](const std::vector<double>& squares) { return std::accumulate(squares.begin(), squares.end(), 0.0); };
  return ratio(total(difference_squares_), total(exact_squares_));
}

template <Real T>
double SampledRows<T>::worst_row_error() const {
  double worst = 0.0;
  for (std::size_t x = 0; x < rows_.size(); ++x) worst = max_or_nan(ratio(difference_squares_[x], exact_squares_[x]), worst);
  return worst;
}

template class SampledRows<float>;
template class SampledRows<double>;

}  // namespace convbasis
