/// \file
/// Spectra as the FFT writes them, and the multiply-accumulate between them. Internal to apply.
#pragma once

#include "core/aligned.h"
#include "core/types.h"

#include <complex>
#include <span>

namespace convbasis {

/// Complex numbers of one chunk: a cache line.
template <Real T>
inline constexpr Index chunk_width = 32 / static_cast<Index>(sizeof(T));

/// `count` spectra of `bins` complex frequencies, with `channels` channels each, in the order that the multiply-accumulate reads
/// them: frequencies are cut into chunks, and a chunk holds all spectra one after the other, each with its channels. All that one
/// chunk needs thus lies together and stays in cache while every sum runs over it. Not cleared.
template <Real T>
class SpectrumBank {
 public:
  SpectrumBank() = default;
  SpectrumBank(Index bins, Index count, Index channels)
      : bins_(bins),
        count_(count),
        channels_(channels),
        data_(static_cast<std::size_t>(chunks() * count * channels * chunk_width<T>)) {}

  Index chunks() const { return (bins_ + chunk_width<T> - 1) / chunk_width<T>; }
  Index channels() const { return channels_; }
  /// Chunk c of spectrum s: channel after channel, then the next spectrum.
  std::complex<T>* chunk(Index c, Index s) { return data_.data() + (c * count_ + s) * channels_ * chunk_width<T>; }
  const std::complex<T>* chunk(Index c, Index s) const { return data_.data() + (c * count_ + s) * channels_ * chunk_width<T>; }

  void store(Index s, Index channel, const std::complex<T>* values);
  void load(Index s, Index channel, std::complex<T>* values) const;

 private:
  Index bins_ = 0, count_ = 0, channels_ = 0;
  Scratch<std::complex<T>> data_;
};

/// One sum over frequencies: sum_{i < count} L[index[i] + offset] * X[first_input + i].
struct SpectrumSum {
  Index count;
  const Index* index;
  Index offset;
  Index first_input;
};

/// Sets result[s] to sums[s] for the first `channels` channels and all frequencies; a sum of nothing is 0. `lags` has one
/// channel. With `conjugate`, conj(L) is used (the transposed product). Cost: one complex multiply-add for each term, channel and
/// frequency.
template <Real T>
void accumulate_products(std::span<const SpectrumSum> sums, Index channels, bool conjugate, const SpectrumBank<T>& lags,
                         const SpectrumBank<T>& inputs, SpectrumBank<T>& result);

}  // namespace convbasis
