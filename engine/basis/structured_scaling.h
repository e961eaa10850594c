/// \file
/// Iterative proportional fitting: from the sums of the rest M to the factors of A_ij = a_i b_j g_r[i - j] that minimise the
/// Kullback-Leibler divergence sum M log(M / A) - M + A. Mathematics page, section 7.
///
/// Each step sets one kind of factor so that A has M's sums over rows, columns, or the diagonals of each segment: the minimum of
/// the objective over those factors, so that no step can raise it. A step reads every entry of the rows looked at once, without
/// exponentials: rows * n multiply-adds, all of positive numbers, so that no digits are lost. Rank one takes O(n).
#pragma once

#include "basis/structured_fit.h"
#include "basis/structured_sums.h"
#include "core/run_context.h"

namespace convbasis {

/// How lag vectors are estimated from few rows, in which most lags of a segment are met once or never.
struct LagSmoothing {
  double entries_per_bin = 32.0;  ///< lags are taken together until a segment has so many entries of a bin on average,
  double bins_per_lag = 16.0;     ///< but no more of them than max(1, lag / bins_per_lag): bins grow geometrically at most
  double prior_entries = 8.0;     ///< the mean over all segments counts as so many entries of every bin of a segment

  bool operator==(const LagSmoothing&) const = default;
};

/// The fit of options.rest, with as many lag vectors as `sums` has segments; lse is left empty. Factors that the rows looked at
/// say nothing about (columns or lags that none of them has) are taken from the nearest one before. Rows that were not looked at
/// have no factor: see set_row_factors(). Cost: 3 rows n multiply-adds a round; memory O(n k). The result does not depend on the
/// number of threads. Throws Cancelled.
StructuredFit fit_rest(const RestSums& sums, const StructuredOptions& options, const RunContext& context = {});
/// The same with lag vectors that are constant on bins and drawn towards their mean. The objective is recorded as it comes out;
/// its steps may then raise it.
StructuredFit fit_rest(const RestSums& sums, const StructuredOptions& options, const LagSmoothing& smoothing,
                       const RunContext& context = {});

/// The factors a_i of the rows of `sums`, from their own mass: a_i = sum_j M_ij / sum_j b_j g[i - j]; nothing else is looked at.
void set_row_factors(StructuredFit& fit, const RestSums& sums, const RunContext& context = {});

}  // namespace convbasis
