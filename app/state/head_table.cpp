#include "state/head_table.h"

#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace convscope {

namespace {

using convbasis::HeadSummary;
using convbasis::HeadSummaryOptions;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// A measured share has three digits, a chosen one those that it needs.
std::string percent(double share) { return short_number(100.0 * share) + "\u00A0%"; }
std::string chosen_percent(double share) { return fmt::format("{:.3g}\u00A0%", 100.0 * share); }

constexpr std::array<HeadColumn, head_column_count> all_columns{HeadColumn::layer,        HeadColumn::head,    HeadColumn::error,
                                                                HeadColumn::k_for_target, HeadColumn::entropy, HeadColumn::sink,
                                                                HeadColumn::band,         HeadColumn::best};

/// The name of a column in files: the same whatever the options are.
std::string_view file_title(HeadColumn column) {
  constexpr std::array<std::string_view, head_column_count> titles{"layer",        "head",      "error_at_k", "k_for_target",
                                                                   "entropy_bits", "sink_mass", "band_mass",  "best_at_k"};
  return titles[static_cast<std::size_t>(column)];
}

/// What stands in a file.
std::string exact_text(const HeadRow& row, HeadColumn column) {
  if (column == HeadColumn::best) return row.known.summary ? head_text(row, column) : "";
  const double value = head_value(row, column);
  if (std::isnan(value)) return "";
  return std::isinf(value) ? "none" : fmt::format("{:.9g}", value);
}

std::string lines(std::span<const HeadRow> rows, char separator) {
  std::string text;
  for (const HeadColumn column : all_columns) {
    text += file_title(column);
    text += column == all_columns.back() ? '\n' : separator;
  }
  for (const HeadRow& row : rows) {
    for (const HeadColumn column : all_columns) {
      text += exact_text(row, column);
      text += column == all_columns.back() ? '\n' : separator;
    }
  }
  return text;
}

/// -1, 0, 1; what is not known comes last whichever way the order goes.
int compared(double a, double b, bool ascending) {
  if (std::isnan(a) || std::isnan(b)) return static_cast<int>(std::isnan(a)) - static_cast<int>(std::isnan(b));
  if (a == b) return 0;
  return (a < b) == ascending ? -1 : 1;
}

}  // namespace

std::string head_column_title(HeadColumn column, const HeadSummaryOptions& options) {
  switch (column) {
    case HeadColumn::layer:
      return "layer";
    case HeadColumn::head:
      return "head";
    case HeadColumn::error:
      return fmt::format("error, k {}", options.recover.k);
    case HeadColumn::k_for_target:
      return "k for " + chosen_percent(options.target_error);
    case HeadColumn::entropy:
      return "entropy";
    case HeadColumn::sink:
      return "sink";
    case HeadColumn::band:
      return "band";
    case HeadColumn::best:
      return "best at k";
  }
  return {};
}

std::string head_column_help(HeadColumn column, const HeadSummaryOptions& options) {
  switch (column) {
    case HeadColumn::layer:
      return "The model's layer number.";
    case HeadColumn::head:
      return "The query head.";
    case HeadColumn::error:
      return fmt::format("Relative output error ||Y~ − Y|| / ||Y|| of Recover with k = {}.", options.recover.k);
    case HeadColumn::k_for_target:
      return fmt::format(
          "Segments with which Recover's error is at most {}: the first of 1, 2, 4, ... {} that does it, refined by bisection.",
          chosen_percent(options.target_error), options.most_k);
    case HeadColumn::entropy:
      return "Mean over rows of − Σ P log₂ P, in bits: 0 looks at one token, log₂(i + 1) at all alike.";
    case HeadColumn::sink:
      return fmt::format("Share of the attention on the first {} tokens, mean over the rows after them.", options.sink);
    case HeadColumn::band:
      return fmt::format("Share of the attention on the last {} tokens (the row's own included), mean over the rows from {} on.",
                         options.band, options.band);
    case HeadColumn::best:
      return "Whether Recover with this k says more about the output than an output of zeros, whose error is 100 %. "
             "Where not, only exact attention will do.";
  }
  return {};
}

std::vector<HeadRow> head_rows(const HeadSurvey& survey) {
  std::vector<HeadRow> rows;
  if (!survey.source()) return rows;
  for (const auto& layer : survey.source()->layers()) {
    for (Index head = 0; head < layer.heads; ++head) {
      const auto known = survey.heads().find({layer.layer, head});
      rows.push_back({layer.layer, head, known == survey.heads().end() ? SurveyedHead{} : known->second});
    }
  }
  return rows;
}

