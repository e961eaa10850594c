#include "basis/spectra.h"

#include <algorithm>

// Compiled once for every instruction set, as attention/kernels.cpp is; foreach_target.h must come before highway.h.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "basis/spectra.cpp"
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace convbasis::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// At most one chunk wide, so that a vector never crosses from real to imaginary parts.
template <class T>
using Vectors = hn::CappedTag<T, chunk_width<T>>;

template <bool Conjugate, class T>
HWY_INLINE void AccumulateLane(Index count, const Index* HWY_RESTRICT index, Index offset, const T* HWY_RESTRICT lags,
                               const T* HWY_RESTRICT x, T* HWY_RESTRICT sum) {
  const Vectors<T> vectors;
  constexpr Index width = chunk_width<T>;
  hn::Vec<Vectors<T>> real[spectrum_channels];
  hn::Vec<Vectors<T>> imaginary[spectrum_channels];
  for (Index c = 0; c < spectrum_channels; ++c) real[c] = imaginary[c] = hn::Zero(vectors);
  for (Index i = 0; i < count; ++i) {
    const T* lag = lags + (index[i] + offset) * 2 * width;
    const auto lag_real = hn::LoadU(vectors, lag);
    const auto lag_imaginary = hn::LoadU(vectors, lag + width);
    for (Index c = 0; c < spectrum_channels; ++c) {
      const T* value = x + (i * spectrum_channels + c) * 2 * width;
      const auto x_real = hn::LoadU(vectors, value);
      const auto x_imaginary = hn::LoadU(vectors, value + width);
      real[c] = hn::MulAdd(lag_real, x_real, real[c]);
      imaginary[c] = hn::MulAdd(lag_real, x_imaginary, imaginary[c]);
      if constexpr (Conjugate) {
        real[c] = hn::MulAdd(lag_imaginary, x_imaginary, real[c]);
        imaginary[c] = hn::NegMulAdd(lag_imaginary, x_real, imaginary[c]);
      } else {
        real[c] = hn::NegMulAdd(lag_imaginary, x_imaginary, real[c]);
        imaginary[c] = hn::MulAdd(lag_imaginary, x_real, imaginary[c]);
      }
    }
  }
  for (Index c = 0; c < spectrum_channels; ++c) {
    hn::StoreU(real[c], vectors, sum + c * 2 * width);
    hn::StoreU(imaginary[c], vectors, sum + c * 2 * width + width);
  }
}

template <class T>
void Accumulate(Index count, const Index* index, Index offset, const T* lags, const T* x, bool conjugate, T* sum) {
  const Index lanes = static_cast<Index>(hn::Lanes(Vectors<T>()));
  for (Index lane = 0; lane < chunk_width<T>; lane += lanes) {
    if (conjugate) {
      AccumulateLane<true>(count, index, offset, lags + lane, x + lane, sum + lane);
    } else {
      AccumulateLane<false>(count, index, offset, lags + lane, x + lane, sum + lane);
    }
  }
}

void AccumulateF32(Index count, const Index* index, Index offset, const float* lags, const float* x, bool conjugate, float* sum) {
  Accumulate(count, index, offset, lags, x, conjugate, sum);
}
void AccumulateF64(Index count, const Index* index, Index offset, const double* lags, const double* x, bool conjugate,
                   double* sum) {
  Accumulate(count, index, offset, lags, x, conjugate, sum);
}

}  // namespace convbasis::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace convbasis {

HWY_EXPORT(AccumulateF32);
HWY_EXPORT(AccumulateF64);

template <>
void accumulate_products(Index count, const Index* index, Index offset, const float* lags, const float* x, bool conjugate,
                         float* sum) {
  HWY_DYNAMIC_DISPATCH(AccumulateF32)(count, index, offset, lags, x, conjugate, sum);
}
template <>
void accumulate_products(Index count, const Index* index, Index offset, const double* lags, const double* x, bool conjugate,
                         double* sum) {
  HWY_DYNAMIC_DISPATCH(AccumulateF64)(count, index, offset, lags, x, conjugate, sum);
}

template <Real T>
void SpectrumBank<T>::store(Index spectrum, Index channel, std::span<const std::complex<T>> values) {
  constexpr Index width = chunk_width<T>;
  for (Index c = 0; c < chunks_; ++c) {
    T* target = chunk(c) + spectrum * stride() + channel * 2 * width;
    const Index used = std::min(width, bins_ - c * width);
    for (Index f = 0; f < used; ++f) {
      const auto value = values[static_cast<std::size_t>(c * width + f)];
      target[f] = value.real();
      target[width + f] = value.imag();
    }
  }
}

template <Real T>
void SpectrumBank<T>::load(Index spectrum, Index channel, std::span<std::complex<T>> values) const {
  constexpr Index width = chunk_width<T>;
  for (Index c = 0; c < chunks_; ++c) {
    const T* source = chunk(c) + spectrum * stride() + channel * 2 * width;
    const Index used = std::min(width, bins_ - c * width);
    for (Index f = 0; f < used; ++f) values[static_cast<std::size_t>(c * width + f)] = {source[f], source[width + f]};
  }
}

template class SpectrumBank<float>;
template class SpectrumBank<double>;

}  // namespace convbasis
#endif
