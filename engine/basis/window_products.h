/// \file
/// Dot products of one vector with windows that slide by less than their length: the inner loop of correlations without FFT.
/// Internal to the basis folder.
#pragma once

#include "core/types.h"

namespace convbasis {

/// out[t] = sum_{c < length} data[t * step + c] * vector[c] for t < count. Compiled for several instruction sets. Cost: length *
/// count multiply-adds.
template <Real T>
void window_products(const T* data, Index step, const T* vector, Index length, Index count, T* out);

}  // namespace convbasis
