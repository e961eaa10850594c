#include "view/map_tiling.h"

#include <algorithm>
#include <cmath>

namespace convscope {
namespace {

using convbasis::Index;
using convbasis::MapTileKey;

Index cells_per_tile(int level) { return convbasis::map_tile_size << level; }

/// Distance between the middle of a tile and the middle of the window, squared.
double off_centre(const MapTileKey& key, const CellWindow& window) {
  const CellWindow tile = cells_of(key);
  const double half = 0.5 * (tile.extent - window.extent);
  return std::pow(tile.row + half - window.row, 2) + std::pow(tile.column + half - window.column, 2);
}

}  // namespace

int level_for(double extent, double pixels, Index n) {
  const double cells_per_pixel = extent / std::max(pixels, 1.0);
  const int level = cells_per_pixel > 1.0 ? static_cast<int>(std::ceil(std::log2(cells_per_pixel) - 1e-9)) : 0;
  return std::clamp(level, 0, convbasis::coarsest_level(n));
}

std::vector<MapTileKey> visible_tiles(const MapTileKey& kind, const CellWindow& window, Index n) {
  const auto side = static_cast<double>(cells_per_tile(kind.level));
  const auto tile_at = [side](double cell) { return static_cast<Index>(std::floor(cell / side)); };
  const double end = static_cast<double>(n);
  const auto last_tile = [&](double origin) {
    return static_cast<Index>(std::ceil(std::min(origin + window.extent, end) / side)) - 1;
  };
  std::vector<MapTileKey> keys;
  MapTileKey key = kind;
  for (key.row = tile_at(window.row); key.row <= last_tile(window.row); ++key.row) {
    for (key.column = tile_at(window.column); key.column <= last_tile(window.column); ++key.column) {
      if (!convbasis::is_empty(key, n)) keys.push_back(key);
    }
  }
  std::stable_sort(keys.begin(), keys.end(),
                   [&](const MapTileKey& a, const MapTileKey& b) { return off_centre(a, window) < off_centre(b, window); });
  return keys;
}

std::optional<MapTileKey> parent_of(const MapTileKey& key, Index n) {
  if (key.level >= convbasis::coarsest_level(n)) return std::nullopt;
  MapTileKey parent = key;
  parent.level += 1;
  parent.row /= 2;
  parent.column /= 2;
  return parent;
}

std::vector<MapTileKey> children_of(const MapTileKey& key) {
  std::vector<MapTileKey> children;
  if (key.level == 0) return children;
  for (const Index row : {2 * key.row, 2 * key.row + 1}) {
    for (const Index column : {2 * key.column, 2 * key.column + 1}) {
      children.push_back(key);
      children.back().level -= 1;
      children.back().row = row;
      children.back().column = column;
    }
  }
  return children;
}

CellWindow cells_of(const MapTileKey& key) {
  const Index side = cells_per_tile(key.level);
  return {static_cast<double>(key.row * side), static_cast<double>(key.column * side), static_cast<double>(side)};
}

bool contains(const MapTileKey& key, CellIndex cell) {
  const Index side = cells_per_tile(key.level);
  return cell.row / side == key.row && cell.column / side == key.column;
}

std::size_t pixel_of(const MapTileKey& key, CellIndex cell) {
  const Index row = (cell.row >> key.level) - key.row * convbasis::map_tile_size;
  const Index column = (cell.column >> key.level) - key.column * convbasis::map_tile_size;
  return static_cast<std::size_t>(row * convbasis::map_tile_size + column);
}

std::string level_name(int level, convbasis::Pooling pooling) {
  if (level == 0) return "";
  const std::string side = std::to_string(1LL << level);
  return (pooling == convbasis::Pooling::mean ? "mean of " : "peak of ") + side + "\u00d7" + side;
}

}  // namespace convscope
