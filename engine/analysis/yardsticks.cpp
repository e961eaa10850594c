#include "analysis/yardsticks.h"

#include "attention/kernels.h"
#include "core/aligned.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>

#include <algorithm>
#include <random>
#include <vector>

namespace convbasis {
namespace {

constexpr Index rows_at_once = 64;
constexpr Index columns_at_once = 256;

Index blocks_of(Index n, Index size) { return (n + size - 1) / size; }

void require_rank(Index rank) {
  if (rank < 1) throw InvalidArgument(fmt::format("rank is {}; it must be at least 1", rank));
}

/// Numbers that the same seed gives on every machine, in [0.5, 1.5).
template <Real T>
Matrix<T> positive_numbers(Index rows, Index columns, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  return Matrix<T>::NullaryExpr(rows, columns,
                                [&] { return static_cast<T>(0.5 + static_cast<double>(random() >> 11U) * 0x1p-53); });
}

/// A matrix of rank columns, a stretch of rows at a time in the two orders that products read.
template <Real T>
class PackedRows {
 public:
  PackedRows(const Matrix<T>& matrix, Index at_once)
      : at_once_(at_once), parts_(static_cast<std::size_t>(blocks_of(matrix.rows(), at_once))) {
    const Index panel = kernels::panel_width<T>();
    for (std::size_t part = 0; part < parts_.size(); ++part) {
      const Index first = static_cast<Index>(part) * at_once;
      const Index count = std::min(at_once, matrix.rows() - first);
      const MatrixView<T> here = rows(view(matrix), first, count);
      parts_[part].transposed.resize(static_cast<std::size_t>(round_up(count, panel) * matrix.cols()));
      parts_[part].columns.resize(static_cast<std::size_t>(count * round_up(matrix.cols(), panel)));
      kernels::pack_transposed<T>(here, parts_[part].transposed.data());
      kernels::pack_columns<T>(here, parts_[part].columns.data());
    }
  }
  const T* transposed(Index part) const { return parts_[static_cast<std::size_t>(part)].transposed.data(); }
  const T* columns(Index part) const { return parts_[static_cast<std::size_t>(part)].columns.data(); }

 private:
  struct Part {
    AlignedVector<T> transposed, columns;
  };
  Index at_once_;
  std::vector<Part> parts_;
};

/// The multiplicative steps for non-negative factors of the rest.
template <Real T>
class NonnegativeSteps {
 public:
  NonnegativeSteps(const Matrix<T>& probability, const ExactEntries& exact, Index rank, const RunContext& context)
      : probability_(probability),
        exact_(exact),
        context_(context),
        n_(probability.rows()),
        rank_(rank),
        padded_(round_up(rank, kernels::panel_width<T>())) {
    factors_.left = positive_numbers<T>(n_, rank, 1) / static_cast<T>(n_ * rank);
    factors_.right = positive_numbers<T>(n_, rank, 2);
    for (const Index j : exact.columns) factors_.right.row(j).setZero();
    factors_.left.topRows(std::min(exact.band, n_)).setZero();
  }

  /// left *= ((M / model) right) / (support right).
  void step_left() {
    const PackedRows<T> right(factors_.right, columns_at_once);
    Matrix<double> sums(n_, rank_);  // of the rows of right up to each row
    running_sums(sums);
    parallel_for(context_, blocks_of(n_, rows_at_once), [&](Index item, int) {
      const Index row = (blocks_of(n_, rows_at_once) - 1 - item) * rows_at_once;
      const Index count = std::min(rows_at_once, n_ - row);
      Matrix<T> ratio(rows_at_once, columns_at_once);
      Matrix<T> step = Matrix<T>::Zero(count, padded_);
      for (Index part = 0; part * columns_at_once <= row + count - 1 - exact_.band; ++part) {
        const Index columns = ratios(row, count, part, right, ratio);
        kernels::multiply<T>(count, columns, padded_ / kernels::panel_width<T>(), ratio.data(), columns_at_once,
                             right.columns(part), columns * kernels::panel_width<T>(), step.data(), padded_, true);
      }
      for (Index x = 0; x < count; ++x) {
        const Index last = row + x - exact_.band;
        if (last < 0) continue;
        for (Index c = 0; c < rank_; ++c) scale(factors_.left(row + x, c), step(x, c), sums(last, c));
      }
    });
  }

