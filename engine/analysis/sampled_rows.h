/// \file
/// Exact attention of a few rows, for checking results that are too large to compare as a whole.
#pragma once

#include "core/aligned.h"
#include "core/run_context.h"
#include "core/types.h"

#include <span>
#include <vector>

namespace convbasis {

/// Which `count` rows of `size` to look at, ascending: the first and the last, those at and beside starts (of at most a quarter
/// of `count` starts, evenly chosen), and the rest evenly spread. All rows when there are no more than `count`.
std::vector<Index> choose_rows(Index size, Index count, std::span<const Index> starts);

/// Compares rows of an output that comes in blocks of columns with the direct sum sum_j P_ij V_j, everything in double.
/// Memory: rows * n numbers for P.
template <Real T>
class SampledRows {
 public:
  /// Computes the rows' probabilities from Q and K, which are not needed afterwards. `rows` ascending in [0, n). Cost O(rows n
  /// d). Throws InvalidArgument for shapes that do not fit, Cancelled.
  SampledRows(MatrixView<T> query, MatrixView<T> key, double scale, std::vector<Index> rows, const RunContext& context = {});

  std::span<const Index> rows() const { return rows_; }
  /// Takes in one block of columns of V and of the output, n x c each. Cost O(rows n c). The result does not depend on the number
  /// of threads. Throws InvalidArgument for shapes that do not fit, Cancelled.
  void add(MatrixView<T> value, MatrixView<T> output, const RunContext& context = {});

  /// ||Y~ - Y||_F / ||Y||_F over these rows and the columns so far; 0 when both are zero. NaN where either holds one.
  double relative_error() const;
  /// The largest ||Y~_i - Y_i|| / ||Y_i|| of a row; NaN where one is NaN.
  double worst_row_error() const;

 private:
  /// Where the probabilities of one row, for the keys of one tile, begin.
  double* probabilities(Index row, Index tile);
  void softmax(Index row);
  Matrix<double> direct_sums(MatrixView<T> value, const RunContext& context) const;

  std::vector<Index> rows_;
  Index size_;  // n
  /// Tile of keys by tile, each rows x keys: otherwise the next row would be megabytes away.
  Scratch<double> probability_;
  std::vector<double> difference_squares_, exact_squares_;
};

}  // namespace convbasis
