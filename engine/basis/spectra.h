/// \file
/// Spectra in the order that frequency-domain accumulation reads them, and the multiply-accumulate itself. Internal to apply.
///
/// Layout: frequencies are cut into chunks of chunk_width<T>; within a chunk come the spectra one after the other, each as
/// `channels` times (real parts, imaginary parts) of the chunk. All spectra of one chunk thus lie together and stay in cache
/// while every output block accumulates over them.
#pragma once

#include "core/fft.h"
#include "core/types.h"

#include <complex>
#include <span>

namespace convbasis {

/// Frequencies of one chunk: one cache line of real parts.
template <Real T>
inline constexpr Index chunk_width = 64 / sizeof(T);

/// `count` spectra of `bins` frequencies with `channels` channels each.
template <Real T>
class SpectrumBank {
 public:
  SpectrumBank(Index bins, Index count, Index channels)
      : bins_(bins),
        count_(count),
        channels_(channels),
        chunks_((bins + chunk_width<T> - 1) / chunk_width<T>),
        data_(static_cast<std::size_t>(chunks_ * count * stride())) {}

  Index chunks() const { return chunks_; }
  /// Numbers from one spectrum to the next within a chunk.
  Index stride() const { return 2 * chunk_width<T> * channels_; }
  T* chunk(Index c) { return data_.data() + c * count_ * stride(); }
  const T* chunk(Index c) const { return data_.data() + c * count_ * stride(); }

  void store(Index spectrum, Index channel, std::span<const std::complex<T>> values);
  void load(Index spectrum, Index channel, std::span<std::complex<T>> values) const;

 private:
  Index bins_, count_, channels_, chunks_;
  AlignedVector<T> data_;
};

/// Channels that are multiplied by the same lag spectra at once; banks of V and Y have this many.
inline constexpr Index spectrum_channels = 4;

/// One chunk of sum_{i < count} L[index[i] + offset] * X[i], for spectrum_channels channels: `lags` is a chunk of a bank
/// with one channel, `x` points into a chunk of a bank with spectrum_channels, `sum` holds one spectrum's chunk and is
/// overwritten. With `conjugate`, conj(L) is used (the transposed product).
template <Real T>
void accumulate_products(Index count, const Index* index, Index offset, const T* lags, const T* x, bool conjugate, T* sum);

}  // namespace convbasis
