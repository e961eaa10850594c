/// \file
/// The few types that every part of the engine shares. Matrices are row-major: one row is one token.
/// Nothing here owns memory except `Matrix`; functions take views, so callers never have to copy.
#pragma once

#include <Eigen/Core>

#include <concepts>
#include <cstddef>

namespace convbasis {

/// Signed size and position, the same type as Eigen's.
using Index = Eigen::Index;

/// The two working precisions of the engine.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

/// An owned row-major matrix; one row for each token.
template <Real T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// One row of a matrix.
template <Real T>
using RowVector = Eigen::Matrix<T, 1, Eigen::Dynamic, Eigen::RowMajor>;

/// A read-only view of a row-major matrix with any distance between rows. The viewed memory must outlive it.
template <Real T>
using MatrixView = Eigen::Map<const Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

/// A writable view of a row-major matrix with any distance between rows. The viewed memory must outlive it.
template <Real T>
using MutableMatrixView = Eigen::Map<Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

/// The whole of `matrix`, read-only.
template <Real T>
MatrixView<T> view(const Matrix<T>& matrix) {
  return {matrix.data(), matrix.rows(), matrix.cols(), Eigen::OuterStride<>(matrix.cols())};
}

/// The whole of `matrix`, writable.
template <Real T>
MutableMatrixView<T> mutable_view(Matrix<T>& matrix) {
  return {matrix.data(), matrix.rows(), matrix.cols(), Eigen::OuterStride<>(matrix.cols())};
}

/// Rows `first` to `first + count - 1` of `matrix`, read-only.
template <Real T>
MatrixView<T> rows(const MatrixView<T>& matrix, Index first, Index count) {
  return {matrix.data() + first * matrix.outerStride(), count, matrix.cols(), Eigen::OuterStride<>(matrix.outerStride())};
}

/// The smallest multiple of `step` that is at least `value`.
constexpr Index round_up(Index value, Index step) { return (value + step - 1) / step * step; }

}  // namespace convbasis
