/// \file
/// Colour maps as tables of 256 colours: what the shader looks up and the colour bar shows.
#pragma once

#include "view/palette.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace convscope {

/// The sequential maps rise evenly in lightness and read well with any common colour vision; `diverging` is for values
/// with a sign, white in the middle.
enum class ColourMap : std::uint8_t { viridis, cividis, magma, grey, diverging };
std::string_view name_of(ColourMap map);

using ColourTable = std::array<Rgb, 256>;

/// The table of `map`, low values first. Cost: 256 interpolations.
ColourTable colour_table(ColourMap map);

/// The colour at a place in [0, 1] of the table (clamped); NaN gives the first colour.
Rgb colour_at(const ColourTable& table, double position);

}  // namespace convscope
