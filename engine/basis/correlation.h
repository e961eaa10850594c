/// \file
/// Correlations of the rows of each segment with all rows below: the transpose, in the weights, of the products of apply.
/// Internal to conv_backward. Mathematics page, section 4.
#pragma once

#include "basis/apply_layout.h"
#include "basis/block_transform.h"
#include "basis/spectra.h"
#include "core/run_context.h"

#include <span>
#include <vector>

namespace convbasis {

/// One vector of sums for each segment, by lag; empty for a segment that was not asked for.
template <Real T>
using LagSums = std::vector<std::vector<T>>;

/// sums[r][t] = sum_{j in segment r, j + t < n} left_j . right_{j + t} for the segments that a layout gives to the FFT, by
/// partitioned correlation: each block of left and right is transformed once, products are summed over columns and pieces in the
/// frequency domain, and each lag block is transformed back once. Immutable. Everything is summed in an order that does not
/// depend on the number of threads. Rounding errors are relative to the largest rows of a block, not to each product.
template <Real T>
class PartitionedCorrelation {
 public:
  /// `layout.block` > 0; `starts` are those of the segments that the layout was made for.
  PartitionedCorrelation(const ApplyLayout& layout, std::span<const Index> starts);

  /// left and right: n x c each. `rows`: where right is not 0, [first, last); lags beyond the last of these rows are left out of
  /// the sums, so these may be shorter than n - start. Cost: O((n/B) c (FFT(2B) + n)) time; memory O(n) for 8 columns at a time,
  /// and two numbers for each lag. Throws Cancelled.
  LagSums<T> operator()(MatrixView<T> left, MatrixView<T> right, Index rows, const RunContext& context) const;

 private:
  struct Banks;
  void transform(MatrixView<T> left, MatrixView<T> right, Index first, Index count, Banks& banks,
                 const RunContext& context) const;
  LagSums<T> lags(const Banks& banks, const RunContext& context) const;

  ApplyLayout layout_;
  std::vector<Index> starts_;
  BlockTransform<T> transform_;
};

/// The same sums of one segment [start, end), without FFT and for all n - start lags: each lag is a single dot product, as the
/// rows of both lie one after the other. `right` has at least end - start rows of zeros after its n rows; no gaps between rows in
/// either. Cost O((n - start) (end - start) c).
template <Real T>
std::vector<T> correlate_directly(MatrixView<T> left, MatrixView<T> right, Index n, Index start, Index end,
                                  const RunContext& context);

}  // namespace convbasis
