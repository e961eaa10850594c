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

/// What the inner loop reads and writes at one frequency; strides in complex numbers.
template <class T>
struct Place {
  const std::complex<T>* lags;
  Index lag_stride;
  const std::complex<T>* inputs;
  Index input_stride, input_channel_stride;
  std::complex<T>* result;
  Index result_channel_stride;
};

/// One vector of frequencies of one sum, for Channels channels at once: each lag spectrum is loaded once for all of them.
/// Numbers stay as pairs (real, imaginary): x * Re L and x * Im L are summed apart, and combined at the end.
#if HWY_TARGET == HWY_SCALAR
template <int Channels, bool Conjugate, class T>
void AccumulateVector(const SpectrumSum& sum, const Place<T>& place) {
  for (Index c = 0; c < Channels; ++c) {
    T real = 0;
    T imaginary = 0;
    for (Index i = 0; i < sum.count; ++i) {
      const std::complex<T> lag = place.lags[(sum.index[i] + sum.offset) * place.lag_stride];
      const std::complex<T> x = place.inputs[i * place.input_stride + c * place.input_channel_stride];
      const T lag_imaginary = Conjugate ? -lag.imag() : lag.imag();
      real += lag.real() * x.real() - lag_imaginary * x.imag();
      imaginary += lag.real() * x.imag() + lag_imaginary * x.real();
    }
    place.result[c * place.result_channel_stride] = {real, imaginary};
  }
}
template <class T>
Index FrequenciesAtOnce() {
  return 1;
}
#else
template <int Channels, bool Conjugate, class T>
HWY_INLINE void AccumulateVector(const SpectrumSum& sum, const Place<T>& place) {
  const hn::ScalableTag<T> vectors;
  using Vector = hn::Vec<hn::ScalableTag<T> >;
  const auto load = [&](const std::complex<T>* from) HWY_ATTR { return hn::LoadU(vectors, reinterpret_cast<const T*>(from)); };
  Vector by_real[Channels];
  Vector by_imaginary[Channels];
  for (int c = 0; c < Channels; ++c) by_real[c] = by_imaginary[c] = hn::Zero(vectors);
  const std::complex<T>* x = place.inputs;
  for (Index i = 0; i < sum.count; ++i, x += place.input_stride) {
    const Vector lag = load(place.lags + (sum.index[i] + sum.offset) * place.lag_stride);
    const Vector lag_real = hn::DupEven(lag);
    const Vector lag_imaginary = hn::DupOdd(lag);
    for (int c = 0; c < Channels; ++c) {
      const Vector value = load(x + c * place.input_channel_stride);
      by_real[c] = hn::MulAdd(lag_real, value, by_real[c]);
      by_imaginary[c] = hn::MulAdd(lag_imaginary, value, by_imaginary[c]);
    }
  }
  for (int c = 0; c < Channels; ++c) {
    const Vector swapped = hn::Reverse2(vectors, by_imaginary[c]);
    const Vector plus = hn::Add(by_real[c], swapped);
    const Vector minus = hn::Sub(by_real[c], swapped);
    const Vector product = Conjugate ? hn::OddEven(minus, plus) : hn::OddEven(plus, minus);
    hn::StoreU(product, vectors, reinterpret_cast<T*>(place.result + c * place.result_channel_stride));
  }
}
template <class T>
Index FrequenciesAtOnce() {
  return static_cast<Index>(hn::Lanes(hn::ScalableTag<T>())) / 2;
}
#endif

template <bool Conjugate, class T>
void AccumulateChannels(Index channels, const SpectrumSum& sum, const Place<T>& place) {
  switch (channels) {
    case 1:
      return AccumulateVector<1, Conjugate>(sum, place);
    case 2:
      return AccumulateVector<2, Conjugate>(sum, place);
    case 3:
      return AccumulateVector<3, Conjugate>(sum, place);
    default:
      return AccumulateVector<4, Conjugate>(sum, place);
  }
}

/// Frequencies outside, sums inside: what one vector of frequencies of all spectra needs stays in the cache meanwhile. The last
/// vector may reach into the spare line behind a spectrum.
template <bool Conjugate, class T>
void Accumulate(std::span<const SpectrumSum> sums, Index bins, Index channels, const SpectrumBank<T>& lags,
                const SpectrumBank<T>& inputs, SpectrumBank<T>& result) {
  constexpr Index at_once = 4;  // channels: their sums fit 16 registers beside the operands
  for (Index f = 0; f < bins; f += FrequenciesAtOnce<T>()) {
    for (std::size_t s = 0; s < sums.size(); ++s) {
      for (Index c = 0; c < channels; c += at_once) {
        const Place<T> place{lags.spectrum(0, 0) + f,
                             lags.stride(),
                             inputs.spectrum(sums[s].first_input, c) + f,
                             inputs.stride() * inputs.channels(),
                             inputs.stride(),
                             result.spectrum(static_cast<Index>(s), c) + f,
                             result.stride()};
        AccumulateChannels<Conjugate>(std::min(at_once, channels - c), sums[s], place);
      }
    }
  }
}

template <class T>
void AccumulateProducts(std::span<const SpectrumSum> sums, Index bins, Index channels, bool conjugate,
                        const SpectrumBank<T>& lags, const SpectrumBank<T>& inputs, SpectrumBank<T>& result) {
  conjugate ? Accumulate<true>(sums, bins, channels, lags, inputs, result)
            : Accumulate<false>(sums, bins, channels, lags, inputs, result);
}

void AccumulateF32(std::span<const SpectrumSum> sums, Index bins, Index channels, bool conjugate, const SpectrumBank<float>& lags,
                   const SpectrumBank<float>& inputs, SpectrumBank<float>& result) {
  AccumulateProducts(sums, bins, channels, conjugate, lags, inputs, result);
}
void AccumulateF64(std::span<const SpectrumSum> sums, Index bins, Index channels, bool conjugate,
                   const SpectrumBank<double>& lags, const SpectrumBank<double>& inputs, SpectrumBank<double>& result) {
  AccumulateProducts(sums, bins, channels, conjugate, lags, inputs, result);
}

}  // namespace convbasis::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace convbasis {

HWY_EXPORT(AccumulateF32);
HWY_EXPORT(AccumulateF64);

template <>
void accumulate_products(std::span<const SpectrumSum> sums, Index bins, Index channels, bool conjugate,
                         const SpectrumBank<float>& lags, const SpectrumBank<float>& inputs, SpectrumBank<float>& result) {
  HWY_DYNAMIC_DISPATCH(AccumulateF32)(sums, bins, channels, conjugate, lags, inputs, result);
}
template <>
void accumulate_products(std::span<const SpectrumSum> sums, Index bins, Index channels, bool conjugate,
                         const SpectrumBank<double>& lags, const SpectrumBank<double>& inputs, SpectrumBank<double>& result) {
  HWY_DYNAMIC_DISPATCH(AccumulateF64)(sums, bins, channels, conjugate, lags, inputs, result);
}

}  // namespace convbasis
#endif
