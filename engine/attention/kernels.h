/// \file
/// The dense inner loops of the engine, compiled for several instruction sets and chosen at run time. Internal
/// to the engine. No function here allocates or throws.
///
/// Panels. The right-hand side of a product is packed into panels of panel_width<T>() columns, so that the inner loop
/// reads it with stride one: panel p, depth c, column x at packed[p * panel_stride + c * panel_width + x], zero-padded.
#pragma once

#include "core/types.h"

namespace convbasis::kernels {

/// Columns of a panel on this machine (two vectors).
template <Real T>
Index panel_width();

/// Packs the rows of `source` (rows x depth) as columns of panels: what S = Q K^T needs of K. panel_stride = depth * width.
template <Real T>
void pack_transposed(MatrixView<T> source, T* packed);

/// Packs `source` (depth x columns) by panels of columns: what P V needs of V. panel_stride = depth * width.
template <Real T>
void pack_columns(MatrixView<T> source, T* packed);

/// target[i][p * width + x] (+)= sum_{c < depth} left[i][c] * packed(p, c, x) for i < rows, p < panels.
/// `target` rows must hold panels * width numbers. Cost rows * depth * panels * width multiply-adds.
template <Real T>
void multiply(Index rows, Index depth, Index panels, const T* left, Index left_stride, const T* packed, Index panel_stride,
              T* target, Index target_stride, bool accumulate);

/// out[i] = exp(in[i] - shift); results below T's smallest normal number become 0 (subnormals slow every FFT down).
template <Real T>
void exp_shifted(const T* in, Index count, T shift, T* out);

/// out[t] = scale * sum_c matrix[t][c] * vector[c] for all rows t.
template <Real T>
void multiply_vector(MatrixView<T> matrix, const T* vector, T scale, T* out);

/// Multiply-adds on registers alone, as many independent chains as a register block has: what this machine can do at most, to
/// hold kernels against. Does repeats * multiply_adds_of_one_repeat<T>() of them; the result keeps the compiler from dropping
/// them.
template <Real T>
T multiply_adds(Index repeats);
template <Real T>
Index multiply_adds_of_one_repeat();

}  // namespace convbasis::kernels
