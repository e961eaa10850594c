/// \file
/// The part of an n x n map that is seen, in cell coordinates: pan, zoom and fit. Row i covers [i, i + 1) from the top, column j
/// covers [j, j + 1) from the left. All three maps share one window, so they always show the same cells.
#pragma once

#include "core/types.h"
#include "view/colour_scale.h"

namespace convscope {

/// The square of cells that is seen: rows [row, row + extent) and columns [column, column + extent).
struct CellWindow {
  double row = 0.0, column = 0.0;
  double extent = 1.0;
  bool operator==(const CellWindow&) const = default;
};

struct CellIndex {
  convbasis::Index row = 0, column = 0;
  bool operator==(const CellIndex&) const = default;
};

/// The smallest extent that can be zoomed to, in cells: enough neighbours to make sense of the cell under the cursor.
inline constexpr double least_extent = 4.0;

/// The whole of an n x n map.
CellWindow fit_window(convbasis::Index n);

/// `window` brought into bounds: an extent in [min(least_extent, n), n], inside of the matrix. A NaN anywhere gives the whole
/// map.
CellWindow clamp_window(CellWindow window, convbasis::Index n);

/// Moved by that many cells, then clamped.
CellWindow panned(CellWindow window, double rows, double columns, convbasis::Index n);

/// The extent divided by `factor` (> 0) such that the point (row, column) keeps its place on the screen as far as the bounds
/// allow.
CellWindow zoomed(CellWindow window, double factor, double row, double column, convbasis::Index n);

/// Same extent, with the middle of `cell` in the centre as far as the bounds allow: "go to (i, j)".
CellWindow centred_on(CellWindow window, CellIndex cell, convbasis::Index n);

/// First and last whole cells seen along an axis from `origin`, for ticks that stand at the middle of their cells.
Range seen_cells(double origin, double extent, convbasis::Index n);

}  // namespace convscope
