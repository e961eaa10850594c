#include "basis/twist.h"

// Compiled once for every instruction set, as attention/kernels.cpp is; foreach_target.h must come before highway.h.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "basis/twist.cpp"
#include "core/simd_targets.h"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace convbasis::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// One place of the transposition, for the edges.
template <class T>
HWY_INLINE void TwistOne(T value, TwistView<T> twist, Index t, std::complex<T>& target) {
  target = {value * twist.real[t], value * twist.imaginary[t]};
}
template <class T>
HWY_INLINE T UntwistOne(const std::complex<T>& value, TwistView<T> twist, Index t, T factor) {
  return factor * (value.real() * twist.real[t] + value.imag() * twist.imaginary[t]);
}

#if HWY_TARGET != HWY_SCALAR
/// Square tiles of 16-byte vectors: four floats or two doubles a side. All targets have them.
template <class T>
using Side = hn::CappedTag<T, 16 / sizeof(T)>;
template <class T>
constexpr Index side = 16 / static_cast<Index>(sizeof(T));

HWY_INLINE void Transpose(hn::Vec<Side<float>> (&v)[4]) {
  const Side<float> d;
  const hn::Repartition<double, Side<float>> pairs;
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, v[0], v[1]));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, v[2], v[3]));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, v[0], v[1]));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, v[2], v[3]));
  v[0] = hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23));
  v[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23));
  v[2] = hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23));
  v[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23));
}
HWY_INLINE void Transpose(hn::Vec<Side<double>> (&v)[2]) {
  const Side<double> d;
  const auto low = hn::InterleaveLower(d, v[0], v[1]);
  v[1] = hn::InterleaveUpper(d, v[0], v[1]);
  v[0] = low;
}

template <class T>
HWY_INLINE void TwistTile(const T* source, Index source_stride, TwistView<T> twist, Index t, std::complex<T>* target,
                          Index target_stride) {
  const Side<T> d;
  hn::Vec<Side<T>> tile[side<T>];
  for (Index a = 0; a < side<T>; ++a) tile[a] = hn::LoadU(d, source + (t + a) * source_stride);
  Transpose(tile);
  const auto real = hn::LoadU(d, twist.real + t);
  const auto imaginary = hn::LoadU(d, twist.imaginary + t);
  for (Index c = 0; c < side<T>; ++c) {
    hn::StoreInterleaved2(hn::Mul(tile[c], real), hn::Mul(tile[c], imaginary), d,
                          reinterpret_cast<T*>(target + c * target_stride + t));
  }
}

template <class T>
HWY_INLINE void UntwistTile(const std::complex<T>* source, Index source_stride, TwistView<T> twist, const T* factor, Index t,
                            T* target, Index target_stride) {
  const Side<T> d;
  hn::Vec<Side<T>> tile[side<T>];
  const auto scale = hn::LoadU(d, factor + t);
  const auto real = hn::Mul(scale, hn::LoadU(d, twist.real + t));
  const auto imaginary = hn::Mul(scale, hn::LoadU(d, twist.imaginary + t));
  for (Index c = 0; c < side<T>; ++c) {
    hn::Vec<Side<T>> value_real;
    hn::Vec<Side<T>> value_imaginary;
    hn::LoadInterleaved2(d, reinterpret_cast<const T*>(source + c * source_stride + t), value_real, value_imaginary);
    tile[c] = hn::MulAdd(value_real, real, hn::Mul(value_imaginary, imaginary));
  }
  Transpose(tile);
  for (Index a = 0; a < side<T>; ++a) hn::StoreU(tile[a], d, target + (t + a) * target_stride);
}
#endif

template <class T>
void TwistColumns(const T* source, Index source_stride, Index rows, Index columns, TwistView<T> twist, std::complex<T>* target,
                  Index target_stride) {
  Index c = 0;
#if HWY_TARGET != HWY_SCALAR
  for (; c + side<T> <= columns; c += side<T>) {
    Index t = 0;
    for (; t + side<T> <= rows; t += side<T>) {
      TwistTile(source + c, source_stride, twist, t, target + c * target_stride, target_stride);
    }
    for (; t < rows; ++t) {
      for (Index x = c; x < c + side<T>; ++x) TwistOne(source[t * source_stride + x], twist, t, target[x * target_stride + t]);
    }
  }
#endif
  for (; c < columns; ++c) {
    for (Index t = 0; t < rows; ++t) TwistOne(source[t * source_stride + c], twist, t, target[c * target_stride + t]);
  }
}

template <class T>
void UntwistColumns(const std::complex<T>* source, Index source_stride, Index rows, Index columns, TwistView<T> twist,
                    const T* factor, T* target, Index target_stride) {
  Index c = 0;
#if HWY_TARGET != HWY_SCALAR
  for (; c + side<T> <= columns; c += side<T>) {
    Index t = 0;
    for (; t + side<T> <= rows; t += side<T>) {
      UntwistTile(source + c * source_stride, source_stride, twist, factor, t, target + c, target_stride);
    }
    for (; t < rows; ++t) {
      for (Index x = c; x < c + side<T>; ++x) {
        target[t * target_stride + x] = UntwistOne(source[x * source_stride + t], twist, t, factor[t]);
      }
    }
  }
#endif
  for (; c < columns; ++c) {
    for (Index t = 0; t < rows; ++t) {
      target[t * target_stride + c] = UntwistOne(source[c * source_stride + t], twist, t, factor[t]);
    }
  }
}

