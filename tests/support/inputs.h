/// \file
/// Inputs for the engine's tests: seeded random tensors, matrices with padded rows, bases with random starts.
#pragma once

#include "attention/head.h"
#include "basis/conv_basis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace convbasis::testing_inputs {

using Rng = std::mt19937_64;

template <Real T>
Matrix<T> gaussian(Index rows, Index cols, Rng& rng, double sigma = 1.0) {
  std::normal_distribution<double> normal(0.0, sigma);
  return Matrix<T>::NullaryExpr(rows, cols, [&] { return static_cast<T>(normal(rng)); });
}

/// Whole numbers in [-bound, bound]: small sums and products of them are exact in either precision.
template <Real T>
Matrix<T> whole_numbers(Index rows, Index cols, Rng& rng, int bound) {
  std::uniform_int_distribution<int> number(-bound, bound);
  return Matrix<T>::NullaryExpr(rows, cols, [&] { return static_cast<T>(number(rng)); });
}

/// k different starts in [first, n), ascending, the first of them at `first`.
inline std::vector<Index> random_starts(Index n, Index k, Rng& rng, Index first = 0) {
  std::vector<Index> others;
  for (Index j = first + 1; j < n; ++j) others.push_back(j);
  std::shuffle(others.begin(), others.end(), rng);
  std::vector<Index> starts{first};
  starts.insert(starts.end(), others.begin(), others.begin() + (k - 1));
  std::sort(starts.begin(), starts.end());
  return starts;
}

/// Lag vectors with independent entries of `draw(rng)`.
template <Real T, class Draw>
ConvBasis<T> basis_with(Index n, std::vector<Index> starts, Rng& rng, Draw draw) {
  std::vector<std::vector<T>> lags;
  for (const Index start : starts) {
    std::vector<T> lag(static_cast<std::size_t>(n - start));
    for (T& entry : lag) entry = static_cast<T>(draw(rng));
    lags.push_back(std::move(lag));
  }
  return ConvBasis<T>(n, std::move(starts), std::move(lags));
}

/// Scores drawn evenly from [-range, range].
template <Real T>
ConvBasis<T> uniform_basis(Index n, std::vector<Index> starts, Rng& rng, double range) {
  return basis_with<T>(n, std::move(starts), rng, std::uniform_real_distribution<double>(-range, range));
}

template <Real T>
HeadTensors<T> gaussian_head(Index n, Index d, Index value_width, std::uint64_t seed) {
  Rng rng(seed);
  HeadTensors<T> head;
  head.query = gaussian<T>(n, d, rng);
  head.key = gaussian<T>(n, d, rng);
  head.value = gaussian<T>(n, value_width, rng);
  head.scale = 1.0 / std::sqrt(static_cast<double>(d));
  return head;
}

/// A bound on every |score|: scale * max |Q_i| * max |K_j|.
template <Real T>
double score_bound(const HeadView<T>& head) {
  const auto longest_row = [](const MatrixView<T>& matrix) { return matrix.template cast<double>().rowwise().norm().maxCoeff(); };
  return std::abs(head.scale) * longest_row(head.query) * longest_row(head.key);
}

/// How wrong a score in T may be: one or two roundings relative to the largest |score| possible (the partial sums of a
/// dot product are below it), and a few more for exp, the running sum and the division.
template <Real T>
double score_tolerance(const HeadView<T>& head) {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) * (8.0 + 2.0 * score_bound(head));
}

/// A copy of a matrix whose rows lie `gap` entries apart, at an address that is not aligned, with NaN in the gaps:
/// code that reads a gap shows it in its result, code that writes one is caught by gaps_untouched().
template <Real T>
class Padded {
 public:
  Padded(const Matrix<T>& matrix, Index gap)
      : rows_(matrix.rows()),
        cols_(matrix.cols()),
        stride_(matrix.cols() + gap),
        memory_(static_cast<std::size_t>(1 + rows_ * stride_), std::numeric_limits<T>::quiet_NaN()) {
    mutable_view() = matrix;
  }
  MatrixView<T> view() const { return {memory_.data() + 1, rows_, cols_, Eigen::OuterStride<>(stride_)}; }
  MutableMatrixView<T> mutable_view() { return {memory_.data() + 1, rows_, cols_, Eigen::OuterStride<>(stride_)}; }
  bool gaps_untouched() const {
    for (std::size_t p = 0; p < memory_.size(); ++p) {
      const bool gap = p == 0 || static_cast<Index>(p - 1) % stride_ >= cols_;
      if (gap && memory_[p] == memory_[p]) return false;
    }
    return true;
  }

 private:
  Index rows_, cols_, stride_;
  std::vector<T> memory_;
};

}  // namespace convbasis::testing_inputs
