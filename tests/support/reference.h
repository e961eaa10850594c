/// \file
/// Slow, readable references in double precision, each written straight from its definition in the mathematics page.
/// They share no code with the engine but its data types, and make n x n matrices freely: keep n small.
#pragma once

#include "attention/head.h"
#include "basis/conv_basis.h"

#include <complex>
#include <span>
#include <vector>

namespace convbasis::reference {

using Dense = Matrix<double>;

/// conv(b, m): zero but for the bottom-right m x m block, which is lower-triangular Toeplitz with first column b_0..b_{m-1}.
Dense conv(std::span<const double> b, Index m, Index n);

/// sum_r conv(b_r, m_r), literally. Cost O(k n^2).
template <Real T>
Dense dense(const ConvBasis<T>& basis);

/// scale * Q_i . K_j + bias[i - j], or what the score matrix says, on and below the diagonal, zero above. Sums in double.
template <Real T>
Dense scores(const HeadView<T>& head);

struct Softmax {
  Dense probability;        ///< zero above the diagonal
  std::vector<double> lse;  ///< log sum_{j<=i} exp(S_ij)
};

/// Causal softmax of a dense score matrix, each row shifted by its own maximum.
Softmax softmax(const Dense& scores);

struct Recovered {
  std::vector<Index> starts;
  std::vector<std::vector<double>> lag_vectors;  ///< u_r, n - start numbers
};

/// Recover(k, T, delta, eps) as written in section 2, with a linear scan for the first differing column.
Recovered recover(const Dense& scores, Index k, Index T, double delta, double eps);

/// Attention by a score basis, row by row: Y_i = sum_r sum_{j in seg r, j <= i} P_ij V_j with P_ij = exp(u_r[i-j]) / D_i.
/// Columns before the first start have score 0. Each row is shifted by its own maximum, so any dynamic range is right.
/// Cost O(n^2 d_v) time, O(n) memory.
template <Real T>
Dense segment_sum(const ConvBasis<T>& scores, const Dense& value);

/// P^T value for the same P.
template <Real T>
Dense segment_sum_transposed(const ConvBasis<T>& scores, const Dense& value);

/// spectrum[f] = sum_t signal[t] exp(-2 pi i f t / N) for f <= N / 2.
std::vector<std::complex<double>> dft(std::span<const double> signal);

/// ||got - expected||_F / ||expected||_F; NaN when either holds a NaN.
double relative_error(const Dense& got, const Dense& expected);

/// max |got - expected|; NaN when either holds a NaN.
double max_error(const Dense& got, const Dense& expected);

}  // namespace convbasis::reference
