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

/// Computes a tile. Cost: O(256^2 4^level d) for exact and residual, no d for the approximation. Throws Cancelled.
template <Real T>
MapTile compute_map_tile(const HeadAnalysis<T>& analysis, const MapTileKey& key, const RunContext& context = {});

/// One cell read exactly, for the hover read-out. Cost O(d + log k). Row >= column.
struct MapCell {
  double exact_score, approximate_score;
  double exact_probability, approximate_probability;
};
template <Real T>
MapCell map_cell(const HeadAnalysis<T>& analysis, Index row, Index column);

}  // namespace convbasis