template <class T>
void TwistLags(const T* ahead, const T* behind, Index count, TwistView<T> twist, std::complex<T>* target) {
  Index t = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<T> d;
  const Index lanes = static_cast<Index>(hn::Lanes(d));
  for (; t + lanes <= count; t += lanes) {
    const auto a = hn::LoadU(d, ahead + t);
    const auto b = hn::LoadU(d, behind + t);
    const auto real = hn::LoadU(d, twist.real + t);
    const auto imaginary = hn::LoadU(d, twist.imaginary + t);
    hn::StoreInterleaved2(hn::MulAdd(a, real, hn::Mul(b, imaginary)), hn::MulSub(a, imaginary, hn::Mul(b, real)), d,
                          reinterpret_cast<T*>(target + t));
  }
#endif
  for (; t < count; ++t) {
    target[t] = {ahead[t] * twist.real[t] + behind[t] * twist.imaginary[t],
                 ahead[t] * twist.imaginary[t] - behind[t] * twist.real[t]};
  }
}

void TwistColumnsF32(const float* source, Index source_stride, Index rows, Index columns, TwistView<float> twist,
                     std::complex<float>* target, Index target_stride) {
  TwistColumns(source, source_stride, rows, columns, twist, target, target_stride);
}
void TwistColumnsF64(const double* source, Index source_stride, Index rows, Index columns, TwistView<double> twist,
                     std::complex<double>* target, Index target_stride) {
  TwistColumns(source, source_stride, rows, columns, twist, target, target_stride);
}
void UntwistColumnsF32(const std::complex<float>* source, Index source_stride, Index rows, Index columns, TwistView<float> twist,
                       const float* factor, float* target, Index target_stride) {
  UntwistColumns(source, source_stride, rows, columns, twist, factor, target, target_stride);
}
void UntwistColumnsF64(const std::complex<double>* source, Index source_stride, Index rows, Index columns,
                       TwistView<double> twist, const double* factor, double* target, Index target_stride) {
  UntwistColumns(source, source_stride, rows, columns, twist, factor, target, target_stride);
}
void TwistLagsF32(const float* ahead, const float* behind, Index count, TwistView<float> twist, std::complex<float>* target) {
  TwistLags(ahead, behind, count, twist, target);
}
void TwistLagsF64(const double* ahead, const double* behind, Index count, TwistView<double> twist, std::complex<double>* target) {
  TwistLags(ahead, behind, count, twist, target);
}

}  // namespace convbasis::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace convbasis {

HWY_EXPORT(TwistColumnsF32);
HWY_EXPORT(TwistColumnsF64);
HWY_EXPORT(UntwistColumnsF32);
HWY_EXPORT(UntwistColumnsF64);
HWY_EXPORT(TwistLagsF32);
HWY_EXPORT(TwistLagsF64);

template <>
void twist_columns(const float* source, Index source_stride, Index rows, Index columns, TwistView<float> twist,
                   std::complex<float>* target, Index target_stride) {
  HWY_DYNAMIC_DISPATCH(TwistColumnsF32)(source, source_stride, rows, columns, twist, target, target_stride);
}
template <>
void twist_columns(const double* source, Index source_stride, Index rows, Index columns, TwistView<double> twist,
                   std::complex<double>* target, Index target_stride) {
  HWY_DYNAMIC_DISPATCH(TwistColumnsF64)(source, source_stride, rows, columns, twist, target, target_stride);
}
template <>
void untwist_columns(const std::complex<float>* source, Index source_stride, Index rows, Index columns, TwistView<float> twist,
                     const float* factor, float* target, Index target_stride) {
  HWY_DYNAMIC_DISPATCH(UntwistColumnsF32)(source, source_stride, rows, columns, twist, factor, target, target_stride);
}
template <>
void untwist_columns(const std::complex<double>* source, Index source_stride, Index rows, Index columns, TwistView<double> twist,
                     const double* factor, double* target, Index target_stride) {
  HWY_DYNAMIC_DISPATCH(UntwistColumnsF64)(source, source_stride, rows, columns, twist, factor, target, target_stride);
}
template <>
void twist_lags(const float* ahead, const float* behind, Index count, TwistView<float> twist, std::complex<float>* target) {
  HWY_DYNAMIC_DISPATCH(TwistLagsF32)(ahead, behind, count, twist, target);
}
template <>
void twist_lags(const double* ahead, const double* behind, Index count, TwistView<double> twist, std::complex<double>* target) {
  HWY_DYNAMIC_DISPATCH(TwistLagsF64)(ahead, behind, count, twist, target);
}

}  // namespace convbasis
#endif
