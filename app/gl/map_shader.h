/// \file
/// The shader text of the attention maps.
#pragma once

namespace convscope::gl {

extern const char* const map_vertex_shader;
/// Its scale formula is that of ColourScale::position (view/colour_scale.h); change both together.
extern const char* const map_fragment_shader;

}  // namespace convscope::gl
