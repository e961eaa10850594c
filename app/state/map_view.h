/// \file
/// How the attention maps are looked at: one value for all three, so that they show the same cells in the same way.
#pragma once

#include "analysis/map_tile.h"
#include "analysis/region.h"
#include "view/colour_map.h"
#include "view/colour_scale.h"
#include "view/map_geometry.h"

#include <optional>
#include <vector>

namespace convscope {

/// Written by the maps and by whoever steers them (menus, "go to", lessons, other panels). The window is clamped when the maps
/// are drawn, so a writer need not know n.
struct MapView {
  CellWindow window;
  bool fit_wanted = true;           ///< the next frame shows the whole map
  std::optional<CellIndex> centre;  ///< the next frame goes there, keeping the zoom

  std::optional<CellIndex> hovered;               ///< the cell under the cursor, in any map or panel
  std::optional<CellIndex> pinned;                ///< a clicked cell, shown while nothing is hovered
  std::optional<convbasis::MapRegion> selection;  ///< a rectangle drawn with Shift held
  bool flipped = false;                           ///< exact and approximation have changed places, while a key is held
  /// Segments wished for by dragging a start; empty for those that Recover finds. Taken by whoever runs the analysis.
  std::optional<std::vector<convbasis::Index>> starts_wish;
  /// The exact values at shown(), for every read-out; empty above the diagonal and without an analysis.
  std::optional<convbasis::MapCell> cell;

  convbasis::MapQuantity quantity = convbasis::MapQuantity::probability;
  convbasis::Pooling pooling = convbasis::Pooling::mean;
  ScaleKind scale = ScaleKind::log;
  ColourMap colour_map = ColourMap::viridis;

  bool range_locked = false;
  double quantile = 0.999;      ///< an automatic range spans the quantiles 1 - quantile and quantile of the tiles seen
  Range range{1e-4, 1.0};       ///< in use by exact and approximation; follows the tiles unless locked
  double residual_limit = 0.1;  ///< the residual's colours reach from minus to plus this; follows the tiles unless locked

  void fit() { fit_wanted = true; }
  void go_to(CellIndex cell_index) { centre = pinned = cell_index; }
  std::optional<CellIndex> shown() const { return hovered ? hovered : pinned; }
  /// The kind of scale that is asked for; scores have both signs, so their log is a symlog.
  ScaleKind value_kind() const {
    return scale == ScaleKind::log && quantity == convbasis::MapQuantity::score ? ScaleKind::symlog : scale;
  }
  /// The scale that exact and approximation are drawn with: a range that reaches zero has no logarithm.
  ColourScale value_scale() const {
    return {value_kind() == ScaleKind::log && !(range.lo > 0.0) ? ScaleKind::symlog : value_kind(), range};
  }
  /// The residual has both signs, so it is linear unless symlog is asked for.
  ColourScale residual_scale() const {
    return {scale == ScaleKind::symlog ? ScaleKind::symlog : ScaleKind::linear, {-residual_limit, residual_limit}};
  }
};

}  // namespace convscope
