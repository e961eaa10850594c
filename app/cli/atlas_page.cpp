#include "cli/atlas_page.h"

#include "cli/atlas_page_template.h"

#include <array>
#include <cmath>

namespace convscope {
namespace {

using convbasis::HeadAtlasEntry;
using nlohmann::ordered_json;

constexpr std::string_view data_mark = "@DATA@";

/// The grid begins with the first of these that there is.
constexpr std::array<const char*, 3> first_figures = {"lag_vectors_error", "one_lag_vector_error", "rank_one_error"};

ordered_json number(double value) {
  if (std::isinf(value)) return "inf";
  return value;  // NaN becomes null
}

ordered_json figures_json(const std::vector<AtlasFigure>& figures) {
  ordered_json list = ordered_json::array();
  for (const AtlasFigure& figure : figures) {
    list.push_back({{"key", figure.key}, {"title", figure.title}, {"group", figure.group}, {"error", figure.is_error}});
  }
  return list;
}

std::string first_figure(const std::vector<AtlasFigure>& figures) {
  for (const char* key : first_figures) {
    for (const AtlasFigure& figure : figures) {
      if (figure.key == key) return key;
    }
  }
  for (const AtlasFigure& figure : figures) {
    if (figure.is_error) return figure.key;
  }
  return {};
}

/// What the script works on: the JSON of the atlas, and the figures with their titles.
ordered_json page_data(const AtlasResult& result) {
  const std::vector<AtlasFigure> figures = atlas_figures(result);
  ordered_json data = atlas_json(result);
  data["line"] = atlas_line(result.manifest);
  data["figures"] = figures_json(figures);
  data["first_figure"] = first_figure(figures);
  data["rungs"] = ordered_json::object();
  for (const std::string& key : rung_keys(result)) data["rungs"][key] = rung_title(key);
  for (std::size_t row = 0; row < result.entries.size(); ++row) {
    const HeadAtlasEntry& entry = result.entries[row];
    if (!entry.failure.empty()) continue;
    ordered_json values = ordered_json::array();
    for (const AtlasFigure& figure : figures) values.push_back(number(figure.value(entry)));
    data["heads"][row]["figures"] = std::move(values);
  }
  return data;
}

}  // namespace

std::string atlas_page(const AtlasResult& result) {
  std::string page(atlas_page_template);
  std::string data;
  // JSON inside a page: a name such as "</script>" must not end it.
  for (const char c : page_data(result).dump(-1, ' ', false, ordered_json::error_handler_t::replace)) {
    if (c == '<') {
      data += "\\u003c";
    } else {
      data += c;
    }
  }
  page.replace(page.find(data_mark), data_mark.size(), data);
  return page;
}

}  // namespace convscope
