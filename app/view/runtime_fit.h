/// \file
/// What measured times say: how they grow with n, where two methods cross, and what an n between them takes. Plain functions.
#pragma once

#include "analysis/runtime_curve.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace convscope {

using convbasis::CurvePoint;
using convbasis::Index;

/// The points of one method, n ascending.
std::vector<CurvePoint> points_of(std::span<const CurvePoint> points, std::string_view method);

/// The p of seconds ~ n^p: least squares in logarithms over the measured points of the upper half (at least two of them), where
/// what a call costs anyway weighs least. Empty with fewer than two measured points. Points of one method, n ascending, times
/// above 0.
std::optional<double> slope(std::span<const CurvePoint> curve);

/// Seconds at n, between points by a straight line in logarithms, outside of them by the nearest two. Empty without points.
std::optional<double> seconds_at(std::span<const CurvePoint> curve, double n);

/// From where on one method is faster than another, as far as both curves reach.
struct Crossover {
  enum class Kind : std::uint8_t { unknown, never, always, at };
  Kind kind = Kind::unknown;
  double n = 0.0;             ///< only with Kind::at
  bool extrapolated = false;  ///< one of the points that it lies between was not measured
};
/// The n from which on `faster` stays below `slower` at the sizes that both have; unknown when they have none in common.
Crossover crossover(std::span<const CurvePoint> slower, std::span<const CurvePoint> faster);

/// `last` carried on to a larger n: exact attention, on a GPU too, by n^2, rank by n, all others by n log n. Marked as
/// extrapolated.
CurvePoint extrapolated(const CurvePoint& last, Index n);

}  // namespace convscope
