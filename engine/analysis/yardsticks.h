/// \file
/// Matrix factors of a head's probabilities: what the same number of operations buys without any convolution. They hold the
/// whole n x n matrix, so they are for short heads only. Mathematics page, section 7.
#pragma once

#include "attention/head.h"
#include "basis/structured_fit.h"
#include "core/run_context.h"

#include <span>

namespace convbasis {

/// left right^T, n x r each.
template <Real T>
struct MatrixFactors {
  Matrix<T> left, right;
};

/// P, n x n, with zeros above the diagonal. Cost O(n^2 d). Throws Cancelled.
template <Real T>
Matrix<T> dense_probabilities(const HeadView<T>& head, std::span<const double> lse, const RunContext& context = {});

/// Non-negative factors of the entries of `probability` outside of the exact ones, by multiplicative steps that lower the
/// Kullback-Leibler divergence, from random factors of a fixed seed. Cost: 2 n^2 rank multiply-adds for each of the `iterations`.
/// right is 0 on exact columns. The result does not depend on the number of threads. Throws InvalidArgument for a rank or a
/// number of iterations below 1, Cancelled.
template <Real T>
MatrixFactors<T> nonnegative_factors(const Matrix<T>& probability, const ExactEntries& exact, Index rank, int iterations,
                                     const RunContext& context = {});

/// output.row(i) += sum over the rest's entries j of row i of left_i . right_j V_j, by running sums of right_j^T V_j. Cost: 2 n
/// rank d_v.
template <Real T>
void add_factored_rest(const MatrixFactors<T>& factors, const ExactEntries& exact, MatrixView<T> value,
                       MutableMatrixView<T> output, const RunContext& context = {});

/// The best factors of rank `rank` of all of `probability` in the Frobenius norm, nearly: subspace iteration from random vectors
/// of a fixed seed. Cost: 4 n^2 (rank + 8) multiply-adds. Throws InvalidArgument for a rank below 1, Cancelled.
template <Real T>
MatrixFactors<T> truncated_svd(const Matrix<T>& probability, Index rank, const RunContext& context = {});

/// left (right^T value). Cost: 2 n rank d_v multiply-adds.
template <Real T>
Matrix<T> factored_product(const MatrixFactors<T>& factors, MatrixView<T> value, const RunContext& context = {});

}  // namespace convbasis
