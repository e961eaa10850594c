/// \file
/// Lag vectors thinned to what a plot can show.
#pragma once

#include "view/colour_scale.h"

#include <span>
#include <vector>

namespace convscope {

struct LagCurve {
  std::vector<double> lag;    ///< ascending
  std::vector<double> value;  ///< as long as `lag`
};

/// The curve value(lag) of `values`, whose index is the lag, with about `points` points: where many lags share a bin of the
/// plot's log2(1 + lag) axis, the bin keeps its smallest and largest value, so that no peak is lost. Cost O(values.size()).
LagCurve thin_curve(std::span<const float> values, std::size_t points);

/// The same for an axis that is not logarithmic: all bins hold as many numbers.
LagCurve thin_evenly(std::span<const float> values, std::size_t points);

/// The smallest and the largest of the finite values that are at least `least`; {0, 1} when there are none.
Range range_of(std::span<const LagCurve> curves, double least);

}  // namespace convscope
