#include "panels/map_readout.h"

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

/// All digits that a float has: a copied number is for computing with.
void append_cell(std::string& text, const HeadAnalysis<float>& analysis, Index row, Index column, MapQuantity quantity) {
  const CellValues values = values_of(convbasis::map_cell(analysis, row, column), quantity);
  fmt::format_to(std::back_inserter(text), "{}\t{}\t{:.9g}\t{:.9g}\t{:.9g}\n", row, column, values.exact, values.approximate,
                 values.difference());
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

std::string row_as_text(const HeadAnalysis<float>& analysis, Index row, MapQuantity quantity) {
  std::string text = head_line(quantity);
  for (Index column = 0; column <= row; ++column) append_cell(text, analysis, row, column, quantity);
  return text;
}

std::string column_as_text(const HeadAnalysis<float>& analysis, Index column, MapQuantity quantity) {
  std::string text = head_line(quantity);
  for (Index row = column; row < analysis.n; ++row) append_cell(text, analysis, row, column, quantity);
  return text;
}

}  // namespace convscope
