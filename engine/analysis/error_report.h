/// \file
/// How far an approximation is from exact attention. All figures propagate NaN.
#pragma once

#include "attention/head.h"
#include "basis/conv_weights.h"
#include "core/run_context.h"

#include <span>
#include <vector>

namespace convbasis {

/// Difference between an approximate and an exact result.
struct ErrorReport {
  double relative_error = 0.0;              ///< ||Y~ - Y||_F / ||Y||_F; 0 when both are zero
  double max_abs_error = 0.0;               ///< max |Y~ - Y|
  double mean_total_variation = 0.0;        ///< mean over rows of 1/2 sum_j |P~_ij - P_ij|, in [0, 1]
  double max_score_error = 0.0;             ///< max |S~_ij - S_ij| over the same rows: at most 2 eps where the bound is proved
  Index total_variation_rows = 0;           ///< rows that mean was taken over (all for n <= 4096, else evenly spaced ones)
  std::vector<double> row_error;            ///< ||Y~_i - Y_i||_2 / root mean square row norm of Y, n entries
  std::vector<double> row_total_variation;  ///< 1/2 sum_j |P~_ij - P_ij| of the rows looked at
  std::vector<Index> row_total_variation_index;  ///< which rows those are, ascending
};

/// Compares `output` (from `weights`) with `exact` (from `head` and its `lse`). Cost O(n d_v), and for the total variation
/// O(n^2 (d + log k)) over all rows up to n = 4096, over 1024 evenly spaced rows beyond. Throws Cancelled.
template <Real T>
ErrorReport compare(const HeadView<T>& head, std::span<const double> lse, MatrixView<T> exact, const ConvWeights<T>& weights,
                    MatrixView<T> output, const RunContext& context = {});

}  // namespace convbasis
