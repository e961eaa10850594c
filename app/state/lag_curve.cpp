#include "state/lag_curve.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace convscope {

LagCurve thin_curve(std::span<const float> values, std::size_t points) {
  LagCurve curve;
  const auto add = [&](std::size_t lag) {
    curve.lag.push_back(static_cast<double>(lag));
    curve.value.push_back(values[lag]);
  };
  // Two points a bin; bins of equal width on the axis, so the first ones hold at most one lag each.
  const double bins_per_unit =
      static_cast<double>(std::max<std::size_t>(points / 2, 1)) / std::log2(1.0 + static_cast<double>(values.size()));
  const auto bin_of = [&](std::size_t lag) { return std::floor(std::log2(1.0 + static_cast<double>(lag)) * bins_per_unit); };
  for (std::size_t first = 0; first < values.size();) {
    std::size_t smallest = first;
    std::size_t largest = first;
    std::size_t next = first + 1;
    for (; next < values.size() && bin_of(next) == bin_of(first); ++next) {
      if (values[next] < values[smallest]) smallest = next;
      if (values[next] > values[largest]) largest = next;
    }
    add(std::min(smallest, largest));
    if (smallest != largest) add(std::max(smallest, largest));
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
