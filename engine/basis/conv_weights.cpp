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

/// `scores` with a segment of zeros in front when it does not start at column 0.
template <Real T>
ConvBasis<T> starting_at_zero(const ConvBasis<T>& scores) {
  const Index n = scores.size();
  std::vector<Index> starts(scores.starts().begin(), scores.starts().end());
  std::vector<std::vector<T>> lag_vectors;
  for (Index r = 0; r < scores.count(); ++r) {
    const auto lags = scores.lag_vector(r);
    lag_vectors.emplace_back(lags.begin(), lags.end());
  }
  if (starts.empty() || starts.front() > 0) {
    starts.insert(starts.begin(), 0);
    lag_vectors.insert(lag_vectors.begin(), std::vector<T>(static_cast<std::size_t>(n), T{0}));
  }
  return ConvBasis<T>(n, std::move(starts), std::move(lag_vectors));
}

/// The largest score of the basis; throws when one is not finite.
template <Real T>
T largest(const ConvBasis<T>& scores) {
  T best = -std::numeric_limits<T>::infinity();
  for (Index r = 0; r < scores.count(); ++r) {
    for (const T value : scores.lag_vector(r)) {
      if (!std::isfinite(value)) {
        throw InvalidArgument("lag vector " + std::to_string(r) + " of the scores holds a value that is not finite");
      }
      best = std::max(best, value);
    }
  }
  return best;
}

/// sums[a] += sum of lags[max(0, a - window + 1) .. a]: a sliding window without any subtraction, which would cancel. Each
/// window is a suffix of one block of `window` numbers and a prefix of the next.
template <Real T>
void add_window_sums(std::span<const T> lags, std::size_t window, std::span<double> sums) {
  std::vector<double> suffix(window + 1);  // suffix[x]: sum of the block before this one, from x to its end
  for (std::size_t block = 0; block < lags.size(); block += window) {
    const std::size_t end = std::min(block + window, lags.size());
    double prefix = 0.0;
    for (std::size_t a = block; a < end; ++a) {
      prefix += static_cast<double>(lags[a]);
      sums[a] += prefix + (block > 0 ? suffix[a - block + 1] : 0.0);
    }
    suffix[window] = 0.0;
    for (std::size_t x = end - block; x-- > 0;) {
      suffix[x] = static_cast<double>(lags[block + x]) + (x + 1 < end - block ? suffix[x + 1] : 0.0);
    }
  }
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
ConvWeights<T> exponentiate(const ConvBasis<T>& scores, const RunContext& context) {
  if (scores.size() < 1) throw InvalidArgument("the conv basis has size 0; it must have at least one row");
  ConvBasis<T> all_scores = starting_at_zero(scores);
  const T shift = largest(all_scores);
  const Index count = all_scores.count();
  std::vector<std::vector<T>> weights(static_cast<std::size_t>(count));
  parallel_for(context, count, [&](Index r, int) {
    auto& lags = weights[static_cast<std::size_t>(r)];
    lags.resize(static_cast<std::size_t>(all_scores.extent(r)));
    kernels::exp_shifted<T>(all_scores.lag_vector(r).data(), all_scores.extent(r), shift, lags.data());
  });
  std::vector<double> row_sum(static_cast<std::size_t>(scores.size()), 0.0);
  for (Index r = 0; r < count; ++r) {
    context.check();
    const auto window = static_cast<std::size_t>(all_scores.end(r) - all_scores.start(r));
    add_window_sums<T>(weights[static_cast<std::size_t>(r)], window,
                       std::span(row_sum).subspan(static_cast<std::size_t>(all_scores.start(r))));
  }
  std::vector<Index> starts(all_scores.starts().begin(), all_scores.starts().end());
  ConvBasis<T> weight_basis(scores.size(), std::move(starts), std::move(weights));
  return {std::move(all_scores), std::move(weight_basis), static_cast<double>(shift), std::move(row_sum)};
}

template struct ConvWeights<float>;
template struct ConvWeights<double>;
template ConvWeights<float> exponentiate(const ConvBasis<float>&, const RunContext&);
template ConvWeights<double> exponentiate(const ConvBasis<double>&, const RunContext&);

}  // namespace convbasis
