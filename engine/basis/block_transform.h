/// \file
/// The transforms of partitioned convolution. Internal to apply.
///
/// Right-angle convolution: a block of B real numbers x is taken as the polynomial sum_t x[t] z^t modulo z^B = i. A product
/// that leaves the block at its end comes back multiplied by i, so real and wrapped-around parts do not mix: the B outputs
/// of a Toeplitz block are the real parts of a product of B complex numbers. This takes complex FFTs of length B, after x[t]
/// is multiplied by w^t with w = exp(i pi / (2 B)), where zero-padding takes real FFTs of length 2 B.
#pragma once

#include "basis/spectra.h"
#include "basis/twist.h"
#include "core/fft.h"
#include "core/types.h"

#include <span>

namespace convbasis {

/// Rows [first, last) inside one block.
struct RowRange {
  Index block, first, last;
};

/// Blocks of `block` rows to the frequency domain and back. Immutable; the scratch is the caller's, one for each thread.
template <Real T>
class BlockTransform {
 public:
  explicit BlockTransform(Index block);

  Index block() const { return block_; }
  /// Complex numbers of scratch that a call for `channels` channels needs.
  std::size_t scratch_size(Index channels) const { return static_cast<std::size_t>((channels + 1) * (block_ + padding)); }

  /// The spectrum of lag block t, the Toeplitz block that maps a block of V to its share of the output t blocks below: lags
  /// (t - 1) B + 1 ... (t + 1) B - 1, those that `lags` does not have being 0. Goes to spectrum s of bank.
  void lag_spectrum(std::span<const T> lags, Index t, std::complex<T>* scratch, SpectrumBank<T>& bank, Index s) const;
  /// The spectra of the given columns of value, zero outside the range: channels [0, columns) of spectrum s of bank.
  void forward(MatrixView<T> value, const RowRange& range, Index first_column, Index columns, std::complex<T>* scratch,
               SpectrumBank<T>& bank, Index s) const;
  /// Rows of the range of the given columns of output, from the spectra; row i is multiplied by row_factor[i] unless empty.
  void inverse(const SpectrumBank<T>& bank, Index s, const RowRange& range, Index first_column, Index columns,
               std::complex<T>* scratch, std::span<const T> row_factor, MutableMatrixView<T> output) const;
  /// The transpose of lag_spectrum: from conj(spectrum of a block of V) * spectrum of the output block t below, ahead[a] is what
  /// the correlation of the two adds at lag t B + a, behind[a] what it adds at lag (t - 1) B + a; B numbers each, behind[0]
  /// without meaning.
  void correlation(const SpectrumBank<T>& bank, Index s, std::complex<T>* scratch, T* ahead, T* behind) const;

 private:
  /// Between the channels of the scratch: blocks a power of two apart would fall into the same few places of the cache.
  static constexpr Index padding = 64 / static_cast<Index>(sizeof(T));

  TwistView<T> twist(Index t) const { return {cosine_.data() + t, sine_.data() + t}; }

  Index block_;
  ComplexFft<T> fft_;
  Scratch<T> cosine_, sine_;  // w^t
};

}  // namespace convbasis
