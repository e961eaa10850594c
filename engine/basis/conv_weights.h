/// \file
/// From recovered scores to attention weights, in segment form. Mathematics page, section 2, "From scores to attention".
#pragma once

#include "basis/conv_basis.h"
#include "core/run_context.h"

#include <vector>

namespace convbasis {

/// The weights A_ij = exp(H_ij - shift) of a score basis H, as the conv basis E_r = exp(u_r - shift), with row sums.
///
/// One global shift, the largest score of the basis, keeps exp in range and cancels in D^-1 A; shifts by row would break
/// the Toeplitz structure. Columns before the first start have score zero, so weight exp(-shift): they get a segment of
/// their own (the paper's c_1 = exp(u_1) assumes that the first segment starts at column 0).
template <Real T>
struct ConvWeights {
  ConvBasis<T> scores;   ///< u_r, starting at column 0
  ConvBasis<T> weights;  ///< E_r = exp(u_r - shift), all in [0, 1]; subnormal ones are 0
  double shift = 0.0;
  /// D_i = sum_j A_ij, accumulated in double without subtraction (cancellation-free). May underflow to 0 where all
  /// scores of a row are far below the shift; log_sum holds there too.
  std::vector<double> row_sum;

  /// True when the weights of the row are so small beside the shift that `weights` no longer hold it to full precision;
  /// such a row is computed from `scores` with a shift of its own.
  bool underflows(Index row) const;
  /// 1 / D_i, and 0 in a row that underflows.
  T row_factor(Index row) const { return underflows(row) ? T{0} : static_cast<T>(1.0 / row_sum[static_cast<std::size_t>(row)]); }
  /// log sum_j exp(H_ij) of row i, exact for an underflowing row too. Cost O(1), O(i) for an underflowing row.
  double log_row_sum(Index row) const;
  /// P~_ij = exp(H_ij - log_row_sum(i)) for i in [row, ...), j in [column, ...); exactly zero above the diagonal.
  void probability_tile(Index row, Index column, MutableMatrixView<T> tile) const;
  /// P~ of one row, for the columns from `column` on, all of them <= row. Without exponentials, unless the row sum is very small.
  void probability_row(Index row, Index column, std::span<T> target) const;
};

/// Cost O(k n) exponentials and additions. Throws InvalidArgument when `scores` is of size 0 or not finite, Cancelled.
template <Real T>
ConvWeights<T> exponentiate(const ConvBasis<T>& scores, const RunContext& context = {});

}  // namespace convbasis
