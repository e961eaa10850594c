#include "basis/spectra.h"

#include <algorithm>
#include <cstring>

// Compiled once for every instruction set, as attention/kernels.cpp is; foreach_target.h must come before highway.h.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "basis/spectra.cpp"
#include "core/simd_targets.h"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace convbasis::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// At most one chunk wide.
template <class T>
using Vectors = hn::CappedTag<T, 2 * chunk_width<T>>;

/// One vector of frequencies of one sum, for Channels channels at once: each lag spectrum is loaded once for all of them. Numbers
/// stay as pairs (real, imaginary): x * Re L and x * Im L are summed apart, and combined at the end. `lags` is a chunk of the
/// first spectrum, `x` of the first input and channel, `step` from one input to the next.
#if HWY_TARGET == HWY_SCALAR
template <int Channels, bool Conjugate, class T>
HWY_INLINE void AccumulateVector(const SpectrumSum& sum, const std::complex<T>* lags, const std::complex<T>* x, Index step,
                                 std::complex<T>* result) {
  for (Index c = 0; c < Channels; ++c) {
    T real = 0;
    T imaginary = 0;
    for (Index i = 0; i < sum.count; ++i) {
      const std::complex<T> lag = lags[(sum.index[i] + sum.offset) * chunk_width<T>];
      const std::complex<T> value = x[i * step + c * chunk_width<T>];
      const T lag_imaginary = Conjugate ? -lag.imag() : lag.imag();
      real += lag.real() * value.real() - lag_imaginary * value.imag();
      imaginary += lag.real() * value.imag() + lag_imaginary * value.real();
    }
    result[c * chunk_width<T>] = {real, imaginary};
  }
}
/// One frequency of lags_at_once lags: products of the left spectra, from `left` on, with the right ones from `right` on.
template <class T>
HWY_INLINE void CorrelateVector(const std::complex<T>* left, Index left_step, const std::complex<T>* right, Index right_step,
                                Index count, Index channels, std::complex<T>* sums) {
  for (Index l = 0; l < lags_at_once; ++l) {
    T real = 0;
    T imaginary = 0;
    for (Index i = 0; i < count; ++i) {
      for (Index c = 0; c < channels; ++c) {
        const std::complex<T> x = left[i * left_step + c * chunk_width<T>];
        const std::complex<T> y = right[(i + l) * right_step + c * chunk_width<T>];
        real += x.real() * y.real() + x.imag() * y.imag();
        imaginary += x.real() * y.imag() - x.imag() * y.real();
      }
    }
    sums[l * chunk_width<T>] = {real, imaginary};
  }
}
template <class T>
constexpr Index FrequenciesAtOnce() {
  return 1;
}
#else
template <int Channels, bool Conjugate, class T>
HWY_INLINE void AccumulateVector(const SpectrumSum& sum, const std::complex<T>* lags, const std::complex<T>* x, Index step,
                                 std::complex<T>* result) {
  const Vectors<T> vectors;
  using Vector = hn::Vec<Vectors<T>>;
  const auto load = [&](const std::complex<T>* from) HWY_ATTR { return hn::LoadU(vectors, reinterpret_cast<const T*>(from)); };
  Vector by_real[Channels];
  Vector by_imaginary[Channels];
  for (int c = 0; c < Channels; ++c) by_real[c] = by_imaginary[c] = hn::Zero(vectors);
  lags += sum.offset * chunk_width<T>;
  for (Index i = 0; i < sum.count; ++i, x += step) {
    const Vector lag = load(lags + sum.index[i] * chunk_width<T>);
    const Vector lag_real = hn::DupEven(lag);
    const Vector lag_imaginary = hn::DupOdd(lag);
    for (int c = 0; c < Channels; ++c) {
      const Vector value = load(x + c * chunk_width<T>);
      by_real[c] = hn::MulAdd(lag_real, value, by_real[c]);
      by_imaginary[c] = hn::MulAdd(lag_imaginary, value, by_imaginary[c]);
    }
  }
  for (int c = 0; c < Channels; ++c) {
    const Vector swapped = hn::Reverse2(vectors, by_imaginary[c]);
    const Vector plus = hn::Add(by_real[c], swapped);
    const Vector minus = hn::Sub(by_real[c], swapped);
    const Vector product = Conjugate ? hn::OddEven(minus, plus) : hn::OddEven(plus, minus);
    hn::StoreU(product, vectors, reinterpret_cast<T*>(result + c * chunk_width<T>));
  }
}
/// One vector of frequencies of lags_at_once lags: each left spectrum is loaded once for all of them.
template <class T>
HWY_INLINE void CorrelateVector(const std::complex<T>* left, Index left_step, const std::complex<T>* right, Index right_step,
                                Index count, Index channels, std::complex<T>* sums) {
  const Vectors<T> vectors;
  using Vector = hn::Vec<Vectors<T>>;
  const auto load = [&](const std::complex<T>* from) HWY_ATTR { return hn::LoadU(vectors, reinterpret_cast<const T*>(from)); };
  Vector by_real[lags_at_once];
  Vector by_imaginary[lags_at_once];
  for (Index l = 0; l < lags_at_once; ++l) by_real[l] = by_imaginary[l] = hn::Zero(vectors);
  for (Index i = 0; i < count; ++i, left += left_step, right += right_step) {
    for (Index c = 0; c < channels; ++c) {
      const Vector x = load(left + c * chunk_width<T>);
      const Vector x_real = hn::DupEven(x);
      const Vector x_imaginary = hn::DupOdd(x);
      const std::complex<T>* y = right + c * chunk_width<T>;
      for (Index l = 0; l < lags_at_once; ++l) {
        const Vector value = load(y + l * right_step);
        by_real[l] = hn::MulAdd(x_real, value, by_real[l]);
        by_imaginary[l] = hn::MulAdd(x_imaginary, value, by_imaginary[l]);
      }
    }
  }
  for (Index l = 0; l < lags_at_once; ++l) {
    const Vector swapped = hn::Reverse2(vectors, by_imaginary[l]);
    const Vector product = hn::OddEven(hn::Sub(by_real[l], swapped), hn::Add(by_real[l], swapped));
    hn::StoreU(product, vectors, reinterpret_cast<T*>(sums + l * chunk_width<T>));
  }
}
template <class T>
HWY_INLINE Index FrequenciesAtOnce() {
  return static_cast<Index>(hn::Lanes(Vectors<T>())) / 2;
}
#endif

