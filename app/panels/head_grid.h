/// \file
/// The heads of a model as a grid of layers (down) and heads (across).
#pragma once

#include "core/types.h"
#include "data/activations.h"

#include <map>
#include <optional>
#include <span>
#include <utility>

namespace convscope {

/// A layer and a head of it.
using LayerHead = std::pair<convbasis::Index, convbasis::Index>;

/// Draws the grid into the panel's width and `height`, one cell a head: coloured by its relative error where that is known
/// (bright 0, dark 1 and above), grey where it is not, outlined for `current`. Click opens a head; arrow keys walk while the grid
/// has the focus. Returns the head that was asked for.
std::optional<LayerHead> draw_head_grid(std::span<const convbasis::LayerInfo> layers, LayerHead current,
                                        const std::map<LayerHead, double>& errors, float height);

}  // namespace convscope
