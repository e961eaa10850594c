#include "state/head_table.h"

#include "state/head_ladder.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace convscope {

namespace {

using convbasis::HeadSummary;
using convbasis::Ladder;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// A measured share has three digits, a chosen one those that it needs.
std::string percent(double share) { return short_number(100.0 * share) + "\u00A0%"; }
std::string chosen_percent(double share) { return fmt::format("{:.3g}\u00A0%", 100.0 * share); }

/// The name of a column in files: the same whatever the options are.
std::string_view file_title(HeadColumn column) {
  constexpr std::array<std::string_view, head_column_count> titles{
      "layer",      "head",         "error_at_k", "k_for_target", "rank_one_error", "one_lag_vector_error", "lag_vectors_error",
      "first_rung", "entropy_bits", "sink_mass",  "band_mass",    "best_at_k"};
  return titles[static_cast<std::size_t>(column)];
}

/// In the order of a ladder.
struct RungName {
  std::string_view key, name;
};
constexpr std::array<RungName, rung_count> rung_names{{{convbasis::rung::columns, "columns"},
                                                       {convbasis::rung::band, "band"},
                                                       {convbasis::rung::rest_mass, "rest mass"},
                                                       {convbasis::rung::rank_one, "rank one"},
                                                       {convbasis::rung::one_lag_vector, "1 lag vector"},
                                                       {convbasis::rung::lag_vectors, "k lag vectors"}}};

double place_of(std::string_view key) {
  const auto at = std::ranges::find(rung_names, key, &RungName::key);
  return at == rung_names.end() ? unknown : static_cast<double>(at - rung_names.begin() + 1);
}

double rung_error(const Ladder& ladder, std::string_view key) {
  const auto* rung = ladder.find(key);
  return rung == nullptr ? unknown : rung->error;
}

/// With k = 1 that is the rung of one.
double lag_vectors_error(const Ladder& ladder) {
  return rung_error(ladder, ladder.options.k > 1 ? convbasis::rung::lag_vectors : convbasis::rung::one_lag_vector);
}

/// Rungs come from cheap to dear.
double first_rung_within(const Ladder& ladder, double target) {
  const auto first = std::ranges::find_if(ladder.rungs, [&](const auto& rung) { return rung.error <= target; });
  return first == ladder.rungs.end() ? infinity : place_of(first->key);
}

/// The way with the lowest error, the simpler one of equals: a rung, or null for Recover.
struct Best {
  double error = unknown;
  const convbasis::LadderRung* rung = nullptr;
};
Best best_way(const SurveyedHead& known) {
  Best best{.error = known.summary ? known.summary->error : unknown};
  if (!known.ladder) return best;
  for (const auto& rung : known.ladder->rungs) {
    if (rung.error < best.error || (std::isnan(best.error) && !std::isnan(rung.error))) best = {rung.error, &rung};
  }
  return best;
}

std::string best_text(const SurveyedHead& known) {
  const Best best = best_way(known);
  if (!(best.error < 1.0)) return "none < 100 %";
  if (best.rung == nullptr) return "recover";
  if (best.rung->key == convbasis::rung::lag_vectors) return fmt::format("{} lag vectors", best.rung->k);
  return std::string(rung_name(static_cast<std::size_t>(place_of(best.rung->key))));
}

/// "w 64, c 16": what the rungs keep exact.
std::string exact_words(const convbasis::LadderOptions& options) {
  return fmt::format("an exact band of {} lags and {} exact columns", options.band, options.columns);
}

/// What stands in a file.
std::string exact_text(const HeadRow& row, HeadColumn column) {
  if (is_of_words(column)) return std::isnan(head_value(row, column)) ? "" : head_text(row, column);
  const double value = head_value(row, column);
  if (std::isnan(value)) return "";
  return std::isinf(value) ? "none" : fmt::format("{:.9g}", value);
}

std::string lines(std::span<const HeadRow> rows, char separator) {
  std::string text;
  for (const HeadColumn column : head_columns) {
    text += file_title(column);
    text += column == head_columns.back() ? '\n' : separator;
  }
  for (const HeadRow& row : rows) {
    for (const HeadColumn column : head_columns) {
      text += exact_text(row, column);
      text += column == head_columns.back() ? '\n' : separator;
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

bool is_of_ladder(HeadColumn column) {
  return column == HeadColumn::rank_one || column == HeadColumn::one_lag_vector || column == HeadColumn::lag_vectors ||
         column == HeadColumn::rung;
}

bool is_of_words(HeadColumn column) { return column == HeadColumn::rung || column == HeadColumn::best; }

std::string_view rung_name(std::size_t place) { return rung_names.at(place - 1).name; }

std::string head_column_title(HeadColumn column, const SurveyOptions& options) {
  switch (column) {
    case HeadColumn::layer:
      return "layer";
    case HeadColumn::head:
      return "head";
    case HeadColumn::error:
      return fmt::format("recover {}", options.summary.recover.k);
    case HeadColumn::k_for_target:
      return "k for " + chosen_percent(options.summary.target_error);
    case HeadColumn::rank_one:
      return "rank one";
    case HeadColumn::one_lag_vector:
      return "1 lag";
    case HeadColumn::lag_vectors:
      return fmt::format("{} lag{}", std::max<Index>(options.ladder.k, 1), options.ladder.k > 1 ? "s" : "");
    case HeadColumn::rung:
      return "rung for " + chosen_percent(options.summary.target_error);
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

std::string head_column_help(HeadColumn column, const SurveyOptions& wanted) {
  const auto& options = wanted.summary;
  const auto error_with = [&](const std::string& what) {
    return fmt::format("Relative output error of a fit: {}, and for the rest {}.", exact_words(wanted.ladder), what);
  };
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
    case HeadColumn::rank_one:
      return error_with("rank one, a_i b_j");
    case HeadColumn::one_lag_vector:
      return error_with("rank one times one lag vector, a_i b_j g[i \u2212 j]");
    case HeadColumn::lag_vectors:
      return error_with(fmt::format("rank one times {} lag vector{}, one for each segment of keys",
                                    std::max<Index>(wanted.ladder.k, 1), wanted.ladder.k > 1 ? "s" : ""));
    case HeadColumn::rung:
      return fmt::format(
          "The first rung of the ladder whose error is at most {}: columns alone ({}), + band ({}), + mass of the rest, + rank "
          "one, + 1 lag vector, + {} lag vectors.",
          chosen_percent(options.target_error), wanted.ladder.columns, wanted.ladder.band, wanted.ladder.k);
    case HeadColumn::entropy:
      return "Mean over rows of − Σ P log₂ P, in bits: 0 looks at one token, log₂(i + 1) at all alike.";
    case HeadColumn::sink:
      return fmt::format("Share of the attention on the first {} tokens, mean over the rows after them.", options.sink);
    case HeadColumn::band:
      return fmt::format("Share of the attention on the last {} tokens (the row's own included), mean over the rows from {} on.",
                         options.band, options.band);
    case HeadColumn::best:
      return "What leaves the lowest error: Recover with this k, or a rung of the ladder where it is known. None where an output "
             "of zeros, whose error is 100 %, would do as well: then only exact attention will do.";
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
  if (is_of_ladder(column) && !row.known.ladder) return unknown;
  if (!row.known.summary) return unknown;
  const HeadSummary& summary = *row.known.summary;
  switch (column) {
    case HeadColumn::error:
      return summary.error;
    case HeadColumn::best:
      return best_way(row.known).error;
    case HeadColumn::k_for_target:
      return summary.k_for_target ? static_cast<double>(*summary.k_for_target) : infinity;
    case HeadColumn::rank_one:
      return rung_error(*row.known.ladder, convbasis::rung::rank_one);
    case HeadColumn::one_lag_vector:
      return rung_error(*row.known.ladder, convbasis::rung::one_lag_vector);
    case HeadColumn::lag_vectors:
      return lag_vectors_error(*row.known.ladder);
    case HeadColumn::rung:
      return first_rung_within(*row.known.ladder, summary.options.target_error);
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

namespace {

std::string value_text(double value, HeadColumn column) {
  if (std::isnan(value)) return "–";
  if (std::isinf(value)) return "none";
  if (column == HeadColumn::rung) return std::string(rung_name(static_cast<std::size_t>(value)));
  const bool whole = column == HeadColumn::layer || column == HeadColumn::head || column == HeadColumn::k_for_target;
  return whole ? fmt::format("{:.0f}", value) : short_number(value);
}

}  // namespace

std::string head_text(const HeadRow& row, HeadColumn column) {
  const double value = head_value(row, column);
  if (column == HeadColumn::best && !std::isnan(value)) return best_text(row.known);
  if (column == HeadColumn::rung && value == static_cast<double>(rung_count)) {
    return fmt::format("{} lag vectors", row.known.ladder->options.k);
  }
  return value_text(value, column);
}

bool head_stale(const HeadRow& row, HeadColumn column) {
  if (is_of_ladder(column)) return row.known.ladder_stale;
  if (column == HeadColumn::best) return row.known.stale || row.known.ladder_stale;
  return row.known.stale && column == HeadColumn::error;
}

double head_median(std::span<const HeadRow> rows, HeadColumn column) {
  std::vector<double> values;
  for (const HeadRow& row : rows) {
    if (const double value = head_value(row, column); !std::isnan(value)) values.push_back(value);
  }
  if (values.empty()) return unknown;
  std::ranges::sort(values);
  const double low = values[(values.size() - 1) / 2];
  const double high = values[values.size() / 2];
  return column == HeadColumn::rung || low == high ? low : (low + high) / 2.0;  // equal: infinities, too
}

std::string head_median_text(std::span<const HeadRow> rows, HeadColumn column) {
  if (column == HeadColumn::layer || column == HeadColumn::head || column == HeadColumn::best) return {};
  return value_text(head_median(rows, column), column);
}

std::string head_median_help(std::span<const HeadRow> rows, HeadColumn column) {
  const auto known = std::ranges::count_if(rows, [&](const HeadRow& row) { return !std::isnan(head_value(row, column)); });
  const std::string text = head_median_text(rows, column);
  if (known == 0 || text.empty()) return {};
  return fmt::format("Median over {} head{}: {}.", known, known == 1 ? "" : "s", text);
}

namespace {

/// A line for each rung, its error and what is added there.
std::string ladder_lines(const SurveyedHead& known) {
  if (!known.ladder_failure.empty()) return "\nladder: " + known.ladder_failure;
  if (!known.ladder) return {};
  std::string text = known.ladder_stale ? "\nladder, being made anew:" : "\nladder:";
  for (const auto& rung : known.ladder->rungs) text += fmt::format("\n   {}  {}", short_number(rung.error), rung_label(rung));
  return text;
}

}  // namespace

std::string head_details(const HeadRow& row) {
  std::string text = fmt::format("layer {} head {}", row.layer, row.head);
  if (!row.known.failure.empty()) return text + "\n" + row.known.failure;
  if (!row.known.summary) return text + "\nnot looked at yet; click to open";
  const HeadSummary& summary = *row.known.summary;
  text += fmt::format("\nerror of recover at k {}: {}{}", summary.options.recover.k, short_number(summary.error),
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
  text += fmt::format("\nn {}", summary.n);
  return text + ladder_lines(row.known);
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
  constexpr std::array<FilterName, 13> names{{{"layer", at(HeadColumn::layer)},
                                              {"head", at(HeadColumn::head)},
                                              {"error", at(HeadColumn::error)},
                                              {"k", at(HeadColumn::k_for_target)},
                                              {"rank", at(HeadColumn::rank_one)},
                                              {"lag", at(HeadColumn::one_lag_vector)},
                                              {"lags", at(HeadColumn::lag_vectors)},
                                              {"rung", at(HeadColumn::rung)},
                                              {"entropy", at(HeadColumn::entropy)},
                                              {"sink", at(HeadColumn::sink)},
                                              {"band", at(HeadColumn::band)},
                                              {"l", at(HeadColumn::layer)},
                                              {"h", at(HeadColumn::head)}}};
  static const std::vector<FilterWord> words = [&] {
    std::vector<FilterWord> all;
    for (std::size_t place = 1; place <= rung_count; ++place) {
      all.push_back({rung_name(place), at(HeadColumn::rung), static_cast<double>(place)});
    }
    all.push_back({"none", at(HeadColumn::rung), infinity});
    return all;
  }();
  return parse_filter(text, names, words);
}

bool passes(const RowFilter& filter, const HeadRow& row) {
  std::array<double, head_column_count> values{};
  for (const HeadColumn column : head_columns) values[static_cast<std::size_t>(column)] = head_value(row, column);
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