/// All sums over the first `Channels` channels of one part of one chunk.
template <int Channels, bool Conjugate, class T>
void AccumulatePart(std::span<const SpectrumSum> sums, Index chunk, Index part, const SpectrumBank<T>& lags,
                    const SpectrumBank<T>& inputs, SpectrumBank<T>& result) {
  const Index step = inputs.step();
  const std::complex<T>* lag = lags.part(chunk, 0);
  const std::complex<T>* x = inputs.part(chunk, part);
  std::complex<T>* target = result.part(chunk, part);
  for (const SpectrumSum& sum : sums) {
    for (Index f = 0; f < chunk_width<T>; f += FrequenciesAtOnce<T>()) {
      AccumulateVector<Channels, Conjugate>(sum, lag + f, x + sum.first_input * step + f, step, target + f);
    }
    target += result.step();
  }
}

template <bool Conjugate, class T>
void Accumulate(std::span<const SpectrumSum> sums, Index channels, const SpectrumBank<T>& lags, const SpectrumBank<T>& inputs,
                SpectrumBank<T>& result) {
  for (Index chunk = 0; chunk < lags.chunks(); ++chunk) {
    for (Index part = 0; part * channels_at_once < channels; ++part) {
      switch (channels - part * channels_at_once) {
        case 1:
          AccumulatePart<1, Conjugate>(sums, chunk, part, lags, inputs, result);
          break;
        case 2:
          AccumulatePart<2, Conjugate>(sums, chunk, part, lags, inputs, result);
          break;
        case 3:
          AccumulatePart<3, Conjugate>(sums, chunk, part, lags, inputs, result);
          break;
        default:
          AccumulatePart<channels_at_once, Conjugate>(sums, chunk, part, lags, inputs, result);
      }
    }
  }
}

template <class T>
void AccumulateProducts(std::span<const SpectrumSum> sums, Index channels, bool conjugate, const SpectrumBank<T>& lags,
                        const SpectrumBank<T>& inputs, SpectrumBank<T>& result) {
  conjugate ? Accumulate<true>(sums, channels, lags, inputs, result) : Accumulate<false>(sums, channels, lags, inputs, result);
}

/// Up to lags_at_once lags from `lag` on of one correlation, over the channels of one part of one chunk.
template <class T>
void CorrelateLags(const SpectrumCorrelation& correlation, Index lag, Index channels, const std::complex<T>* left,
                   Index left_step, const std::complex<T>* right, Index right_step, Index right_count, bool add,
                   std::complex<T>* result) {
  const Index first = correlation.first_right + lag;
  const Index count = std::clamp<Index>(right_count - first, 0, correlation.count);
  HWY_ALIGN std::complex<T> sums[lags_at_once * chunk_width<T>];
  for (Index f = 0; f < chunk_width<T>; f += FrequenciesAtOnce<T>()) {
    CorrelateVector(left + correlation.first_left * left_step + f, left_step, right + first * right_step + f, right_step, count,
                    channels, sums + f);
  }
  for (Index i = 0; i < std::min(lags_at_once, correlation.lags - lag) * chunk_width<T>; ++i) {
    result[i] = add ? result[i] + sums[i] : sums[i];
  }
}

template <class T>
void CorrelateProducts(std::span<const SpectrumCorrelation> correlations, Index channels, const SpectrumBank<T>& left,
                       const SpectrumBank<T>& right, bool add, ChunkRange chunks, SpectrumBank<T>& result) {
  const Index right_count = right.count() - (lags_at_once - 1);
  for (Index chunk = chunks.first; chunk < chunks.last; ++chunk) {
    for (Index part = 0; part * channels_at_once < channels; ++part) {
      const Index channels_here = std::min(channels_at_once, channels - part * channels_at_once);
      for (const SpectrumCorrelation& correlation : correlations) {
        for (Index lag = 0; lag < correlation.lags; lag += lags_at_once) {
          CorrelateLags(correlation, lag, channels_here, left.part(chunk, part), left.step(), right.part(chunk, part),
                        right.step(), right_count, add || part > 0,
                        result.part(chunk, 0) + (correlation.first_result + lag) * result.step());
        }
      }
    }
  }
}

