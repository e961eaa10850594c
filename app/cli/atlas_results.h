/// \file
/// The finished atlas as files and as a table: CSV, JSON, text. None of them holds a time, so that the same heads give the same
/// bytes whatever computed them.
#pragma once

#include "analysis/head_atlas_record.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace convscope {

using convbasis::Index;

struct AtlasResult {
  convbasis::AtlasManifest manifest;
  std::vector<convbasis::HeadAtlasEntry> entries;  ///< one for each of the manifest's heads
};

/// A number that every head has: a column of the CSV, a choice of the grid.
struct AtlasFigure {
  std::string key;    ///< "sink_mass", "rank_one_error"
  std::string title;  ///< for people: "sink mass", "+ rank one"
  std::string group;  ///< "exact attention", "recover", "fit", "rank", "ladder"
  bool is_error = false;
  std::function<double(const convbasis::HeadAtlasEntry&)> value;  ///< NaN where not known
};

/// The figures that at least one head has.
std::vector<AtlasFigure> atlas_figures(const AtlasResult& result);

/// The keys of all ladders' rungs, in the ladder's order.
std::vector<std::string> rung_keys(const AtlasResult& result);
/// "+ rank one" for "rank_one"; a key that is not known stays as it is.
std::string rung_title(const std::string& key);

/// One line that says what the atlas is of and how it was made.
std::string atlas_line(const convbasis::AtlasManifest& manifest);

/// A remark, a line of titles, a line for each head; numbers with all their digits, empty where not known (RFC 4180).
std::string atlas_csv(const AtlasResult& result);
nlohmann::ordered_json atlas_json(const AtlasResult& result);
/// Medians over the heads, and how many reach the target by which rung, on standard output.
void print_atlas(const AtlasResult& result);

}  // namespace convscope
