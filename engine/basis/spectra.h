/// \file
/// Spectra as the FFT writes them, and the multiply-accumulate between them. Internal to apply.
#pragma once

#include "core/aligned.h"
#include "core/types.h"

#include <complex>
#include <span>

namespace convbasis {

/// `count` spectra of `bins` complex frequencies, with `channels` channels each. Not cleared.
template <Real T>
class SpectrumBank {
 public:
  SpectrumBank() = default;
  SpectrumBank(Index bins, Index count, Index channels)
      : stride_((bins + line - 1) / line * line + line),
        channels_(channels),
        data_(static_cast<std::size_t>(count * channels * stride_)) {}

  /// Numbers from one channel to the next; of one spectrum's channels, and from the last one to the next spectrum.
  Index stride() const { return stride_; }
  Index channels() const { return channels_; }
  std::complex<T>* spectrum(Index s, Index channel) { return data_.data() + (s * channels_ + channel) * stride_; }
  const std::complex<T>* spectrum(Index s, Index channel) const { return data_.data() + (s * channels_ + channel) * stride_; }

 private:
  /// Complex numbers of a cache line. Each spectrum is followed by a spare one: spectra a power of two apart would all fall
  /// into the same few places of the cache.
  static constexpr Index line = 32 / static_cast<Index>(sizeof(T));
  Index stride_ = 0, channels_ = 0;
  Scratch<std::complex<T>> data_;
};

/// One sum over frequencies: sum_{i < count} L[index[i] + offset] * X[first_input + i].
struct SpectrumSum {
  Index count;
  const Index* index;
  Index offset;
  Index first_input;
};

/// Sets result[s] to sums[s] for the first `channels` channels and all `bins` frequencies; a sum of nothing is 0. `lags` has
/// one channel. With `conjugate`, conj(L) is used (the transposed product). Cost: one complex multiply-add for each term,
/// channel and frequency.
template <Real T>
void accumulate_products(std::span<const SpectrumSum> sums, Index bins, Index channels, bool conjugate,
                         const SpectrumBank<T>& lags, const SpectrumBank<T>& inputs, SpectrumBank<T>& result);

}  // namespace convbasis
