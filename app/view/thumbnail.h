/// \file
/// Small pictures of maps, coloured here and not in a shader: a grid of heads shows a thousand of them in one texture.
#pragma once

#include "view/colour_map.h"
#include "view/colour_scale.h"

#include <cstdint>
#include <span>
#include <vector>

namespace convscope {

/// The logarithmic scale that shows mean-pooled probabilities of n tokens: from a tenth of what attention to all alike gives up
/// to what the diagonal of such a picture can reach.
ColourScale thumbnail_scale(std::ptrdiff_t n);

/// side x side pixels of 8-bit RGBA from `values`, a square of a multiple of `side` (pixels of which are averaged, without
/// NaN); a pixel of nothing but NaN gets the colour `masked`. Row-major like the values.
std::vector<std::uint8_t> coloured_thumbnail(std::span<const float> values, int side, const ColourScale& scale,
                                             const ColourTable& table, Rgb masked);

/// The side, at most 64 and a power of two, at which `count` square pictures fit in one texture of 4096 x 4096; 0 when they do
/// not fit with 8 pixels.
int thumbnail_side_for(std::size_t count);

}  // namespace convscope
