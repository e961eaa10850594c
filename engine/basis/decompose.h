/// \file
/// The conv basis of any explicit lower-triangular matrix (the paper's existence and uniqueness claim).
#pragma once

#include "basis/conv_basis.h"
#include "basis/score_columns.h"
#include "core/run_context.h"

namespace convbasis {

/// The unique conv basis with the smallest k: a new segment starts at every column whose lag vector differs from that of
/// the segment before it (cut to the column's length) by more than `tolerance` in any entry. With tolerance 0 the basis
/// rebuilds the matrix exactly; otherwise each entry to within `tolerance`. Count 0 for a zero matrix.
/// NaN counts as different. Cost: O(n^2) reads, k lag vectors of memory. Throws InvalidArgument for tolerance < 0 or NaN.
template <Real T>
ConvBasis<T> decompose(const ScoreColumns<T>& matrix, double tolerance = 0.0, const RunContext& context = {});

}  // namespace convbasis