void CorrelateF32(std::span<const SpectrumCorrelation> correlations, Index channels, const SpectrumBank<float>& left,
                  const SpectrumBank<float>& right, bool add, ChunkRange chunks, SpectrumBank<float>& result) {
  CorrelateProducts(correlations, channels, left, right, add, chunks, result);
}
void CorrelateF64(std::span<const SpectrumCorrelation> correlations, Index channels, const SpectrumBank<double>& left,
                  const SpectrumBank<double>& right, bool add, ChunkRange chunks, SpectrumBank<double>& result) {
  CorrelateProducts(correlations, channels, left, right, add, chunks, result);
}
void AccumulateF32(std::span<const SpectrumSum> sums, Index channels, bool conjugate, const SpectrumBank<float>& lags,
                   const SpectrumBank<float>& inputs, SpectrumBank<float>& result) {
  AccumulateProducts(sums, channels, conjugate, lags, inputs, result);
}
void AccumulateF64(std::span<const SpectrumSum> sums, Index channels, bool conjugate, const SpectrumBank<double>& lags,
                   const SpectrumBank<double>& inputs, SpectrumBank<double>& result) {
  AccumulateProducts(sums, channels, conjugate, lags, inputs, result);
}

}  // namespace convbasis::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace convbasis {

HWY_EXPORT(AccumulateF32);
HWY_EXPORT(AccumulateF64);
HWY_EXPORT(CorrelateF32);
HWY_EXPORT(CorrelateF64);

template <>
void accumulate_products(std::span<const SpectrumSum> sums, Index channels, bool conjugate, const SpectrumBank<float>& lags,
                         const SpectrumBank<float>& inputs, SpectrumBank<float>& result) {
  HWY_DYNAMIC_DISPATCH(AccumulateF32)(sums, channels, conjugate, lags, inputs, result);
}
template <>
void accumulate_products(std::span<const SpectrumSum> sums, Index channels, bool conjugate, const SpectrumBank<double>& lags,
                         const SpectrumBank<double>& inputs, SpectrumBank<double>& result) {
  HWY_DYNAMIC_DISPATCH(AccumulateF64)(sums, channels, conjugate, lags, inputs, result);
}
template <>
void correlate_products(std::span<const SpectrumCorrelation> correlations, Index channels, const SpectrumBank<float>& left,
                        const SpectrumBank<float>& right, bool add, ChunkRange chunks, SpectrumBank<float>& result) {
  HWY_DYNAMIC_DISPATCH(CorrelateF32)(correlations, channels, left, right, add, chunks, result);
}
template <>
void correlate_products(std::span<const SpectrumCorrelation> correlations, Index channels, const SpectrumBank<double>& left,
                        const SpectrumBank<double>& right, bool add, ChunkRange chunks, SpectrumBank<double>& result) {
  HWY_DYNAMIC_DISPATCH(CorrelateF64)(correlations, channels, left, right, add, chunks, result);
}

namespace {

/// A copy of constant size, which the compiler turns into a few moves.
template <Real T>
void copy_line(const std::complex<T>* from, std::complex<T>* to) {
  std::memcpy(static_cast<void*>(to), from, chunk_width<T> * sizeof(std::complex<T>));
}

}  // namespace

template <Real T>
void SpectrumBank<T>::store(Index s, Index channel, const std::complex<T>* values) {
  const Index chunk_step = parts_ * count_ * step();
  std::complex<T>* target = part(0, channel / channels_at_once) + s * step() + channel % channels_at_once * chunk_width<T>;
  const Index whole = bins_ / chunk_width<T>;
  for (Index c = 0; c < whole; ++c) copy_line(values + c * chunk_width<T>, target + c * chunk_step);
  if (const Index rest = bins_ % chunk_width<T>; rest > 0)
    std::copy_n(values + whole * chunk_width<T>, rest, target + whole * chunk_step);
}

template <Real T>
void SpectrumBank<T>::load(Index s, Index channel, std::complex<T>* values) const {
  const Index chunk_step = parts_ * count_ * step();
  const std::complex<T>* source = part(0, channel / channels_at_once) + s * step() + channel % channels_at_once * chunk_width<T>;
  const Index whole = bins_ / chunk_width<T>;
  for (Index c = 0; c < whole; ++c) copy_line(source + c * chunk_step, values + c * chunk_width<T>);
  if (const Index rest = bins_ % chunk_width<T>; rest > 0)
    std::copy_n(source + whole * chunk_step, rest, values + whole * chunk_width<T>);
}

template class SpectrumBank<float>;
template class SpectrumBank<double>;

}  // namespace convbasis
#endif
