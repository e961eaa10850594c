#include "basis/conv_weights.h"

#include "attention/kernels.h"
#include "core/errors.h"
#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace convbasis {
namespace {

/// The largest score of the basis; throws when one is not finite.
template <Real T>
T largest(const ConvBasis<T>& scores, const RunContext& context) {
  std::vector<T> best(static_cast<std::size_t>(scores.count()));
  parallel_for(context, scores.count(), [&](Index r, int) {
    const Eigen::Map<const RowVector<T>> lags(scores.lag_vector(r).data(), scores.extent(r));
    if (!lags.allFinite()) {
      throw InvalidArgument("lag vector " + std::to_string(r) + " of the scores holds a value that is not finite");
    }
    best[static_cast<std::size_t>(r)] = lags.maxCoeff();
  });
  return *std::max_element(best.begin(), best.end());
}

/// sums[a - first] += sum of lags[max(0, a - window + 1) .. a] for a in [first, first + sums.size()): a sliding window without
/// any subtraction, which would cancel. Each window is a suffix of one block of `window` numbers and a prefix of the next.
template <Real T>
void add_window_sums(std::span<const T> lags, Index window, Index first, std::span<double> sums, std::vector<double>& suffix) {
  const auto lag = [&](Index a) { return static_cast<double>(lags[static_cast<std::size_t>(a)]); };
  const Index last = first + std::ssize(sums);
  for (Index block = first; block < last; block += window) {
    const Index count = std::min(window, last - block);
    // suffix[x]: sum of lags block - window + x ... block - 1, for the windows that begin there; x = 0 is never asked for.
    suffix.assign(static_cast<std::size_t>(count + 1), 0.0);
    double before = 0.0;
    for (Index a = block - 1; a > block - window && a >= 0; --a) {
      before += lag(a);
      if (const Index x = a - block + window; x <= count) suffix[static_cast<std::size_t>(x)] = before;
    }
    // Windows that begin before lag 0 hold all there is.
    for (Index x = 1; x <= count && block - window + x < 0; ++x) suffix[static_cast<std::size_t>(x)] = before;
    double prefix = 0.0;
    for (Index a = block; a < block + count; ++a) {
      prefix += lag(a);
      sums[static_cast<std::size_t>(a - first)] += prefix + suffix[static_cast<std::size_t>(a - block + 1)];
    }
  }
}

/// D_i = sum_j A_ij. Rows are cut into ranges, the same ones for any number of threads, so that the sums are the same too.
template <Real T>
std::vector<double> row_sums(const ConvBasis<T>& weights, const RunContext& context) {
  constexpr Index most_ranges = 8;  // each costs n additions more
  constexpr Index fewest_rows = 2048;
  const Index n = weights.size();
  const Index rows = std::max(fewest_rows, (n + most_ranges - 1) / most_ranges);
  std::vector<double> sums(static_cast<std::size_t>(n), 0.0);
  parallel_for(context, (n + rows - 1) / rows, [&](Index item, int) {
    const Index end = std::min(n, (item + 1) * rows);
    std::vector<double> suffix;
    for (Index r = 0; r < weights.count(); ++r) {
      context.check();
      const Index begin = std::max(item * rows, weights.start(r));
      if (begin >= end) break;
      add_window_sums<T>(weights.lag_vector(r), weights.end(r) - weights.start(r), begin - weights.start(r),
                         std::span(sums).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)), suffix);
    }
  });
  return sums;
}

}  // namespace

template <Real T>
bool ConvWeights<T>::underflows(Index row) const {
  // Float: 2^30 weights that were taken for 0, being below the smallest normal number, do not show beside 1e-22. Double: the
  // squares of weights, which the error estimate sums, must not vanish beside the row sum.
  constexpr double limit = std::same_as<T, float> ? 1e-22 : 1e-140;
  return !(row_sum[static_cast<std::size_t>(row)] > limit);
}

template <Real T>
double ConvWeights<T>::log_row_sum(Index row) const {
  if (!underflows(row)) return shift + std::log(row_sum[static_cast<std::size_t>(row)]);
  double maximum = -std::numeric_limits<double>::infinity();
  for (Index j = 0; j <= row; ++j) maximum = std::max(maximum, static_cast<double>(scores.entry(row, j)));
  double sum = 0.0;
  for (Index j = 0; j <= row; ++j) sum += std::exp(static_cast<double>(scores.entry(row, j)) - maximum);
  return maximum + std::log(sum);
}

template <Real T>
void ConvWeights<T>::probability_tile(Index row, Index column, MutableMatrixView<T> tile) const {
  scores.tile(row, column, tile);
  for (Index a = 0; a < tile.rows(); ++a) {
    const Index causal = std::clamp<Index>(row + a - column + 1, 0, tile.cols());
    T* values = tile.data() + a * tile.outerStride();
    if (causal > 0) kernels::exp_shifted<T>(values, causal, static_cast<T>(log_row_sum(row + a)), values);
  }
}

template <Real T>
void ConvWeights<T>::probability_row(Index row, Index column, std::span<T> target) const {
  // Weights below T's smallest normal number are 0: beside this row sum they are below any number that is looked at.
  constexpr double limit = 1e-10;
  if (!(row_sum[static_cast<std::size_t>(row)] > limit)) {
    scores.row(row, column, target);
    kernels::exp_shifted<T>(target.data(), std::ssize(target), static_cast<T>(log_row_sum(row)), target.data());
    return;
  }
  weights.row(row, column, target);
  const auto factor = static_cast<T>(1.0 / row_sum[static_cast<std::size_t>(row)]);
  for (T& value : target) value *= factor;
}

template <Real T>
ConvWeights<T> exponentiate(const ConvBasis<T>& scores, const RunContext& context) {
  if (scores.size() < 1) throw InvalidArgument("the conv basis has size 0; it must have at least one row");
  ConvBasis<T> all_scores = scores.starting_at_zero();
  const T shift = largest(all_scores, context);
  const Index count = all_scores.count();
  std::vector<std::vector<T>> weights(static_cast<std::size_t>(count));
  parallel_for(context, count, [&](Index r, int) {
    auto& lags = weights[static_cast<std::size_t>(r)];
    lags.resize(static_cast<std::size_t>(all_scores.extent(r)));
    kernels::exp_shifted<T>(all_scores.lag_vector(r).data(), all_scores.extent(r), shift, lags.data());
  });
  std::vector<Index> starts(all_scores.starts().begin(), all_scores.starts().end());
  ConvBasis<T> weight_basis(scores.size(), std::move(starts), std::move(weights));
  std::vector<double> sums = row_sums(weight_basis, context);
  return {std::move(all_scores), std::move(weight_basis), static_cast<double>(shift), std::move(sums)};
}

template struct ConvWeights<float>;
template struct ConvWeights<double>;
template ConvWeights<float> exponentiate(const ConvBasis<float>&, const RunContext&);
template ConvWeights<double> exponentiate(const ConvBasis<double>&, const RunContext&);

}  // namespace convbasis
