/// \file
/// Uniformly partitioned convolution with accumulation in the frequency domain: the FFT part of apply. Internal.
/// Mathematics page, section 3.
#pragma once

#include "basis/apply_layout.h"
#include "basis/block_transform.h"
#include "basis/conv_basis.h"
#include "basis/spectra.h"
#include "core/run_context.h"

#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace convbasis {

/// The sum of the squares of a row of numbers: in T, and in double where squares of T would vanish or overflow.
template <class Row>
double sum_of_squares(const Row& row) {
  const auto quick = static_cast<double>(row.squaredNorm());
  return quick > 1e-30 && quick < 1e30 ? quick : row.template cast<double>().squaredNorm();
}

/// Channels that one thread takes at a time: half a cache line of floats in each row of V; fewer when that leaves threads idle.
inline constexpr Index channels_of_a_group = 8;

/// Where the lag spectra of one segment stand: [first, first + count), by lag block.
struct SegmentSpectra {
  Index segment, first, count;
};

/// When lag spectra are made: with the plan, or with the first product, for a plan that may never be asked for one.
enum class SpectraMade { at_once, when_needed };

/// The lag spectra of all segments that go through the FFT, and the products with them. As if immutable after construction.
template <Real T>
class PartitionedProduct {
 public:
  /// `layout.block` > 0. Cost: one FFT of length B for each segment and lag block.
  PartitionedProduct(const ConvBasis<T>& weights, const ApplyLayout& layout, const RunContext& context,
                     SpectraMade made = SpectraMade::at_once);

  /// output = A value over the pieces of the layout, row i multiplied by row_factor[i] unless it is empty; overwrites output.
  /// n x d each.
  void apply(MatrixView<T> value, std::span<const T> row_factor, MutableMatrixView<T> output, const RunContext& context) const;
  /// output = A^T value over the columns of the pieces; other rows of output become 0.
  void apply_transpose(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const;

  /// For each output block, an estimate of the rounding error of apply() in one entry, in units of A V. An FFT's error is
  /// relative to the size of its product, eps sqrt(log2 2B) of it; a piece's product is that of the lag block with the mean of
  /// the piece (coherent: 1-norm of the lags) and with the rest of it (incoherent: 2-norms), and pieces add in quadrature.
  std::vector<double> error_estimate(MatrixView<T> value, const RunContext& context) const;
  /// The error of an FFT as part of the size of its product: eps sqrt(log2 2B).
  double relative_error() const;
  /// The same as error_estimate() for a value whose entries are random with mean 0 and variance 1.
  std::vector<double> unit_error_estimate() const;

 private:
  struct Channels;  // what one thread works with
  struct PieceSize {
    double mean_square, rest;  // of a piece of V: square of its mean, and sum of squares of what remains; mean over columns
  };
  std::vector<double> error_estimate(std::span<const PieceSize> sizes) const;
  void measure_lags(const ConvBasis<T>& weights, const RunContext& context);
  const SpectrumBank<T>& lag_spectra(const RunContext& context) const;
  SpectrumBank<T> transform_lags(const ConvBasis<T>& weights, const RunContext& context) const;
  void run(MatrixView<T> value, std::span<const T> row_factor, MutableMatrixView<T> output, bool transpose,
           const RunContext& context) const;
  void run_channels(MatrixView<T> value, std::span<const T> row_factor, MutableMatrixView<T> output, bool transpose, Index first,
                    Index count, Channels& own, const RunContext& context) const;

  ApplyLayout layout_;
  BlockTransform<T> transform_;
  std::vector<SegmentSpectra> segment_spectra_;
  std::vector<Index> lag_index_;    // of a piece: spectrum of its lag block t is lag_index + (p - q); already minus q
  std::vector<Index> consecutive_;  // 0, 1, 2, ...
  std::vector<RowRange> pieces_, blocks_;
  std::vector<SpectrumSum> sums_, transposed_sums_;  // of each output block; of each piece
  struct LagSpectra {
    ConvBasis<T> weights = ConvBasis<T>();  // until they are made; shares the lag vectors
    std::once_flag made;
    SpectrumBank<T> bank;
  };
  std::unique_ptr<LagSpectra> lags_;
  struct LagSize {
    double sum = 0.0, sum_of_squares = 0.0;  // over the window of one lag block
  };
  std::vector<LagSize> lag_sizes_;
};

}  // namespace convbasis
