/// \file
/// The part of apply that needs no FFT: short segments as small dense products. Internal.
#pragma once

#include "basis/conv_weights.h"
#include "core/run_context.h"

#include <span>
#include <vector>

namespace convbasis {

/// The columns of some segments of `weights`, multiplied directly: 2 multiply-adds for each causal entry and column of V.
template <Real T>
class DirectProduct {
 public:
  DirectProduct(const ConvBasis<T>& weights, std::span<const Index> segments);

  /// Number of columns of A that go this way.
  Index columns() const { return static_cast<Index>(columns_.size()); }
  /// output += A value over these columns, row i multiplied by row_factor[i] unless it is empty.
  void add(const ConvBasis<T>& weights, MatrixView<T> value, std::span<const T> row_factor, MutableMatrixView<T> output,
           const RunContext& context) const;
  /// output[j] = (A^T value)[j] for these columns j; other rows are left alone.
  void apply_transpose(const ConvBasis<T>& weights, MatrixView<T> value, MutableMatrixView<T> output,
                       const RunContext& context) const;

 private:
  struct Column {
    Index column, segment;
  };
  void fill_tile(const ConvBasis<T>& weights, Index row, Index rows, std::size_t first, std::size_t count, T* tile) const;
  void fill_transposed_tile(const ConvBasis<T>& weights, Index row, Index rows, std::size_t first, std::size_t count,
                            T* tile) const;

  std::vector<Column> columns_;  // ascending
};

}  // namespace convbasis