double head_value(const HeadRow& row, HeadColumn column) {
  if (column == HeadColumn::layer) return static_cast<double>(row.layer);
  if (column == HeadColumn::head) return static_cast<double>(row.head);
  if (!row.known.summary) return unknown;
  const HeadSummary& summary = *row.known.summary;
  switch (column) {
    case HeadColumn::error:
    case HeadColumn::best:
      return summary.error;
    case HeadColumn::k_for_target:
      return summary.k_for_target ? static_cast<double>(*summary.k_for_target) : std::numeric_limits<double>::infinity();
    case HeadColumn::entropy:
      return summary.entropy;
    case HeadColumn::sink:
      return summary.sink_mass;
    case HeadColumn::band:
      return summary.band_mass;
    default:
      return unknown;
  }
}

std::string head_text(const HeadRow& row, HeadColumn column) {
  const double value = head_value(row, column);
  if (std::isnan(value)) return "–";
  if (column == HeadColumn::best) return value < 1.0 ? "recover" : "none < 100 %";
  if (std::isinf(value)) return "none";
  const bool whole = column == HeadColumn::layer || column == HeadColumn::head || column == HeadColumn::k_for_target;
  return whole ? fmt::format("{:.0f}", value) : short_number(value);
}

std::string head_details(const HeadRow& row) {
  std::string text = fmt::format("layer {} head {}", row.layer, row.head);
  if (!row.known.failure.empty()) return text + "\n" + row.known.failure;
  if (!row.known.summary) return text + "\nnot looked at yet; click to open";
  const HeadSummary& summary = *row.known.summary;
  text += fmt::format("\nerror at k {}: {}{}", summary.options.recover.k, short_number(summary.error),
                      row.known.stale ? ", being made anew" : "");
  if (summary.k_for_target) {
    text += fmt::format("\nk for {}: {}", chosen_percent(summary.options.target_error), *summary.k_for_target);
  } else if (!summary.errors.empty()) {
    const auto lowest = std::ranges::min_element(summary.errors, {}, [](const auto& at) {
      return std::isnan(at.error) ? std::numeric_limits<double>::infinity() : at.error;
    });
    text += fmt::format("\nk for {}: none to {}; lowest error {} at k {}", chosen_percent(summary.options.target_error),
                        std::min(summary.options.most_k, summary.n), short_number(lowest->error), lowest->k);
  }
  text += fmt::format("\nentropy: {} bits, {} of uniform", short_number(summary.entropy), percent(summary.relative_entropy));
  text += fmt::format("\nsink: {} on the first {} tokens", percent(summary.sink_mass), summary.options.sink);
  text += fmt::format("\nband: {} on the last {} tokens", percent(summary.band_mass), summary.options.band);
  return text + fmt::format("\nn {}", summary.n);
}

void sort_heads(std::vector<HeadRow>& rows, std::span<const HeadOrder> orders) {
  std::ranges::sort(rows, [&](const HeadRow& a, const HeadRow& b) {
    for (const HeadOrder& order : orders) {
      const int sign = compared(head_value(a, order.column), head_value(b, order.column), order.ascending);
      if (sign != 0) return sign < 0;
    }
    return std::pair(a.layer, a.head) < std::pair(b.layer, b.head);
  });
}

ParsedFilter parse_head_filter(std::string_view text) {
  constexpr auto at = [](HeadColumn column) { return static_cast<std::size_t>(column); };
  constexpr std::array<FilterName, 9> names{{{"layer", at(HeadColumn::layer)},
                                             {"head", at(HeadColumn::head)},
                                             {"error", at(HeadColumn::error)},
                                             {"k", at(HeadColumn::k_for_target)},
                                             {"entropy", at(HeadColumn::entropy)},
                                             {"sink", at(HeadColumn::sink)},
                                             {"band", at(HeadColumn::band)},
                                             {"l", at(HeadColumn::layer)},
                                             {"h", at(HeadColumn::head)}}};
  return parse_filter(text, names);
}

bool passes(const RowFilter& filter, const HeadRow& row) {
  std::array<double, head_column_count> values{};
  for (const HeadColumn column : all_columns) values[static_cast<std::size_t>(column)] = head_value(row, column);
  return filter.matches(values);
}

std::string heads_csv(std::span<const HeadRow> rows, std::span<const std::string> remarks) {
  std::string text;
  for (const std::string& remark : remarks) {
    std::string line = remark;
    std::ranges::replace_if(
        line, [](char c) { return c == '\n' || c == '\r'; }, ' ');
    text += "# " + line + "\n";
  }
  return text + lines(rows, ',');
}

std::string heads_tsv(std::span<const HeadRow> rows) { return lines(rows, '\t'); }

}  // namespace convscope
