/// \file
/// Where the parts of one map panel stand: title, map with its axes, token strip, colour bar, statistics. And how cells of the
/// map become points of the screen.
#pragma once

#include "view/map_geometry.h"

#include <imgui.h>

namespace convscope {

/// The square of the screen that shows the map. Its corner and side are whole pixels, so that a cell's edge is sharp.
struct MapFrame {
  ImVec2 corner;
  float side = 0.0F;
  CellWindow window;

  float x_of(double column) const { return corner.x + side * static_cast<float>((column - window.column) / window.extent); }
  float y_of(double row) const { return corner.y + side * static_cast<float>((row - window.row) / window.extent); }
  double column_at(float x) const { return window.column + static_cast<double>((x - corner.x) / side) * window.extent; }
  double row_at(float y) const { return window.row + static_cast<double>((y - corner.y) / side) * window.extent; }
  float cell_size() const { return side / static_cast<float>(window.extent); }
  ImVec2 far_corner() const { return {corner.x + side, corner.y + side}; }
};

/// Heights are zero for parts that the panel is too low for.
struct MapLayout {
  ImVec2 title;  ///< top left of the title line
  float title_width = 0.0F;
  ImVec2 map;              ///< top left of the map
  float side = 0.0F;       ///< of the map; below 1 there is no room for anything
  float axis_left = 0.0F;  ///< left edge of the row axis, where its name stands
  float ticks_y = 0.0F;    ///< top of the column axis' labels
  float strip_y = 0.0F;    ///< top of the token strip
  bool strip = true;
  float bar_y = 0.0F;  ///< top of the colour bar
  float bar_height = 0.0F;
  float statistics_y = 0.0F;  ///< top of the statistics line
  bool statistics = true;
};

/// Lays a panel out. `corner` and `room` are the panel's content region, `label_width` is that of the widest row label, `line`
/// the height of text; the map's side is at most `largest_side`. All spacing is in half lines: the 8-pixel grid at the usual size
/// of type.
MapLayout lay_out_map(ImVec2 corner, ImVec2 room, float label_width, float line, float largest_side);

}  // namespace convscope
