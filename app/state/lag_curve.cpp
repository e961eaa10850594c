#include "state/lag_curve.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace convscope {

namespace {

/// The smallest and the largest of values[first], ..., values[end - 1], in their order.
void add_extremes(LagCurve& curve, std::span<const float> values, std::size_t first, std::size_t end) {
  std::size_t smallest = first;
  std::size_t largest = first;
  for (std::size_t place = first + 1; place < end; ++place) {
    if (values[place] < values[smallest]) smallest = place;
    if (values[place] > values[largest]) largest = place;
  }
  const auto add = [&](std::size_t place) {
    curve.lag.push_back(static_cast<double>(place));
    curve.value.push_back(values[place]);
  };
  add(std::min(smallest, largest));
  if (smallest != largest) add(std::max(smallest, largest));
}

}  // namespace

LagCurve thin_evenly(std::span<const float> values, std::size_t points) {
  LagCurve curve;
  const std::size_t bins = std::max<std::size_t>(points / 2, 1);
  const std::size_t width = points >= values.size() ? 1 : (values.size() + bins - 1) / bins;
  for (std::size_t first = 0; first < values.size(); first += width) {
    add_extremes(curve, values, first, std::min(first + width, values.size()));
  }
  return curve;
}

LagCurve thin_curve(std::span<const float> values, std::size_t points) {
  LagCurve curve;
  // Two points a bin; bins of equal width on the axis, so the first ones hold at most one lag each.
  const double bins_per_unit =
      static_cast<double>(std::max<std::size_t>(points / 2, 1)) / std::log2(1.0 + static_cast<double>(values.size()));
  const auto bin_of = [&](std::size_t lag) { return std::floor(std::log2(1.0 + static_cast<double>(lag)) * bins_per_unit); };
  // The first lag after those in the bin of `first`: guessed, then moved to where the bins really part. A logarithm for every lag
  // would hold the window up: a million lags and sixteen curves took 200 ms.
  const auto end_of_bin = [&](std::size_t first) {
    const double bin = bin_of(first);
    const double guess = std::exp2((bin + 1.0) / bins_per_unit) - 1.0;
    auto end = static_cast<std::size_t>(std::clamp(guess, static_cast<double>(first + 1), static_cast<double>(values.size())));
    while (end < values.size() && bin_of(end) == bin) ++end;
    while (end > first + 1 && bin_of(end - 1) != bin) --end;
    return end;
  };
  for (std::size_t first = 0; first < values.size();) {
    const std::size_t next = end_of_bin(first);
    add_extremes(curve, values, first, next);
    first = next;
  }
  return curve;
}

Range range_of(std::span<const LagCurve> curves, double least) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Range range{infinity, -infinity};
  for (const LagCurve& curve : curves) {
    for (const double value : curve.value) {
      if (!std::isfinite(value) || value < least) continue;
      range.lo = std::min(range.lo, value);
      range.hi = std::max(range.hi, value);
    }
  }
  return range.lo <= range.hi ? range : Range{};
}

}  // namespace convscope
