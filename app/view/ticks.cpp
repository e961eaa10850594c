#include "view/ticks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace convscope {
namespace {

/// Prints with a true minus sign, which is as wide as a plus in the text face.
std::string print(const char* format, int decimals, double value) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format, decimals, std::abs(value));
  return (std::signbit(value) ? "\u2212" : "") + std::string(buffer.data());
}

/// The smallest 1, 2 or 5 times 10^e that cuts `span` into at most `count` pieces.
double nice_step(double span, int count) {
  const double least = span / static_cast<double>(count);
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1.0 - 1e-9)) return factor * power;
  }
  return 10.0 * power;
}

std::vector<Tick> stepped_ticks(Range range, double step) {
  std::vector<Tick> ticks;
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 12);
  // Tiny or huge values would need more zeros than digits; those are written with an exponent.
  const double largest = std::max(std::abs(range.lo), std::abs(range.hi));
  const bool scientific = decimals > 4 || largest >= 1e7;
  // Enough digits to tell neighbouring ticks apart.
  const int digits = scientific ? std::clamp(static_cast<int>(std::ceil(std::log10(largest / step))) + 1, 1, 6) : 0;
  const auto first = static_cast<long long>(std::ceil(range.lo / step - 1e-6));
  const auto last = static_cast<long long>(std::floor(range.hi / step + 1e-6));
  for (long long i = first; i <= last; ++i) {
    const double value = static_cast<double>(i) * step;
    ticks.push_back({value, scientific ? short_number(value, digits) : print("%.*f", decimals, value), ""});
  }
  return ticks;
}

/// Ticks at the smallest nice step, at least `least_step`, that needs at most `count` of them: then there is at least one.
std::vector<Tick> at_most(Range range, double least_step, int count) {
  count = std::max(count, 2);
  const double span = range.hi - range.lo;
  double step = span > 0.0 ? std::max(least_step, nice_step(span, 2 * count)) : 1.0;
  std::vector<Tick> ticks = stepped_ticks(range, step);
  while (static_cast<int>(ticks.size()) > count) {
    step = nice_step(step * 1.5, 1);
    ticks = stepped_ticks(range, step);
  }
  return ticks;
}

Tick power_tick(double sign, int exponent) {
  return {sign * std::pow(10.0, exponent), sign < 0.0 ? "\u221210" : "10",
          exponent < 0 ? "\u2212" + std::to_string(-exponent) : std::to_string(exponent)};
}

/// Powers of ten to both sides of zero, outside of the linear part of a symlog scale.
std::vector<Tick> symlog_ticks(const ColourScale& scale, int count) {
  std::vector<Tick> ticks;
  const Range& range = scale.range;
  const int low = static_cast<int>(std::ceil(std::log10(scale.linear_width()) - 1e-9));
  const double largest = std::max(std::abs(range.lo), std::abs(range.hi));
  const int high = static_cast<int>(std::floor(std::log10(largest) + 1e-9));
  const bool both_sides = range.lo < 0.0 && range.hi > 0.0;
  const int per_side = std::max(1, both_sides ? (count - 1) / 2 : count - 1);
  const int stride = std::max(1, (high - low + per_side) / per_side);
  ticks.push_back({0.0, "0", ""});
  for (int exponent = high; exponent >= low; exponent -= stride) {
    ticks.push_back(power_tick(-1.0, exponent));
    ticks.push_back(power_tick(1.0, exponent));
  }
  const double slack = 1e-9 * largest;
  std::erase_if(ticks, [&](const Tick& tick) { return tick.value < range.lo - slack || tick.value > range.hi + slack; });
  std::sort(ticks.begin(), ticks.end(), [](const Tick& a, const Tick& b) { return a.value < b.value; });
  return ticks;
}

}  // namespace

std::vector<Tick> linear_ticks(Range range, int count) {
  if (!(range.lo < range.hi)) return {};
  return at_most(range, 0.0, count);
}

std::vector<Tick> cell_ticks(Range range, int count) {
  if (!(range.lo <= range.hi)) return {};
  return at_most(range, 1.0, count);
}

std::vector<Tick> log_ticks(Range range, int count) {
  if (!(range.lo > 0.0) || !(range.lo < range.hi)) return {};
  std::vector<Tick> ticks;
  const int low = static_cast<int>(std::ceil(std::log10(range.lo) - 1e-9));
  const int high = static_cast<int>(std::floor(std::log10(range.hi) + 1e-9));
  const int intervals = std::max(count - 1, 1);
  const int stride = std::max(1, (high - low + intervals - 1) / intervals);
  for (int exponent = low; exponent <= high; exponent += stride) ticks.push_back(power_tick(1.0, exponent));
  if (high - low > 6) return ticks;
  for (int exponent = low - 1; exponent <= high; ++exponent) {
    for (int factor = 2; factor <= 9; ++factor) {
      const double value = factor * std::pow(10.0, exponent);
      if (value > range.lo && value < range.hi) ticks.push_back({value, "", ""});
    }
  }
  std::sort(ticks.begin(), ticks.end(), [](const Tick& a, const Tick& b) { return a.value < b.value; });
  return ticks;
}

std::vector<Tick> scale_ticks(const ColourScale& scale, int count) {
  switch (scale.kind) {
    case ScaleKind::linear:
      return linear_ticks(scale.range, count);
    case ScaleKind::log:
      return log_ticks(scale.range, count);
    case ScaleKind::symlog:
      return symlog_ticks(scale, count);
  }
  return {};
}

std::string short_number(double value, int digits) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0.0 ? "\u2212inf" : "inf";
  if (value == 0.0) return "0";
  // Rounding first decides the exponent: 999.9 is 1000 with three digits.
  std::array<char, 32> rounded{};
  std::snprintf(rounded.data(), rounded.size(), "%.*e", digits - 1, std::abs(value));
  const std::string text = rounded.data();
  const std::size_t split = text.find('e');
  const int exponent = std::stoi(text.substr(split + 1));
  if (exponent < -3 || exponent > 6) {
    return (value < 0.0 ? "\u2212" : "") + text.substr(0, split) + "e" + (exponent < 0 ? "\u2212" : "") +
           std::to_string(std::abs(exponent));
  }
  return print("%.*f", std::max(0, digits - 1 - exponent), value);
}

}  // namespace convscope
