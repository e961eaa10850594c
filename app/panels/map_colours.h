/// \file
/// How the three maps are coloured, on the screen and in exported pictures.
#pragma once

#include "analysis/head_analysis.h"
#include "gl/map_renderer.h"
#include "state/map_view.h"

#include <string>

namespace convscope {

/// The colours of one map, on the surface of the current ImGui style.
gl::MapColours map_colours(convbasis::MapKind kind, const MapView& view);

/// What a map is called, and the colour of the dot before its name.
struct MapTitle {
  const char* text;
  Subject subject;
};
/// `analysis` says what the approximation is by; null when there is none yet.
MapTitle title_of(convbasis::MapKind kind, const convbasis::HeadAnalysis<float>* analysis);
/// "k = 16" of a recovered basis, "fit  w 64  c 16  k 16" of a fit, "k = 16 (SVD)" or "degree 2" of low rank.
std::string describe_approximation(const convbasis::HeadAnalysis<float>& analysis);

}  // namespace convscope
