/// \file
/// Spectra as the FFT writes them, and the multiply-accumulate between them. Internal to apply.
#pragma once

#include "core/aligned.h"
#include "core/types.h"

#include <algorithm>
#include <complex>
#include <span>

namespace convbasis {

/// Complex numbers of one chunk: a cache line.
template <Real T>
inline constexpr Index chunk_width = 32 / static_cast<Index>(sizeof(T));

/// Channels that are multiplied by the same lag spectrum at once: their sums fit 16 registers beside the operands.
inline constexpr Index channels_at_once = 4;

/// `count` spectra of `bins` complex frequencies, with `channels` channels each, in the order that the multiply-accumulate reads
/// them: frequencies are cut into chunks, a chunk into parts of up to channels_at_once channels, and a part holds all spectra one
/// after the other. What is summed at once thus lies in one piece, and stays in cache while every sum runs over it. Not cleared.
template <Real T>
class SpectrumBank {
 public:
  SpectrumBank() = default;
  SpectrumBank(Index bins, Index count, Index channels)
      : bins_(bins),
        count_(count),
        width_(std::min(channels, channels_at_once)),
        parts_((channels + channels_at_once - 1) / channels_at_once),
        data_(static_cast<std::size_t>(chunks() * parts_ * count * step())) {}

  Index count() const { return count_; }
  Index chunks() const { return (bins_ + chunk_width<T> - 1) / chunk_width<T>; }
  /// Numbers from one spectrum to the next within a part of a chunk; from one channel to the next it is chunk_width.
  Index step() const { return width_ * chunk_width<T>; }
  std::complex<T>* part(Index chunk, Index part) { return data_.data() + (chunk * parts_ + part) * count_ * step(); }
  const std::complex<T>* part(Index chunk, Index part) const { return data_.data() + (chunk * parts_ + part) * count_ * step(); }

  void store(Index s, Index channel, const std::complex<T>* values);
  void load(Index s, Index channel, std::complex<T>* values) const;

 private:
  Index bins_ = 0, count_ = 0, width_ = 0, parts_ = 0;
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

/// Lags of a correlation that are summed at once, for the reason of channels_at_once.
inline constexpr Index lags_at_once = 4;

/// The sums result[first_result + m] = sum_{i < count} conj(L[first_left + i]) * R[first_right + i + m] for m < lags.
struct SpectrumCorrelation {
  Index first_left, count;
  Index first_right;
  Index lags;
  Index first_result;
};

/// A range [first, last) of the chunks of a bank.
struct ChunkRange {
  Index first, last;
};

/// Sets result, or adds to it, for the frequencies of `chunks`: the given sums, over the first `channels` channels as well.
/// Spectra of `right` past its last but lags_at_once - 1 count as 0; those last ones are read and must be 0. `result` has one
/// channel. Cost: one complex multiply-add for each term, channel and frequency.
template <Real T>
void correlate_products(std::span<const SpectrumCorrelation> correlations, Index channels, const SpectrumBank<T>& left,
                        const SpectrumBank<T>& right, bool add, ChunkRange chunks, SpectrumBank<T>& result);

}  // namespace convbasis
