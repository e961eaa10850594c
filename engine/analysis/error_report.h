/// \file
/// How far an approximation is from exact attention. All figures propagate NaN.
#pragma once

#include "analysis/approximation.h"
#include "analysis/exact_part.h"
#include "attention/head.h"
#include "core/run_context.h"

#include <limits>
#include <span>
#include <vector>

namespace convbasis {

/// Difference between an approximate and an exact result, over the rows whose exact result is known.
struct ErrorReport {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();  ///< until it is compared
  double relative_error = unknown;                                             ///< ||Y~ - Y||_F / ||Y||_F; 0 when both are zero
  double max_abs_error = unknown;                                              ///< max |Y~ - Y|
  double mean_total_variation = unknown;    ///< mean over rows of 1/2 sum_j |P~_ij - P_ij|, in [0, 1]; above where P~ is negative
  double max_score_error = unknown;         ///< max |S~_ij - S_ij| over the same rows: at most 2 eps where the bound is proved;
                                            ///< stays unknown for what stands in for weights
  Index total_variation_rows = 0;           ///< rows that mean was taken over (all for n <= 4096, else evenly spaced ones)
  std::vector<Index> row_error_index;       ///< the rows whose exact result is known, ascending; all n of them usually
  std::vector<double> row_error;            ///< ||Y~_i - Y_i||_2 / root mean square row norm of Y, of these rows
  std::vector<double> row_total_variation;  ///< 1/2 sum_j |P~_ij - P_ij| of the rows looked at
  std::vector<Index> row_total_variation_index;  ///< which rows those are, ascending
};

/// Compares `output` (n x d_v, of `approximation`) with `exact` (from `head`). Cost O(rows d_v), and for the total variation O(n
/// d) for each of at most 4096 rows: all of them up to n = 4096, 1024 evenly spaced ones beyond, 64 where only some are known.
/// Throws Cancelled.
template <Real T>
ErrorReport compare(const HeadView<T>& head, const ExactPart<T>& exact, const Approximation<T>& approximation,
                    MatrixView<T> output, const RunContext& context = {});

/// ||output - Y||_F / ||Y||_F over the rows whose exact output is known; 0 when both are zero.
template <Real T>
double known_row_error(const ExactPart<T>& exact, const Matrix<T>& output);

/// The relative error over the known rows that are odd, which a fit to the even ones has not seen; NaN when there are none.
template <Real T>
double odd_row_error(const ExactPart<T>& exact, const Matrix<T>& output);

}  // namespace convbasis
