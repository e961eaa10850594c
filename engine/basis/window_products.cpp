#include "basis/window_products.h"

// Compiled once for every instruction set, as attention/kernels.cpp is; foreach_target.h must come before highway.h.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "basis/window_products.cpp"
#include "core/simd_targets.h"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace convbasis::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Windows [0, Windows) from `data` on. Each number of the vector is loaded once for all of them, and their sums do not wait for
/// each other.
template <int Windows, class T>
HWY_INLINE void ProductsOfWindows(const T* data, Index step, const T* vector, Index length, T* out) {
  const hn::ScalableTag<T> vectors;
  const Index lanes = static_cast<Index>(hn::Lanes(vectors));
  hn::Vec<decltype(vectors)> sums[Windows];
  for (int w = 0; w < Windows; ++w) sums[w] = hn::Zero(vectors);
  Index c = 0;
  for (; c + lanes <= length; c += lanes) {
    const auto factor = hn::LoadU(vectors, vector + c);
    for (int w = 0; w < Windows; ++w) sums[w] = hn::MulAdd(hn::LoadU(vectors, data + w * step + c), factor, sums[w]);
  }
  for (int w = 0; w < Windows; ++w) {
    T total = hn::GetLane(hn::SumOfLanes(vectors, sums[w]));
    for (Index rest = c; rest < length; ++rest) total += data[w * step + rest] * vector[rest];
    out[w] = total;
  }
}

template <class T>
void WindowProducts(const T* data, Index step, const T* vector, Index length, Index count, T* out) {
  constexpr int at_once = 8;
  Index t = 0;
  for (; t + at_once <= count; t += at_once) ProductsOfWindows<at_once>(data + t * step, step, vector, length, out + t);
  for (; t < count; ++t) ProductsOfWindows<1>(data + t * step, step, vector, length, out + t);
}

void WindowProductsF32(const float* data, Index step, const float* vector, Index length, Index count, float* out) {
  WindowProducts(data, step, vector, length, count, out);
}
void WindowProductsF64(const double* data, Index step, const double* vector, Index length, Index count, double* out) {
  WindowProducts(data, step, vector, length, count, out);
}

}  // namespace convbasis::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace convbasis {

HWY_EXPORT(WindowProductsF32);
HWY_EXPORT(WindowProductsF64);

template <>
void window_products(const float* data, Index step, const float* vector, Index length, Index count, float* out) {
  HWY_DYNAMIC_DISPATCH(WindowProductsF32)(data, step, vector, length, count, out);
}
template <>
void window_products(const double* data, Index step, const double* vector, Index length, Index count, double* out) {
  HWY_DYNAMIC_DISPATCH(WindowProductsF64)(data, step, vector, length, count, out);
}

}  // namespace convbasis
#endif
