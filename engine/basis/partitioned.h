/// \file
/// Uniformly partitioned convolution with accumulation in the frequency domain: the FFT part of apply. Internal.
/// Mathematics page, section 3.
#pragma once

#include "basis/apply_layout.h"
#include "basis/conv_weights.h"
#include "basis/spectra.h"
#include "core/run_context.h"

#include <span>
#include <vector>

namespace convbasis {

/// The rows of V (or of the output) that one spectrum stands for: a piece, or a whole block.
struct RowRange {
  Index block, first, last;
};

/// Where the lag spectra of one segment stand: [first, first + count), by lag block.
struct SegmentSpectra {
  Index segment, first, count;
};

/// The lag spectra of all segments that go through the FFT, and the products with them. Immutable after construction.
template <Real T>
class PartitionedProduct {
 public:
  /// `layout.block` > 0. Cost: one FFT of length 2 B for each segment and lag block.
  PartitionedProduct(const ConvBasis<T>& weights, const ApplyLayout& layout, const RunContext& context);

  /// output = A value over the pieces of the layout; overwrites output. n x d each.
  void apply(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const;
  /// output = A^T value over the columns of the pieces; other rows of output become 0.
  void apply_transpose(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const;

  /// For each output block, an estimate of the rounding error of apply() in one entry, in units of A V. An FFT's error is
  /// relative to the size of its product, eps sqrt(log2 2B) of it; a piece's product is that of the lag block with the mean of
  /// the piece (coherent: 1-norm of the lags) and with the rest of it (incoherent: 2-norms), and pieces add in quadrature.
  std::vector<double> error_estimate(MatrixView<T> value, const RunContext& context) const;
  /// The same for a value whose entries are random with mean 0 and variance 1.
  std::vector<double> unit_error_estimate() const;

 private:
  struct Channels;
  struct PieceSize {
    double mean_square, rest;  // of a piece of V: square of its mean, and sum of squares of what remains; mean over columns
  };
  std::vector<double> error_estimate(std::span<const PieceSize> sizes) const;
  void transform_lags(const ConvBasis<T>& weights, const RunContext& context);
  void to_frequency(std::span<const RowRange> ranges, Index channel, Channels& own) const;
  void from_frequency(std::span<const RowRange> ranges, Index channel, Channels& own) const;
  void run(MatrixView<T> value, MutableMatrixView<T> output, bool transpose, const RunContext& context) const;
  void accumulate(const SpectrumBank<T>& x, SpectrumBank<T>& sum, bool transpose) const;

  ApplyLayout layout_;
  RealFft<T> fft_;
  std::vector<SegmentSpectra> segment_spectra_;
  std::vector<Index> lag_index_;    // of a piece: spectrum of its lag block t is lag_index + (p - q); already minus q
  std::vector<Index> consecutive_;  // 0, 1, 2, ...
  SpectrumBank<T> lags_;
  struct LagSize {
    double sum = 0.0, sum_of_squares = 0.0;  // over the window of one lag block
  };
  std::vector<LagSize> lag_sizes_;
};

}  // namespace convbasis
