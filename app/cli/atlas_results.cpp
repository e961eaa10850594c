#include "cli/atlas_results.h"

#include "analysis/ladder.h"
#include "cli/console.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

namespace convscope {
namespace {

using convbasis::AtlasManifest;
using convbasis::AtlasRung;
using convbasis::HeadAtlasEntry;
using nlohmann::ordered_json;

/// In the ladder's order.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> known_rungs{
    {{convbasis::rung::columns, "exact columns"},
     {convbasis::rung::band, "+ exact band"},
     {convbasis::rung::rest_mass, "+ rest mass"},
     {convbasis::rung::rank_one, "+ rank one"},
     {convbasis::rung::one_lag_vector, "+ one lag vector"},
     {convbasis::rung::lag_vectors, "+ k lag vectors"},
     {convbasis::rung::wider_band, "or a wider band"},
     {convbasis::rung::nonnegative_rank, "or non-negative rank"},
     {convbasis::rung::truncated_svd, "or truncated SVD"}}};

const AtlasRung* rung_of(const HeadAtlasEntry& entry, std::string_view key) {
  const auto place = std::ranges::find(entry.ladder, key, &AtlasRung::key);
  return place == entry.ladder.end() ? nullptr : &*place;
}

double rung_value(const HeadAtlasEntry& entry, std::string_view key, double AtlasRung::*part) {
  const AtlasRung* rung = rung_of(entry, key);
  return rung == nullptr ? AtlasRung::unknown : rung->*part;
}

/// A comma and the text, in quotes where it has to be.
void append_cell(std::string& line, const std::string& text) {
  line += ',';
  if (text.find_first_of(",\"\r\n") == std::string::npos) {
    line += text;
    return;
  }
  line += '"';
  for (const char c : printable(text)) line.append(c == '"' ? 2 : 1, c);
  line += '"';
}

void append_cell(std::string& line, double value) {
  line += ',';
  if (!std::isnan(value)) line += fmt::format("{}", value);
}

std::string first_rung_key(const HeadAtlasEntry& entry, double target) {
  const AtlasRung* rung = convbasis::first_rung_within(entry.ladder, target);
  return rung == nullptr ? "none" : rung->key;
}

std::string k_text(const HeadAtlasEntry& entry) { return entry.k_for_target ? fmt::format("{}", *entry.k_for_target) : "none"; }

double median_of(const AtlasResult& result, const AtlasFigure& figure) {
  std::vector<double> values;
  for (const HeadAtlasEntry& entry : result.entries) {
    if (entry.failure.empty()) values.push_back(figure.value(entry));
  }
  return convbasis::median(std::move(values));
}

/// How many heads have the figure at or below the target.
Index count_within(const AtlasResult& result, const AtlasFigure& figure) {
  const double target = result.manifest.options.summary.target_error;
  return std::ranges::count_if(
      result.entries, [&](const HeadAtlasEntry& entry) { return entry.failure.empty() && figure.value(entry) <= target; });
}

double cost_of(const AtlasResult& result, const std::string& key) {
  std::vector<double> costs;
  for (const HeadAtlasEntry& entry : result.entries) costs.push_back(rung_value(entry, key, &AtlasRung::cost));
  return convbasis::median(std::move(costs));
}

std::string percent(double share) { return fmt::format("{:.3g} %", 100.0 * share); }

void add_errors_at_ks(std::vector<AtlasFigure>& figures, const AtlasManifest& manifest, const std::string& method,
                      std::vector<double> HeadAtlasEntry::*errors) {
  for (std::size_t place = 0; place < manifest.options.ks.size(); ++place) {
    const Index k = manifest.options.ks[place];
    figures.push_back({.key = fmt::format("{}_error_k{}", method, k),
                       .title = method == "rank" ? fmt::format("rank {}", k) : fmt::format("{}, k {}", method, k),
                       .group = method,
                       .is_error = true,
                       .value = [errors, place](const HeadAtlasEntry& entry) {
                         const std::vector<double>& values = entry.*errors;
                         return place < values.size() ? values[place] : AtlasRung::unknown;
                       }});
  }
}

void add_part(std::vector<AtlasFigure>& figures, std::string key, std::string title, double HeadAtlasEntry::*part) {
  figures.push_back(
      {.key = std::move(key),
       .title = std::move(title),
       .group = "exact attention",
       .is_error = false,
       .value = [part](const HeadAtlasEntry& entry) { return entry.failure.empty() ? entry.*part : AtlasRung::unknown; }});
}

ordered_json medians_json(const AtlasResult& result) {
  ordered_json json = ordered_json::object();
  for (const AtlasFigure& figure : atlas_figures(result)) json[figure.key] = median_of(result, figure);
  return json;
}

/// By the key of the rung, "none" last.
std::vector<std::pair<std::string, Index>> heads_by_first_rung(const AtlasResult& result) {
  std::map<std::string, Index> counts;
  for (const HeadAtlasEntry& entry : result.entries) {
    if (entry.failure.empty()) ++counts[first_rung_key(entry, result.manifest.options.summary.target_error)];
  }
  std::vector<std::pair<std::string, Index>> list;
  std::vector<std::string> keys = rung_keys(result);
  keys.emplace_back("none");
  for (const std::string& key : keys) {
    if (counts.contains(key)) list.emplace_back(key, counts[key]);
  }
  return list;
}

}  // namespace

