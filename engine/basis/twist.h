/// \file
/// Between rows of V (or of the output) and the columns that FFTs work on: transposition and the right-angle twist in one pass,
/// compiled for several instruction sets and chosen at run time. Internal to apply; see block_transform.h.
#pragma once

#include "core/types.h"

#include <complex>

namespace convbasis {

/// The twist w^t as two arrays: its real and its imaginary parts.
template <Real T>
struct TwistView {
  const T* real;
  const T* imaginary;
};

/// target[c * target_stride + t] = source[t * source_stride + c] * w^t for t < rows, c < columns.
template <Real T>
void twist_columns(const T* source, Index source_stride, Index rows, Index columns, TwistView<T> twist, std::complex<T>* target,
                   Index target_stride);

/// target[t * target_stride + c] = factor[t] * Re(source[c * source_stride + t] * conj(w^t)) for t < rows, c < columns.
template <Real T>
void untwist_columns(const std::complex<T>* source, Index source_stride, Index rows, Index columns, TwistView<T> twist,
                     const T* factor, T* target, Index target_stride);

/// target[t] = (ahead[t] - i behind[t]) * w^t for t < count: lags whose distance from the diagonal is t, and t - B.
template <Real T>
void twist_lags(const T* ahead, const T* behind, Index count, TwistView<T> twist, std::complex<T>* target);

}  // namespace convbasis