  /// right *= ((M / model)^T left) / (support^T left).
  void step_right() {
    const PackedRows<T> right(factors_.right, columns_at_once);
    const PackedRows<T> left(factors_.left, rows_at_once);
    Matrix<double> sums = factors_.left.template cast<double>();  // of the rows of left from each row on
    for (Index i = n_ - 2; i >= 0; --i) sums.row(i) += sums.row(i + 1);
    parallel_for(context_, blocks_of(n_, columns_at_once), [&](Index part, int) {
      const Index column = part * columns_at_once;
      const Index columns = std::min(columns_at_once, n_ - column);
      Matrix<T> ratio(rows_at_once, columns_at_once);
      Matrix<T> turned(columns_at_once, rows_at_once);
      Matrix<T> step = Matrix<T>::Zero(columns, padded_);
      for (Index block = (column + exact_.band) / rows_at_once; block < blocks_of(n_, rows_at_once); ++block) {
        context_.check();
        const Index row = block * rows_at_once;
        const Index count = std::min(rows_at_once, n_ - row);
        ratios(row, count, part, right, ratio);
        turned.leftCols(count) = ratio.topRows(count).transpose();
        kernels::multiply<T>(columns, count, padded_ / kernels::panel_width<T>(), turned.data(), rows_at_once,
                             left.columns(block), count * kernels::panel_width<T>(), step.data(), padded_, true);
      }
      for (Index y = 0; y < columns; ++y) {
        const Index first = column + y + exact_.band;
        if (first >= n_) continue;
        for (Index c = 0; c < rank_; ++c) scale(factors_.right(column + y, c), step(y, c), sums(first, c));
      }
    });
  }

  MatrixFactors<T> take() { return std::move(factors_); }

 private:
  static void scale(T& factor, T wanted, double sum) {
    factor = sum == 0.0 ? T{0} : static_cast<T>(static_cast<double>(factor) * static_cast<double>(wanted) / sum);
  }

  void running_sums(Matrix<double>& sums) const {
    sums = factors_.right.template cast<double>();
    for (Index j = 1; j < n_; ++j) sums.row(j) += sums.row(j - 1);
  }

  /// ratio(x, y) = M / model in the rest, 0 elsewhere, for `count` rows and the columns of `part`; how many those are.
  Index ratios(Index row, Index count, Index part, const PackedRows<T>& right, Matrix<T>& ratio) const {
    const Index panel = kernels::panel_width<T>();
    const Index column = part * columns_at_once;
    const Index columns = std::min(columns_at_once, n_ - column);
    kernels::multiply<T>(count, rank_, round_up(columns, panel) / panel, factors_.left.data() + row * rank_, rank_,
                         right.transposed(part), rank_ * panel, ratio.data(), columns_at_once, false);
    for (Index x = 0; x < count; ++x) {
      const Index seen = std::clamp<Index>(row + x - exact_.band - column + 1, 0, columns);
      const T* wanted = probability_.data() + (row + x) * n_ + column;
      T* target = ratio.data() + x * columns_at_once;
      for (Index y = 0; y < seen; ++y) target[y] = wanted[y] / std::max(target[y], tiny);
      std::fill(target + seen, target + columns, T{0});
    }
    const auto first = std::ranges::lower_bound(exact_.columns, column);
    for (auto j = first; j != exact_.columns.end() && *j < column + columns; ++j) ratio.col(*j - column).head(count).setZero();
    return columns;
  }