std::vector<std::string> rung_keys(const AtlasResult& result) {
  std::vector<std::string> keys;
  for (const auto& rung : known_rungs) {
    const auto has_it = [&](const HeadAtlasEntry& entry) { return rung_of(entry, rung.first) != nullptr; };
    if (std::ranges::any_of(result.entries, has_it)) keys.emplace_back(rung.first);
  }
  return keys;
}

std::string rung_title(const std::string& key) {
  const auto place = std::ranges::find(known_rungs, key, [](const auto& rung) { return rung.first; });
  return place == known_rungs.end() ? key : std::string(place->second);
}

std::vector<AtlasFigure> atlas_figures(const AtlasResult& result) {
  std::vector<AtlasFigure> figures;
  add_part(figures, "entropy_bits", "entropy, bits", &HeadAtlasEntry::entropy);
  add_part(figures, "relative_entropy", "entropy, of uniform", &HeadAtlasEntry::relative_entropy);
  add_part(figures, "sink_mass", "sink mass", &HeadAtlasEntry::sink_mass);
  add_part(figures, "band_mass", "band mass", &HeadAtlasEntry::band_mass);
  add_errors_at_ks(figures, result.manifest, "recover", &HeadAtlasEntry::recover_errors);
  if (!result.manifest.options.ladder) return figures;
  add_errors_at_ks(figures, result.manifest, "fit", &HeadAtlasEntry::fit_errors);
  add_errors_at_ks(figures, result.manifest, "rank", &HeadAtlasEntry::rank_errors);
  for (const std::string& key : rung_keys(result)) {
    figures.push_back({key + "_error", rung_title(key), "ladder", true,
                       [key](const HeadAtlasEntry& entry) { return rung_value(entry, key, &AtlasRung::error); }});
  }
  return figures;
}

std::string atlas_line(const AtlasManifest& manifest) {
  const convbasis::AtlasOptions& options = manifest.options;
  std::string line = fmt::format("convscope {}, {}, n {}, {}, k {}, T {}, delta {}, eps {}, target {}", manifest.version,
                                 manifest.file, manifest.n == 0 ? std::string("all") : fmt::format("{}", manifest.n),
                                 manifest.precision, fmt::join(options.ks, " "), options.summary.recover.T,
                                 options.summary.recover.delta, options.summary.recover.eps, options.summary.target_error);
  if (options.ladder) line += fmt::format(", band {}, columns {}", options.band, options.columns);
  return line;
}

