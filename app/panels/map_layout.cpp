#include "panels/map_layout.h"

#include <algorithm>
#include <cmath>

namespace convscope {

MapLayout lay_out_map(ImVec2 corner, ImVec2 room, float label_width, float line, float largest_side) {
  const float grid = std::round(line / 2.0F);
  MapLayout layout;
  layout.title = corner;
  layout.title_width = room.x;
  layout.bar_height = std::round(1.25F * grid);

  const float left = std::ceil(line + 1.5F * grid + label_width);     // name of the axis, gap, labels
  const float right = std::ceil(std::max(grid, label_width / 2.0F));  // half of the last label hangs over
  const float title_height = 3.0F * grid;
  const float ticks_height = 3.0F * grid;
  const float bar_block = layout.bar_height + 3.0F * grid;
  const auto height_below = [&](bool strip, bool statistics) {
    return ticks_height + (strip ? 3.0F * grid : 0.0F) + bar_block + (statistics ? 2.0F * grid : 0.0F);
  };
  const auto side_with = [&](bool strip, bool statistics) {
    return std::floor(std::min(room.x - left - right, room.y - title_height - height_below(strip, statistics)));
  };
  // On a low panel the map is worth more than the lines under it.
  const float least = 20.0F * grid;
  layout.statistics = side_with(true, true) >= std::min(least, room.x - left - right);
  layout.strip = layout.statistics || side_with(true, false) >= least;
  layout.side = std::min(side_with(layout.strip, layout.statistics), largest_side);

  const float spare_width = std::max(0.0F, room.x - left - right - layout.side);
  layout.axis_left = std::floor(corner.x + spare_width / 2.0F);
  layout.map = {layout.axis_left + left, std::floor(corner.y + title_height)};
  layout.ticks_y = layout.map.y + layout.side + std::round(0.75F * grid);
  // A panel that is higher than its map is wide lets the lines below breathe.
  const float spare_height = corner.y + room.y - (layout.map.y + layout.side + height_below(layout.strip, layout.statistics));
  const float gap = std::clamp(std::floor(spare_height / 4.0F), 0.0F, grid);
  layout.strip_y = layout.map.y + layout.side + ticks_height + gap;
  layout.bar_y = layout.strip_y + (layout.strip ? 3.0F * grid + gap : 0.0F);
  layout.statistics_y = layout.bar_y + bar_block + gap;
  return layout;
}

}  // namespace convscope
