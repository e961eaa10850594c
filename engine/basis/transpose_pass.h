/// \file
/// Transposed products for rows of small sums. Internal to apply.
#pragma once

#include "basis/apply_layout.h"
#include "basis/conv_weights.h"
#include "basis/direct_product.h"
#include "basis/partitioned.h"
#include "core/run_context.h"

#include <optional>
#include <span>
#include <vector>

namespace convbasis {

/// P~^T of some rows, all of them with D_i <= cap. In P~^T = A^T D^-1 rows of small D_i are large, and their rounding errors in
/// an FFT drown the others. But no weight above cap stands in these rows (D_i would be as large), so a pass of their own sets
/// such weights to 0, and what is left is as small as the rows are large. Immutable.
template <Real T>
class TransposePass {
 public:
  /// For those of `rows` (ascending, not empty, none that underflows) whose error, as estimated for an input of unit size, is
  /// within `tolerance`. Throws Cancelled. Cost: as a plan for the rows up to the last one.
  TransposePass(const ConvWeights<T>& weights, std::span<const Index> rows, Index columns, double tolerance,
                const RunContext& context);

  std::span<const Index> rows() const { return rows_; }  ///< may be empty
  /// output += the transpose of these rows of P~, applied to value.
  void add(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const;

 private:
  Index size_;            // up to the last row
  ConvBasis<T> weights_;  // in units of cap
  ApplyLayout layout_;
  DirectProduct<T> direct_;
  std::optional<PartitionedProduct<T>> partitioned_;
  std::vector<Index> rows_;
  std::vector<T> factor_;  // cap / D_i, 0 for the rows of others
};

/// Passes for all but the rows left in `rows`: as long as one is cheaper than to add the rows one by one, at `single_entry_ns`
/// for each of their causal entries.
template <Real T>
std::vector<TransposePass<T>> transpose_passes(const ConvWeights<T>& weights, std::vector<Index>& rows, Index columns,
                                               double tolerance, double single_entry_ns, const RunContext& context);

}  // namespace convbasis
