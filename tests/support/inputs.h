/// \file
/// Inputs for the engine's tests: seeded random tensors, matrices with padded rows, bases with random starts.
#pragma once

#include "attention/head.h"
#include "basis/conv_basis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
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

/// A bound on every |score|: scale * max |Q_i| * max |K_j| + max |bias|.
template <Real T>
double score_bound(const HeadView<T>& head) {
  if (head.matrix) {
    double largest = 0.0;
    for (Index i = 0; i < head.size(); ++i) {
      RowVector<T> row(i + 1);
      head.matrix->read(i, 0, {row.data(), 1, i + 1, Eigen::OuterStride<>(i + 1)});
      for (const T entry : row) {
        if (entry > static_cast<T>(masked_score)) largest = std::max(largest, std::abs(static_cast<double>(entry)));
      }
    }
    return largest;
  }
  const auto longest_row = [](const MatrixView<T>& matrix) { return matrix.template cast<double>().rowwise().norm().maxCoeff(); };
  double bias = 0.0;
  for (const T entry : head.bias) bias = std::max(bias, std::abs(static_cast<double>(entry)));
  return std::abs(head.scale) * longest_row(head.query) * longest_row(head.key) + bias;
}

/// How wrong a score in T may be: one or two roundings relative to the largest |score| possible (the partial sums of a
/// dot product are below it), and a few more for exp, the running sum and the division.
template <Real T>
double score_tolerance(const HeadView<T>& head) {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) * (8.0 + 2.0 * score_bound(head));
}

/// A score matrix in memory, with NaN above the diagonal: code that looks there shows it in its result.
template <Real T>
class DenseScores final : public ScoreMatrix<T> {
 public:
  explicit DenseScores(Matrix<T> scores) : scores_(std::move(scores)) {
    for (Index i = 0; i < scores_.rows(); ++i) {
      for (Index j = i + 1; j < scores_.cols(); ++j) scores_(i, j) = std::numeric_limits<T>::quiet_NaN();
    }
  }
  Index size() const override { return scores_.rows(); }
  void read(Index row, Index column, MutableMatrixView<T> out) const override {
    out = scores_.block(row, column, out.rows(), out.cols());
  }

 private:
  Matrix<T> scores_;
};

/// A head that is given by its scores.
template <Real T>
HeadTensors<T> head_of_scores(Matrix<T> scores, Matrix<T> value) {
  HeadTensors<T> head;
  head.query.resize(scores.rows(), 0);
  head.key.resize(scores.rows(), 0);
  head.value = std::move(value);
  head.matrix = std::make_shared<DenseScores<T>>(std::move(scores));
  return head;
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
