/// \file
/// From a value to its place on the colour bar. The fragment shader of the maps (gl/map_shader.cpp) computes the same formula;
/// colour bars, ticks and the numbers inside cells come from here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace convscope {

/// symlog is asinh(value / linear_width): linear around zero, logarithmic far from it, for values of both signs.
enum class ScaleKind : std::uint8_t { linear, log, symlog };
std::string_view name_of(ScaleKind kind);

struct Range {
  double lo = 0.0, hi = 1.0;
  bool operator==(const Range&) const = default;
};

/// A colour scale. `log` needs 0 < lo < hi, the others lo < hi.
struct ColourScale {
  ScaleKind kind = ScaleKind::linear;
  Range range;
  bool operator==(const ColourScale&) const = default;

  /// Where symlog turns from linear to logarithmic: a hundredth of the largest magnitude of the range.
  double linear_width() const;
  /// The place of `value` on the bar: 0 at lo, 1 at hi, beyond them outside of [0, 1]. NaN for NaN; -infinity for a
  /// value <= 0 on a log scale, which the bar then shows as its low end.
  double position(double value) const;
  /// The value at a place of the bar, the inverse of position().
  double value_at(double position) const;
};

/// The quantiles `1 - fraction` and `fraction` of the finite values (fraction in [0.5, 1]). At most about 2^16 values, evenly
/// spaced over all of `parts`, are looked at, so the cost is bounded. {0, 0} when there is none.
Range quantile_range(std::span<const std::span<const float>> parts, double fraction);

/// A readable range around the measured quantiles: decades for log (at most four of them, as colours cannot show more), two
/// significant digits for the others; never empty.
Range readable_range(Range quantiles, ScaleKind kind);

/// A readable range symmetric about zero that covers the quantiles, for residuals.
Range symmetric_range(Range quantiles);

}  // namespace convscope
