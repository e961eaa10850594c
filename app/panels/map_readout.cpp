#include "panels/map_readout.h"

#include "core/errors.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace convscope {

using convbasis::HeadAnalysis;
using convbasis::Index;
using convbasis::MapQuantity;

namespace {

constexpr const char* separator = " \u00b7 ";

std::string head_line(MapQuantity quantity) {
  return fmt::format("query\tkey\texact {0}\tapproximate {0}\tdifference\n",
                     quantity == MapQuantity::score ? "score" : "probability");
}

}  // namespace

RowStatistics row_statistics(const HeadAnalysis<float>& analysis, Index row) {
  convbasis::Matrix<float> probabilities(1, row + 1);
  convbasis::score_tile<float>(analysis.head(), row, 0, convbasis::mutable_view(probabilities));
  const auto normaliser = static_cast<float>((*analysis.exact->normalisers)[row]);
  probabilities = (probabilities.array() - normaliser).exp();
  RowStatistics statistics;
  statistics.row = row;
  for (const float value : probabilities.reshaped()) {
    const auto p = static_cast<double>(value);
    statistics.mass += p;
    if (p > 0.0) statistics.entropy -= p * std::log2(p);
  }
  return statistics;
}

std::string text_of(const RowStatistics& statistics) {
  return fmt::format("row {}: mass {:.3f}{}entropy {:.1f} bits", statistics.row, statistics.mass, separator,
                     std::abs(statistics.entropy));
}

std::string error_line(const convbasis::ErrorReport& error) {
  if (error.row_error.empty()) return "error: computing \u2026";
  return "relative error " + short_number(error.relative_error) + separator + "mean TV " +
         short_number(error.mean_total_variation);
}

std::string residual_line(const convbasis::ErrorReport& error, std::optional<double> largest, const std::string& level_name) {
  std::string text;
  if (largest) text = (level_name.empty() ? "max |diff| " : "max |" + level_name + "| ") + short_number(*largest);
  if (error.row_error.empty()) return text;
  const auto worst = std::max_element(error.row_error.begin(), error.row_error.end()) - error.row_error.begin();
  return text + (text.empty() ? "" : separator) +
         fmt::format("worst row {}", error.row_error_index[static_cast<std::size_t>(worst)]);
}

CellValues values_of(const convbasis::MapCell& cell, MapQuantity quantity) {
  if (quantity == MapQuantity::score) return {cell.exact_score, cell.approximate_score};
  return {cell.exact_probability, cell.approximate_probability};
}

std::string region_as_text(const HeadAnalysis<float>& analysis, const convbasis::MapRegion& wanted, MapQuantity quantity,
                           const convbasis::RunContext& context) {
  const convbasis::MapRegion region = clamped(wanted, analysis.n);
  constexpr Index most_cells = Index{1} << 22;
  if (region.rows * region.columns > most_cells) {
    throw convbasis::InvalidArgument(
        fmt::format("{} x {} cells are too many for the clipboard, which takes {}", region.rows, region.columns, most_cells));
  }
  std::string text = head_line(quantity);
  const auto append = [&text](Index row, Index column, std::span<const float> exact, std::span<const float> approximate) {
    for (std::size_t x = 0; x < exact.size(); ++x) {
      // All digits that a float has: a copied number is for computing with.
      fmt::format_to(std::back_inserter(text), "{}\t{}\t{:.9g}\t{:.9g}\t{:.9g}\n", row, column + static_cast<Index>(x), exact[x],
                     approximate[x], static_cast<double>(exact[x]) - static_cast<double>(approximate[x]));
    }
  };
  // Wide regions are visited columns by columns; row by row is what a reader expects.
  const bool narrow = region.columns <= 256;
  for (Index row = region.row; row < region.row + region.rows; row += narrow ? region.rows : 1) {
    const convbasis::MapRegion part{row, region.column, narrow ? region.rows : 1, region.columns};
    convbasis::visit_region<float>(analysis, part, quantity, append, context);
  }
  return text;
}

}  // namespace convscope
