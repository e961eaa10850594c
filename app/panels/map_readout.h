/// \file
/// The numbers that go with the maps: the statistics line under each, and rows and columns as text for the clipboard.
#pragma once

#include "analysis/head_analysis.h"
#include "analysis/map_tile.h"
#include "analysis/region.h"
#include "view/map_geometry.h"

#include <optional>
#include <string>

namespace convscope {

/// One row of exact attention in two numbers.
struct RowStatistics {
  convbasis::Index row = 0;
  double mass = 0.0;     ///< sum of its probabilities: 1 but for rounding
  double entropy = 0.0;  ///< in bits; 0 when one key has all the mass, log2(row + 1) when all have the same
};

/// Cost O(row d).
RowStatistics row_statistics(const convbasis::HeadAnalysis<float>& analysis, convbasis::Index row);
std::string text_of(const RowStatistics& statistics);

/// "relative error 0.110 · mean TV 0.132": of the outputs, and of the rows of probabilities.
std::string error_line(const convbasis::ErrorReport& error);

/// "max |diff| 0.157 · worst row 201"; `largest` is that of the tiles in view, pooled as `level_name` says ("" for cells).
std::string residual_line(const convbasis::ErrorReport& error, std::optional<double> largest, const std::string& level_name);

/// Exact and approximate value of `quantity` at a cell, and their difference.
struct CellValues {
  double exact = 0.0, approximate = 0.0;
  double difference() const { return exact - approximate; }
};
CellValues values_of(const convbasis::MapCell& cell, convbasis::MapQuantity quantity);

/// Tab-separated lines "row column exact approximate difference" with a head line: the causal cells of a region, row by row, with
/// all digits. Throws InvalidArgument, naming the limit, for more than 2^22 cells; Cancelled.
std::string region_as_text(const convbasis::HeadAnalysis<float>& analysis, const convbasis::MapRegion& region,
                           convbasis::MapQuantity quantity, const convbasis::RunContext& context = {});

}  // namespace convscope
