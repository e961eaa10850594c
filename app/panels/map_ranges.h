/// \file
/// Keeps the colour ranges of the maps in step with the tiles that are seen.
#pragma once

#include "gl/map_renderer.h"
#include "state/map_view.h"

#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace convscope {

/// Looks at the tiles of a panel again only when they, or what is asked of them, have changed. Cost then: one pass over the
/// tiles.
class MapRanges {
 public:
  /// Sets view.range from the exact tiles unless it is locked. True when it changed.
  bool follow_exact(std::span<const gl::TileOnMap> tiles, MapView& view);
  /// Sets view.residual_limit from the residual tiles unless it is locked. True when it changed.
  bool follow_residual(std::span<const gl::TileOnMap> tiles, MapView& view);
  /// The largest magnitude in the residual tiles last followed.
  std::optional<double> largest_residual() const { return largest_; }

 private:
  struct Basis {
    std::vector<std::shared_ptr<const convbasis::MapTile>> tiles;  // held, so that an address is not used twice
    ScaleKind scale = ScaleKind::linear;
    double quantile = 0.0;
    bool locked = false;
    bool operator==(const Basis&) const = default;
  };
  static bool changed(Basis& last, std::span<const gl::TileOnMap> tiles, const MapView& view);

  Basis exact_, residual_;
  std::optional<double> largest_;
};

}  // namespace convscope
