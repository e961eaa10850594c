/// \file
/// (W o U1 U2^T) v for a 0/1 mask W, without any n x n matrix. Mathematics page, section 5.
///
/// Column by column of v, the result is out_ic = U1_i . sum_{j in S_i} U2_j v_jc: what differs is how the sum over S_i, a vector
/// of r numbers, comes from that of the row before or from shared parts. Every way counts its work. All of them: shapes U1, U2 n
/// x r, v and out n x d; out must not overlap v. Memory O(n r) a thread at most, as said below. Threads share the columns of v,
/// and the result does not depend on their number. Throw InvalidArgument for shapes that do not fit, Cancelled. Accuracy: sums in
/// T, relative to the sum of the absolute values of all terms, but for the two ways that subtract.
#pragma once

#include "core/run_context.h"
#include "core/types.h"
#include "lowrank/masks.h"
#include "lowrank/operations.h"

namespace convbasis {

/// U1 and U2, both n x r.
template <Real T>
struct Factors {
  MatrixView<T> left;
  MatrixView<T> right;
};

/// The causal mask by prefix sums: 2 n r d multiply-adds. Memory O(r).
template <Real T>
Operations causal_product(const Factors<T>& factors, MatrixView<T> value, MutableMatrixView<T> out,
                          const RunContext& context = {});

/// How continuous rows are summed.
enum class IntervalWay {
  safe,                ///< two_stacks where the rows slide, segment_tree elsewhere
  prefix_differences,  ///< 2 n r d multiply-adds; an interval's sum loses what is small beside the prefix it is cut from
  two_stacks,          ///< rows that slide only, at most 3 n r d multiply-adds and 2 n r d additions; nothing subtracted. Throws
                       ///< InvalidArgument
  segment_tree,        ///< any rows, at most 2 n r d multiply-adds and n r d (1 + 2 log2 n) additions; nothing subtracted
};

/// Continuous rows. Memory O(n r) a thread.
template <Real T>
Operations interval_product(const Factors<T>& factors, const IntervalMask& mask, MatrixView<T> value, MutableMatrixView<T> out,
                            IntervalWay way = IntervalWay::safe, const RunContext& context = {});

/// Any mask, by adding and removing columns: (n + changes) r d multiply-adds. Removing leaves rounding behind that is relative to
/// what was removed, so the sum is made anew whenever as many columns have been removed as it now holds, which at most doubles
/// the work; `rebuild` false keeps the running sum for ever. Memory O(n).
template <Real T>
Operations row_change_product(const Factors<T>& factors, const RowChangeMask& mask, MatrixView<T> value, MutableMatrixView<T> out,
                              bool rebuild = true, const RunContext& context = {});

/// r' distinct rows: each set summed once, (n + members) r d multiply-adds. Memory O(r' r).
template <Real T>
Operations distinct_rows_product(const Factors<T>& factors, const DistinctRowsMask& mask, MatrixView<T> value,
                                 MutableMatrixView<T> out, const RunContext& context = {});

/// r' distinct columns: columns that the same rows see are summed together, (n + members) r d multiply-adds. Memory O(r).
template <Real T>
Operations distinct_columns_product(const Factors<T>& factors, const DistinctColumnsMask& mask, MatrixView<T> value,
                                    MutableMatrixView<T> out, const RunContext& context = {});

/// Whichever of the above the mask is for, in its default way.
template <Real T>
Operations masked_product(const Factors<T>& factors, const Mask& mask, MatrixView<T> value, MutableMatrixView<T> out,
                          const RunContext& context = {});

}  // namespace convbasis