std::string atlas_csv(const AtlasResult& result) {
  const std::vector<AtlasFigure> figures = atlas_figures(result);
  const std::vector<std::string> keys = rung_keys(result);
  const bool ladder = result.manifest.options.ladder;
  const double target = result.manifest.options.summary.target_error;
  std::string text = fmt::format("# {}\nlayer,head,n,k_for_target", printable(atlas_line(result.manifest)));
  for (const AtlasFigure& figure : figures) append_cell(text, figure.key);
  for (const std::string& key : keys) text += fmt::format(",{0}_heldout_error,{0}_cost", key);
  text += ladder ? ",first_rung,failure\n" : ",failure\n";
  for (std::size_t row = 0; row < result.entries.size(); ++row) {
    const HeadAtlasEntry& entry = result.entries[row];
    const bool good = entry.failure.empty();
    const convbasis::AtlasPlace& place = result.manifest.heads[row];
    text += fmt::format("{},{},{},{}", place.layer, place.head, entry.n, good ? k_text(entry) : "");
    for (const AtlasFigure& figure : figures) append_cell(text, figure.value(entry));
    for (const std::string& key : keys) {
      append_cell(text, rung_value(entry, key, &AtlasRung::heldout_error));
      append_cell(text, rung_value(entry, key, &AtlasRung::cost));
    }
    if (ladder) append_cell(text, good ? first_rung_key(entry, target) : "");
    append_cell(text, entry.failure);
    text += '\n';
  }
  return text;
}

ordered_json atlas_json(const AtlasResult& result) {
  const double target = result.manifest.options.summary.target_error;
  ordered_json json = ordered_json::parse(convbasis::atlas_manifest_text(result.manifest));
  json.erase("heads");
  json["medians"] = medians_json(result);
  json["first_rungs"] = ordered_json::object();
  for (const auto& [key, count] : heads_by_first_rung(result)) json["first_rungs"][key] = count;
  json["heads"] = ordered_json::array();
  for (std::size_t row = 0; row < result.entries.size(); ++row) {
    const HeadAtlasEntry& entry = result.entries[row];
    ordered_json head = ordered_json::parse(convbasis::atlas_record_text(result.manifest.heads[row], entry));
    if (const AtlasRung* rung = convbasis::first_rung_within(entry.ladder, target)) {
      head["first_rung"] = rung->key;
    } else if (entry.failure.empty()) {
      head["first_rung"] = nullptr;
    }
    json["heads"].push_back(std::move(head));
  }
  return json;
}

void print_atlas(const AtlasResult& result) {
  const double target = result.manifest.options.summary.target_error;
  print_field("atlas", printable(atlas_line(result.manifest)));
  print_field("heads", fmt::format("{}", result.entries.size()));
  fmt::print("\n");
  TextTable masses({"exact attention", "median"}, 1);
  for (const AtlasFigure& figure : atlas_figures(result)) {
    if (!figure.is_error) masses.add({figure.title, three_digits(median_of(result, figure))});
  }
  masses.print();
  fmt::print("\n");
  TextTable table({"output error by", "median", "heads within " + percent(target), "cost"}, 1);
  for (const AtlasFigure& figure : atlas_figures(result)) {
    if (!figure.is_error) continue;
    const double cost = figure.group == "ladder" ? cost_of(result, figure.key.substr(0, figure.key.rfind("_error"))) : NAN;
    table.add({figure.title, three_digits(median_of(result, figure)), fmt::format("{}", count_within(result, figure)),
               std::isnan(cost) ? "" : three_digits(cost)});
  }
  table.print();
  if (!result.manifest.options.ladder) return;
  fmt::print("\nfirst rung within {}: ", percent(target));
  std::vector<std::string> parts;
  for (const auto& [key, count] : heads_by_first_rung(result)) {
    parts.push_back(fmt::format("{} {}", key == "none" ? key : rung_title(key), count));
  }
  fmt::print("{}\n", fmt::join(parts, ", "));
}

}  // namespace convscope
