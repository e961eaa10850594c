#include "panels/map_ranges.h"

#include <algorithm>
#include <cmath>

namespace convscope {
namespace {

std::vector<std::span<const float>> values_of(std::span<const gl::TileOnMap> tiles) {
  std::vector<std::span<const float>> parts;
  for (const gl::TileOnMap& tile : tiles) parts.emplace_back(*tile.values);
  return parts;
}

std::optional<double> largest_magnitude(std::span<const gl::TileOnMap> tiles) {
  std::optional<double> largest;
  for (const gl::TileOnMap& tile : tiles) {
    for (const float value : *tile.values) {
      // Masked pixels are NaN; an infinity stays visible as one.
      if (!std::isnan(value)) largest = std::max(largest.value_or(0.0), static_cast<double>(std::abs(value)));
    }
  }
  return largest;
}

}  // namespace

bool MapRanges::follow_exact(std::span<const gl::TileOnMap> tiles, MapView& view) {
  if (!changed(exact_, tiles, view) || view.range_locked) return false;
  const Range before = view.range;
  view.range = readable_range(quantile_range(values_of(tiles), view.quantile), view.value_kind());
  return !(view.range == before);
}

bool MapRanges::follow_residual(std::span<const gl::TileOnMap> tiles, MapView& view) {
  if (!changed(residual_, tiles, view)) return false;
  largest_ = largest_magnitude(tiles);
  if (view.range_locked) return false;
  const double before = view.residual_limit;
  view.residual_limit = symmetric_range(quantile_range(values_of(tiles), view.quantile)).hi;
  return view.residual_limit != before;
}

bool MapRanges::changed(Basis& last, std::span<const gl::TileOnMap> tiles, const MapView& view) {
  Basis present{{}, view.value_kind(), view.quantile, view.range_locked};
  for (const gl::TileOnMap& tile : tiles) present.tiles.push_back(tile.values);
  if (present == last) return false;
  last = std::move(present);
  return true;
}

}  // namespace convscope
