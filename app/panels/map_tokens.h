/// \file
/// The strip of tokens under a map.
#pragma once

#include "core/types.h"
#include "panels/map_layout.h"

#include <optional>
#include <span>
#include <string>

namespace convscope {

/// Draws the tokens around key `key` in one line of the map's width, that key's own highlighted. Without a key it says what
/// the strip is for, without tokens only the key's number.
void draw_token_strip(const MapLayout& layout, std::span<const std::string> tokens, std::optional<convbasis::Index> key);

}  // namespace convscope
