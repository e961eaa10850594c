/// \file
/// Sums over the intervals of continuous rows, for one column of the values, three ways. Internal to interval_product().
#pragma once

#include "core/run_context.h"
#include "lowrank/masks.h"
#include "lowrank/operations.h"

namespace convbasis {

/// What is summed over the columns j of a row: the terms U2_j v_jc, r numbers each.
template <Real T>
struct IntervalSums {
  MatrixView<T> right;
  MatrixView<T> value;
  Index column;
  const RunContext& context;

  IntervalSums(const MatrixView<T>& right_factor, const MatrixView<T>& values, Index c, const RunContext& run)
      : right(right_factor), value(values), column(c), context(run) {}
  Index size() const { return right.rows(); }
  Index rank() const { return right.cols(); }
};

/// out(i, column) = left_i . sum over row i, as the difference of two prefix sums. Memory (n + 1) r.
template <Real T>
Operations prefix_differences(const IntervalSums<T>& sums, const MatrixView<T>& left, const IntervalMask& mask,
                              MutableMatrixView<T> out);
/// The same for rows that slide, as a sum from the row's begin to a middle, and one from there to its end. Memory n r at most.
template <Real T>
Operations two_stacks(const IntervalSums<T>& sums, const MatrixView<T>& left, const IntervalMask& mask, MutableMatrixView<T> out);
/// The same for any rows, as at most 2 log2 n nodes of a tree of sums. Memory 2 n r.
template <Real T>
Operations segment_tree(const IntervalSums<T>& sums, const MatrixView<T>& left, const IntervalMask& mask,
                        MutableMatrixView<T> out);

}  // namespace convbasis
