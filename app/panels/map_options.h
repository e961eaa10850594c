/// \file
/// The choices of how the maps are drawn: quantity, scale, range, colours, pooling.
#pragma once

#include "state/map_view.h"

#include <string>

namespace convscope {

/// The choices as menu items and sliders, for a popup or a menu of the main menu bar.
void draw_map_options(MapView& view);

/// "probability, log": quantity and scale in short.
std::string describe_values(const MapView& view);

}  // namespace convscope
