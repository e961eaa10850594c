/// \file
/// What is drawn around and over a map: axes, crosshair, starts of segments, numbers in cells, colour bar. All of it goes to the
/// draw list of the current ImGui window and keeps nothing.
#pragma once

#include "basis/conv_basis.h"
#include "panels/map_layout.h"
#include "view/colour_map.h"
#include "view/colour_scale.h"
#include "view/palette.h"

#include <imgui.h>

#include <functional>
#include <optional>
#include <span>
#include <string>

namespace convscope {

/// Width of the widest label that the row axis of an n x n map can need.
float axis_label_width(convbasis::Index n);

/// Frame, ticks with labels, and the names "query" (down) and "key" (right).
void draw_axes(const MapFrame& frame, const MapLayout& layout, convbasis::Index n);

/// Two colours next to each other, so that a line shows on bright and on dark cells alike.
struct LineColours {
  ImU32 core, halo;
};

/// Lines along the row and the column of `cell`.
void draw_crosshair(const MapFrame& frame, CellIndex cell, LineColours colours);
/// The outline of `cell` only, never smaller than can be seen.
void draw_outline(const MapFrame& frame, CellIndex cell, LineColours colours);

/// Where segments of the basis start: a line from the diagonal down, and a mark under the map. The segment of `hovered`
/// stands out.
void draw_segment_starts(const MapFrame& frame, const convbasis::ConvBasis<float>& basis, Rgb colour,
                         std::optional<CellIndex> hovered);

/// Numbers inside of the cells when they are wide enough, black or white, whichever reads better on the cell's colour.
/// `value_of` gives NaN where nothing is to be written.
void draw_cell_numbers(const MapFrame& frame, convbasis::Index n, const ColourScale& scale, const ColourTable& table,
                       const std::function<float(CellIndex)>& value_of);

/// Lines of text in the corner of the map that is above the diagonal, on a ground of their own.
void draw_badges(const MapFrame& frame, std::span<const std::string> lines);

/// The colour bar: `lookup` is the texture of the colour map.
void draw_colour_bar(const MapLayout& layout, const ColourScale& scale, ImTextureID lookup);

}  // namespace convscope
