/// \file
/// Single rows of P~ V in double, from the scores themselves: how rows that an FFT cannot hold are rescued. Internal to apply.
#pragma once

#include "basis/conv_weights.h"

#include <span>

namespace convbasis {

/// Rows that apply_rows() takes at a time: each row of V is read once for all of them.
inline constexpr Index rows_at_once = 4;

/// result.row(r) = sum_j P~_ij value_j for i = rows[r], each row with a shift of its own, summed in double. At most rows_at_once
/// rows, ascending. Cost O(i (d + 1)) each.
template <Real T>
void apply_rows(const ConvWeights<T>& weights, MatrixView<T> value, std::span<const Index> rows, Matrix<double>& result);

/// sums[r * columns + c] += sum_j weights[r * weight_stride + j] * value(j, c) for r < rows_at_once and all j < value.rows(),
/// columns = value.cols(). Compiled for several instruction sets.
template <Real T>
void add_weighted_rows(MatrixView<T> value, const double* weights, Index weight_stride, double* sums);

}  // namespace convbasis
