/// \file
/// The n x n maps, piece by piece: tiles of 256 x 256 numbers at any zoom level, computed on demand from lse and lag
/// vectors. Nothing n x n is ever stored.
#pragma once

#include "analysis/head_analysis.h"

#include <compare>
#include <cstdint>
#include <vector>

namespace convbasis {

enum class MapKind : std::uint8_t { exact, approximation, residual };  ///< residual = exact - approximation
enum class MapQuantity : std::uint8_t { probability, score };
/// How a pixel of a zoomed-out level stands for its 2^level x 2^level cells. `peak` takes the value of the largest magnitude.
enum class Pooling : std::uint8_t { mean, peak };

inline constexpr Index map_tile_size = 256;

struct MapTileKey {
  MapKind kind = MapKind::exact;
  MapQuantity quantity = MapQuantity::probability;
  Pooling pooling = Pooling::mean;
  int level = 0;              ///< a pixel stands for 2^level x 2^level cells
  Index row_step = 1;         ///< only one row in so many is looked at: a power of two, at most 2^level; see map_row_step
  Index row = 0, column = 0;  ///< tile position in tiles of this level
  auto operator<=>(const MapTileKey&) const = default;
};

/// The pixels of one tile, row-major, map_tile_size squared. NaN marks what is masked (above the diagonal) or outside the matrix.
/// Cells on the diagonal of a pooled level average over their causal part only.
using MapTile = std::vector<float>;

/// Smallest level at which an n x n map fits one tile.
int coarsest_level(Index n);
/// True when the whole tile is masked or outside the matrix; it then need not be computed.
bool is_empty(const MapTileKey& key, Index n);

/// The row_step that keeps a tile of this level a matter of tenths of a second at any n: 1 where all rows are cheap enough. Cells
/// along the rows that are looked at are never left out.
template <Real T>
Index map_row_step(const HeadAnalysis<T>& analysis, int level);

/// Computes a tile. Cost: for exact and residual O(256^2 4^level d / row_step), and O(n d) for every row whose normaliser was
/// not known before; no d for the approximation. Throws InvalidArgument for a row_step that the level does not have, Cancelled.
template <Real T>
MapTile compute_map_tile(const HeadAnalysis<T>& analysis, const MapTileKey& key, const RunContext& context = {});

/// One cell read exactly, for the hover read-out. Cost O(d + log k). Row >= column. The exact probability is NaN while the row's
/// normaliser is not known.
struct MapCell {
  double exact_score, approximate_score;
  double exact_probability, approximate_probability;
};
template <Real T>
MapCell map_cell(const HeadAnalysis<T>& analysis, Index row, Index column);

}  // namespace convbasis