  static constexpr T tiny = T(1e-30);
  const Matrix<T>& probability_;
  const ExactEntries& exact_;
  const RunContext& context_;
  Index n_, rank_, padded_;
  MatrixFactors<T> factors_;
};

/// probability * right, or probability^T * right, a block of rows of the result at a time.
template <Real T>
Matrix<T> triangular_product(const Matrix<T>& probability, const Matrix<T>& right, bool transpose, const RunContext& context) {
  const Index n = probability.rows();
  Matrix<T> result(n, right.cols());
  const Index blocks = blocks_of(n, rows_at_once);
  parallel_for(context, blocks, [&](Index item, int) {
    const Index first = (transpose ? item : blocks - 1 - item) * rows_at_once;  // dearest first
    const Index count = std::min(rows_at_once, n - first);
    if (transpose) {
      result.middleRows(first, count).noalias() =
          probability.block(first, first, n - first, count).transpose() * right.bottomRows(n - first);
    } else {
      result.middleRows(first, count).noalias() =
          probability.block(first, 0, count, first + count) * right.topRows(first + count);
    }
  });
  return result;
}

/// An orthonormal basis of the columns.
template <Real T>
Matrix<T> orthonormal(const Matrix<T>& columns) {
  const Eigen::HouseholderQR<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>> qr(columns);
  return qr.householderQ() * Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>::Identity(columns.rows(), columns.cols());
}

}  // namespace

template <Real T>
Matrix<T> dense_probabilities(const HeadView<T>& head, std::span<const double> lse, const RunContext& context) {
  const Index n = head.size();
  Matrix<T> probability = Matrix<T>::Zero(n, n);
  parallel_for(context, blocks_of(n, rows_at_once), [&](Index item, int) {
    const Index row = item * rows_at_once;
    const Index count = std::min(rows_at_once, n - row);
    probability_tile<T>(head, lse, row, 0, {probability.data() + row * n, count, row + count, Eigen::OuterStride<>(n)});
  });
  return probability;
}

template <Real T>
MatrixFactors<T> nonnegative_factors(const Matrix<T>& probability, const ExactEntries& exact, Index rank, int iterations,
                                     const RunContext& context) {
  require_rank(rank);
  if (iterations < 1) throw InvalidArgument(fmt::format("iterations is {}; it must be at least 1", iterations));
  NonnegativeSteps<T> steps(probability, exact, rank, context);
  for (int i = 0; i < iterations; ++i) {
    steps.step_left();
    steps.step_right();
  }
  steps.step_left();  // the rows' sums are right at the end
  return steps.take();
}

template <Real T>
void add_factored_rest(const MatrixFactors<T>& factors, const ExactEntries& exact, MatrixView<T> value,
                       MutableMatrixView<T> output, const RunContext& context) {
  constexpr Index values_at_once = 16;
  parallel_for(context, blocks_of(value.cols(), values_at_once), [&](Index item, int) {
    const Index first = item * values_at_once;
    const Index count = std::min(values_at_once, value.cols() - first);
    Matrix<T> sums = Matrix<T>::Zero(factors.right.cols(), count);
    for (Index i = exact.band; i < value.rows(); ++i) {
      if (i % 1024 == 0) context.check();
      const Index j = i - exact.band;
      sums.noalias() += factors.right.row(j).transpose() * value.row(j).segment(first, count);
      output.row(i).segment(first, count).noalias() += factors.left.row(i) * sums;
    }
  });
}

template <Real T>
MatrixFactors<T> truncated_svd(const Matrix<T>& probability, Index rank, const RunContext& context) {
  require_rank(rank);
  constexpr Index spare = 8;
  constexpr int powers = 3;
  const Index n = probability.rows();
  const Index width = std::min(n, rank + spare);
  const Matrix<T> random = positive_numbers<T>(n, width, 3).array() - T{1};
  Matrix<T> basis = orthonormal(triangular_product(probability, random, false, context));
  for (int power = 0; power < powers; ++power) {
    context.check();
    const Matrix<T> turned = orthonormal(triangular_product(probability, basis, true, context));
    basis = orthonormal(triangular_product(probability, turned, false, context));
  }
  const Matrix<T> projected = triangular_product(probability, basis, true, context);  // P^T basis, n x width
  const Eigen::MatrixXd squares = (projected.transpose() * projected).template cast<double>();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(squares);
  const Matrix<T> largest = solver.eigenvectors().rightCols(std::min(rank, width)).template cast<T>();
  return {basis * largest, projected * largest};
}

template <Real T>
Matrix<T> factored_product(const MatrixFactors<T>& factors, MatrixView<T> value, const RunContext& context) {
  const Matrix<T> inner = factors.right.transpose() * value;
  Matrix<T> result(value.rows(), value.cols());
  const Index n = value.rows();
  parallel_for(context, blocks_of(n, columns_at_once), [&](Index item, int) {
    const Index first = item * columns_at_once;
    const Index count = std::min(columns_at_once, n - first);
    result.middleRows(first, count).noalias() = factors.left.middleRows(first, count) * inner;
  });
  return result;
}

template Matrix<float> dense_probabilities(const HeadView<float>&, std::span<const double>, const RunContext&);
template MatrixFactors<float> nonnegative_factors(const Matrix<float>&, const ExactEntries&, Index, int, const RunContext&);
template void add_factored_rest(const MatrixFactors<float>&, const ExactEntries&, MatrixView<float>, MutableMatrixView<float>,
                                const RunContext&);
template MatrixFactors<float> truncated_svd(const Matrix<float>&, Index, const RunContext&);
template Matrix<float> factored_product(const MatrixFactors<float>&, MatrixView<float>, const RunContext&);
template Matrix<double> dense_probabilities(const HeadView<double>&, std::span<const double>, const RunContext&);
template MatrixFactors<double> nonnegative_factors(const Matrix<double>&, const ExactEntries&, Index, int, const RunContext&);
template void add_factored_rest(const MatrixFactors<double>&, const ExactEntries&, MatrixView<double>, MutableMatrixView<double>,
                                const RunContext&);
template MatrixFactors<double> truncated_svd(const Matrix<double>&, Index, const RunContext&);
template Matrix<double> factored_product(const MatrixFactors<double>&, MatrixView<double>, const RunContext&);

}  // namespace convbasis
