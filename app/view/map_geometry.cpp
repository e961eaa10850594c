#include "view/map_geometry.h"

#include <algorithm>
#include <cmath>

namespace convscope {

CellWindow fit_window(convbasis::Index n) { return {0.0, 0.0, static_cast<double>(std::max<convbasis::Index>(n, 1))}; }

CellWindow clamp_window(CellWindow window, convbasis::Index n) {
  const CellWindow whole = fit_window(n);
  if (std::isnan(window.row) || std::isnan(window.column) || std::isnan(window.extent)) return whole;
  window.extent = std::clamp(window.extent, std::min(least_extent, whole.extent), whole.extent);
  window.row = std::clamp(window.row, 0.0, whole.extent - window.extent);
  window.column = std::clamp(window.column, 0.0, whole.extent - window.extent);
  return window;
}

CellWindow panned(CellWindow window, double rows, double columns, convbasis::Index n) {
  return clamp_window({window.row + rows, window.column + columns, window.extent}, n);
}

CellWindow zoomed(CellWindow window, double factor, double row, double column, convbasis::Index n) {
  // The extent is clamped first: at a bound the origin must not drift while the extent stays.
  const double extent = clamp_window({0.0, 0.0, window.extent / factor}, n).extent;
  const double shrink = extent / window.extent;
  return clamp_window({row - (row - window.row) * shrink, column - (column - window.column) * shrink, extent}, n);
}

CellWindow centred_on(CellWindow window, CellIndex cell, convbasis::Index n) {
  const double half = 0.5 * window.extent;
  return clamp_window({static_cast<double>(cell.row) + 0.5 - half, static_cast<double>(cell.column) + 0.5 - half, window.extent},
                      n);
}

Range seen_cells(double origin, double extent, convbasis::Index n) {
  const double last = std::min(origin + extent, static_cast<double>(n)) - 1.0;
  // Half a cell may be cut off at either side before its middle is out of sight.
  return {std::max(0.0, std::ceil(origin - 0.5)), std::floor(last + 0.5)};
}

}  // namespace convscope
