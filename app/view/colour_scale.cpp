#include "view/colour_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace convscope {
namespace {

/// The transform that the scale is linear in.
double forward(const ColourScale& scale, double value) {
  switch (scale.kind) {
    case ScaleKind::linear:
      return value;
    case ScaleKind::log:
      return value > 0.0 ? std::log(value) : (std::isnan(value) ? value : -std::numeric_limits<double>::infinity());
    case ScaleKind::symlog:
      return std::asinh(value / scale.linear_width());
  }
  return value;
}

/// `value` moved away from or towards zero to two significant digits.
double round_outwards(double value, bool up) {
  if (value == 0.0 || !std::isfinite(value)) return 0.0;
  const double step = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 1.0);
  // The small slack keeps 0.1 / 0.01 = 10.000000000000002 from growing to 11 steps.
  return step * (up ? std::ceil(value / step - 1e-9) : std::floor(value / step + 1e-9));
}

}  // namespace

std::string_view name_of(ScaleKind kind) {
  switch (kind) {
    case ScaleKind::linear:
      return "linear";
    case ScaleKind::log:
      return "log";
    case ScaleKind::symlog:
      return "symlog";
  }
  return "";
}

double ColourScale::linear_width() const { return 0.01 * std::max({std::abs(range.lo), std::abs(range.hi), 1e-30}); }

double ColourScale::position(double value) const {
  const double low = forward(*this, range.lo);
  return (forward(*this, value) - low) / (forward(*this, range.hi) - low);
}

double ColourScale::value_at(double position) const {
  const double low = forward(*this, range.lo);
  const double inner = low + position * (forward(*this, range.hi) - low);
  switch (kind) {
    case ScaleKind::linear:
      return inner;
    case ScaleKind::log:
      return std::exp(inner);
    case ScaleKind::symlog:
      return std::sinh(inner) * linear_width();
  }
  return inner;
}

Range quantile_range(std::span<const std::span<const float>> parts, double fraction) {
  std::size_t total = 0;
  for (const auto& part : parts) total += part.size();
  // An odd stride: with an even one the samples of a tile, whose rows are a power of two wide, would all sit in few columns.
  const std::size_t stride = (total >> 16U) | 1U;
  std::vector<float> sample;
  sample.reserve(total / stride + 1);
  for (const auto& part : parts) {
    for (std::size_t i = 0; i < part.size(); i += stride) {
      if (std::isfinite(part[i])) sample.push_back(part[i]);
    }
  }
  if (sample.empty()) return {0.0, 0.0};
  const auto quantile = [&sample](double place) {
    const auto index = static_cast<std::ptrdiff_t>(std::lround(place * static_cast<double>(sample.size() - 1)));
    std::nth_element(sample.begin(), sample.begin() + index, sample.end());
    return static_cast<double>(sample[static_cast<std::size_t>(index)]);
  };
  return {quantile(1.0 - fraction), quantile(fraction)};
}

Range readable_range(Range quantiles, ScaleKind kind) {
  if (kind == ScaleKind::log) {
    if (!(quantiles.hi > 0.0)) return {1e-4, 1.0};
    const double top = std::ceil(std::log10(quantiles.hi) - 1e-9);
    const double measured = quantiles.lo > 0.0 ? std::floor(std::log10(quantiles.lo) + 1e-9) : top - 4.0;
    return {std::pow(10.0, std::clamp(measured, top - 4.0, top - 1.0)), std::pow(10.0, top)};
  }
  const Range rounded{round_outwards(quantiles.lo, false), round_outwards(quantiles.hi, true)};
  if (rounded.lo < rounded.hi) return rounded;
  return {rounded.lo - 0.5, rounded.lo + 0.5};
}

Range symmetric_range(Range quantiles) {
  const double limit = round_outwards(std::max(std::abs(quantiles.lo), std::abs(quantiles.hi)), true);
  // A residual of zeros still needs a bar; 1e-6 is the accuracy that the exact map is computed to.
  const double shown = std::max(limit, 1e-6);
  return {-shown, shown};
}

}  // namespace convscope
