/// \file
/// A rectangle of the maps: its cells, and what they amount to. Nothing n x n is stored, however large it is.
#pragma once

#include "analysis/head_analysis.h"
#include "analysis/map_tile.h"

#include <functional>
#include <span>

namespace convbasis {

/// Cells [row, row + rows) x [column, column + columns); those above the diagonal or outside of the matrix do not count.
struct MapRegion {
  Index row = 0, column = 0, rows = 0, columns = 0;
  bool operator==(const MapRegion&) const = default;
};

/// The part of the region that lies in an n x n matrix; rows or columns may be 0.
MapRegion clamped(MapRegion region, Index n);

/// Some causal cells of one row, from `column` on; of exact attention and of the approximation.
template <Real T>
using RegionVisitor = std::function<void(Index row, Index column, std::span<const T> exact, std::span<const T> approximate)>;

/// Shows the visitor all causal cells, from one thread, columns by columns of at most 256 and rows ascending in each. Makes the
/// normalisers of its rows known. Cost O(cells d), and O(n d) for each row not known before. Throws Cancelled.
template <Real T>
void visit_region(const HeadAnalysis<T>& analysis, const MapRegion& region, MapQuantity quantity, const RegionVisitor<T>& visitor,
                  const RunContext& context = {});

/// Of some numbers; NaN when there are none.
struct Spread {
  double sum, mean, least, largest;
};

struct RegionStatistics {
  MapRegion region;
  Index cells = 0;     ///< causal ones that were looked at
  Index row_step = 1;  ///< one row in so many was
  Spread exact{}, approximate{}, difference{};
  double rms_difference = 0.0;
};

/// Statistics of the region's causal cells; of one row in a few where all of them would take longer than some tenths of a second.
/// Throws Cancelled.
template <Real T>
RegionStatistics region_statistics(const HeadAnalysis<T>& analysis, const MapRegion& region, MapQuantity quantity,
                                   const RunContext& context = {});

}  // namespace convbasis
