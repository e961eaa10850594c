#include "view/error_target.h"

#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>

namespace convscope {

const KError* smallest_k_below(std::span<const KError> points, double target) {
  const auto place = std::ranges::find_if(points, [&](const KError& point) { return point.error < target; });
  return place == points.end() ? nullptr : &*place;
}

const KError* best_of(std::span<const KError> points) {
  const KError* best = nullptr;
  for (const KError& point : points) {
    if (point.error == point.error && (!best || point.error < best->error)) best = &point;  // NaN equals nothing
  }
  return best;
}

std::optional<Index> next_k(std::span<const KError> points, std::span<const Index> ladder, double target) {
  for (const Index k : ladder) {
    if (!std::ranges::binary_search(points, k, {}, &KError::k)) return k;
  }
  const KError* below = smallest_k_below(points, target);
  if (!below) return std::nullopt;
  const Index before = below == points.data() ? 0 : (below - 1)->k;
  if (below->k - before < 2) return std::nullopt;
  return before + (below->k - before) / 2;
}

std::string describe_target(std::span<const KError> points, bool complete, double target) {
  if (!complete) return points.empty() ? "computing …" : fmt::format("computing … k up to {}", points.back().k);
  if (const KError* below = smallest_k_below(points, target))
    return fmt::format("smallest k: {} (error {})", below->k, short_number(below->error));
  const KError* best = best_of(points);
  if (!best) return "the error is not a number for any k";
  return fmt::format("no k up to {}; best {} at k = {}", points.back().k, short_number(best->error), best->k);
}

}  // namespace convscope
