#include "view/runtime_fit.h"

#include <algorithm>
#include <cmath>

namespace convscope {

namespace {

double log_n(const CurvePoint& point) { return std::log(static_cast<double>(point.n)); }

/// log(seconds) at log(n) on the line through two points.
double on_line(const CurvePoint& a, const CurvePoint& b, double at) {
  const double share = (at - log_n(a)) / (log_n(b) - log_n(a));
  return std::log(a.seconds) + share * (std::log(b.seconds) - std::log(a.seconds));
}

const CurvePoint* find(std::span<const CurvePoint> curve, Index n) {
  const auto place = std::ranges::find(curve, n, &CurvePoint::n);
  return place == curve.end() ? nullptr : &*place;
}

/// Both methods at one n.
struct Pair {
  const CurvePoint* slower;
  const CurvePoint* faster;
  /// Logarithm of how many times as long `slower` takes.
  double advantage() const { return std::log(slower->seconds / faster->seconds); }
};

}  // namespace

std::vector<CurvePoint> points_of(std::span<const CurvePoint> points, std::string_view method) {
  std::vector<CurvePoint> curve;
  std::ranges::copy_if(points, std::back_inserter(curve), [&](const CurvePoint& point) { return point.method == method; });
  std::ranges::sort(curve, {}, &CurvePoint::n);
  return curve;
}

std::optional<double> slope(std::span<const CurvePoint> curve) {
  std::vector<CurvePoint> measured;
  std::ranges::copy_if(curve, std::back_inserter(measured), [](const CurvePoint& point) { return !point.extrapolated; });
  if (measured.size() < 2) return std::nullopt;
  const std::size_t used = std::max<std::size_t>(2, (measured.size() + 1) / 2);
  const std::span<const CurvePoint> upper = std::span<const CurvePoint>(measured).last(used);
  double mean_x = 0.0;
  double mean_y = 0.0;
  for (const CurvePoint& point : upper) {
    mean_x += log_n(point) / static_cast<double>(used);
    mean_y += std::log(point.seconds) / static_cast<double>(used);
  }
  double xy = 0.0;
  double xx = 0.0;
  for (const CurvePoint& point : upper) {
    xy += (log_n(point) - mean_x) * (std::log(point.seconds) - mean_y);
    xx += (log_n(point) - mean_x) * (log_n(point) - mean_x);
  }
  return xy / xx;
}

std::optional<double> seconds_at(std::span<const CurvePoint> curve, double n) {
  if (curve.empty()) return std::nullopt;
  if (curve.size() == 1) return static_cast<double>(curve.front().n) == n ? std::optional(curve.front().seconds) : std::nullopt;
  const auto above = std::ranges::upper_bound(curve, n, {}, [](const CurvePoint& point) { return static_cast<double>(point.n); });
  const auto right = std::clamp<std::ptrdiff_t>(above - curve.begin(), 1, static_cast<std::ptrdiff_t>(curve.size()) - 1);
  const auto at = static_cast<std::size_t>(right);
  return std::exp(on_line(curve[at - 1], curve[at], std::log(n)));
}

Crossover crossover(std::span<const CurvePoint> slower, std::span<const CurvePoint> faster) {
  std::vector<Pair> pairs;
  for (const CurvePoint& point : slower) {
    if (const CurvePoint* other = find(faster, point.n)) pairs.push_back({&point, other});
  }
  if (pairs.empty()) return {};
  std::size_t first = pairs.size();  // from here on the advantage stays above 0
  while (first > 0 && pairs[first - 1].advantage() > 0.0) --first;
  if (first == 0) return {Crossover::Kind::always, 0.0, false};
  if (first == pairs.size()) return {Crossover::Kind::never, 0.0, false};
  const Pair& before = pairs[first - 1];
  const Pair& after = pairs[first];
  const double share = -before.advantage() / (after.advantage() - before.advantage());
  const double log_of_n = log_n(*before.slower) + share * (log_n(*after.slower) - log_n(*before.slower));
  const bool guessed =
      before.slower->extrapolated || before.faster->extrapolated || after.slower->extrapolated || after.faster->extrapolated;
  return {Crossover::Kind::at, std::exp(log_of_n), guessed};
}

CurvePoint extrapolated(const CurvePoint& last, Index n) {
  const double ratio = static_cast<double>(n) / static_cast<double>(last.n);
  const double logs = std::log(static_cast<double>(n)) / std::log(static_cast<double>(std::max<Index>(last.n, 2)));
  CurvePoint point = last;
  point.n = n;
  const bool exact = last.method == "exact" || last.method == "cuda_exact";
  const double more = exact ? ratio : last.method == "rank" ? 1.0 : logs;  // rank is linear in n
  point.seconds = last.seconds * ratio * more;
  point.seconds_min = point.seconds_max = point.seconds;
  point.repeats = 0;
  point.extrapolated = true;
  return point;
}

}  // namespace convscope
