/// \file
/// Which tiles of a map are needed to show a window of it, and what stands in for one that has not been computed yet.
#pragma once

#include "analysis/map_tile.h"
#include "view/map_geometry.h"

#include <optional>
#include <string>
#include <vector>

namespace convscope {

/// The finest level whose pixels are at least as large as a screen pixel, so that no cell is skipped between two of them, and at
/// most the coarsest level. `pixels` is the side of the map on the screen.
int level_for(double extent, double pixels, convbasis::Index n);

/// The tiles that `window` shows at the level of `kind` (its row and column are ignored), nearest to the window's centre first,
/// without those that hold masked cells only.
std::vector<convbasis::MapTileKey> visible_tiles(const convbasis::MapTileKey& kind, const CellWindow& window, convbasis::Index n);

/// The tile of the next coarser level that covers `key`; none when `key` is of the coarsest level.
std::optional<convbasis::MapTileKey> parent_of(const convbasis::MapTileKey& key, convbasis::Index n);

/// The four tiles of the next finer level that `key` covers; none for level 0.
std::vector<convbasis::MapTileKey> children_of(const convbasis::MapTileKey& key);

/// Where the tile starts and how far it reaches, in cells (beyond the matrix for tiles at its edge).
CellWindow cells_of(const convbasis::MapTileKey& key);

/// True when the cell lies within the tile.
bool contains(const convbasis::MapTileKey& key, CellIndex cell);

/// The pixel of the tile that holds a cell; row-major index into the tile. The tile must contain the cell.
std::size_t pixel_of(const convbasis::MapTileKey& key, CellIndex cell);

/// "" for level 0, else how a pixel was made: "mean of 4×4".
std::string level_name(int level, convbasis::Pooling pooling);

}  // namespace convscope
