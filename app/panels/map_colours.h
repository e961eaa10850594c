/// \file
/// How the three maps are coloured, on the screen and in exported pictures.
#pragma once

#include "gl/map_renderer.h"
#include "state/map_view.h"

namespace convscope {

/// The colours of one map, on the surface of the current ImGui style.
gl::MapColours map_colours(convbasis::MapKind kind, const MapView& view);

/// What a map is called, and the colour of the dot before its name.
struct MapTitle {
  const char* text;
  Subject subject;
};
MapTitle title_of(convbasis::MapKind kind);

}  // namespace convscope
