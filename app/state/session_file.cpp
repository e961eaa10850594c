#include "state/session_file.h"

#include "core/errors.h"
#include "state/json_fields.h"
#include "state/settings.h"
#include "state/training_json.h"
#include "state/user_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace convscope {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr Index version = 1;
constexpr std::uintmax_t largest_file = std::uintmax_t{1} << 20U;
constexpr Index largest_index = Index{1} << 40U;
constexpr double largest_number = std::numeric_limits<double>::max();
constexpr std::size_t most_files = 1000;
constexpr std::size_t most_starts = 100000;
constexpr std::size_t most_panels = 64;

constexpr std::array methods{std::pair{name_of(Method::recover), Method::recover}, std::pair{name_of(Method::fit), Method::fit},
                             std::pair{name_of(Method::rank), Method::rank}};
using convbasis::RankKind;
constexpr std::array rank_kinds{std::pair{name_of(RankKind::svd), RankKind::svd},
                                std::pair{name_of(RankKind::features), RankKind::features}};
constexpr std::array searches{std::pair{std::string_view("binary"), convbasis::Search::binary},
                              std::pair{std::string_view("scan"), convbasis::Search::scan}};
constexpr std::array quantities{std::pair{std::string_view("probability"), convbasis::MapQuantity::probability},
                                std::pair{std::string_view("score"), convbasis::MapQuantity::score}};
constexpr std::array poolings{std::pair{std::string_view("mean"), convbasis::Pooling::mean},
                              std::pair{std::string_view("peak"), convbasis::Pooling::peak}};
constexpr std::array scales{std::pair{std::string_view("linear"), ScaleKind::linear},
                            std::pair{std::string_view("log"), ScaleKind::log},
                            std::pair{std::string_view("symlog"), ScaleKind::symlog}};
constexpr std::array colour_maps{
    std::pair{std::string_view("viridis"), ColourMap::viridis}, std::pair{std::string_view("cividis"), ColourMap::cividis},
    std::pair{std::string_view("magma"), ColourMap::magma}, std::pair{std::string_view("grey"), ColourMap::grey}};
constexpr std::array presets{std::pair{name_of(LayoutPreset::explore), LayoutPreset::explore},
                             std::pair{name_of(LayoutPreset::teach), LayoutPreset::teach},
                             std::pair{name_of(LayoutPreset::compare), LayoutPreset::compare},
                             std::pair{name_of(LayoutPreset::train), LayoutPreset::train}};
constexpr std::array attention_kinds{std::pair{std::string_view("probabilities"), convbasis::AttentionKind::probabilities},
                                     std::pair{std::string_view("scores"), convbasis::AttentionKind::scores}};
constexpr std::array themes{std::pair{std::string_view("dark"), true}, std::pair{std::string_view("light"), false}};

template <class Value, std::size_t count>
std::string name_in(const std::array<std::pair<std::string_view, Value>, count>& names, const Value& value) {
  const auto found = std::ranges::find(names, value, &std::pair<std::string_view, Value>::second);
  return std::string(found == names.end() ? names.front().first : found->first);
}

// Writing

std::string stored_name(const fs::path& file, const fs::path& folder) {
  const fs::path relative = folder.empty() ? fs::path() : file.lexically_relative(folder);
  const bool below = !relative.empty() && *relative.begin() != ".." && *relative.begin() != ".";
  return (below ? relative : file).generic_string();
}

/// What the user settled about the files.
json roles_json(const convbasis::ActivationHints& hints) {
  json written = json::object();
  if (hints.query_name) written["query"] = *hints.query_name;
  if (hints.key_name) written["key"] = *hints.key_name;
  if (hints.value_name) written["value"] = *hints.value_name;
  if (hints.attention_name) written["attention"] = *hints.attention_name;
  if (hints.layout) written["layout"] = *hints.layout;
  if (hints.heads) written["heads"] = *hints.heads;
  if (hints.attention_kind) written["attention_kind"] = name_in(attention_kinds, *hints.attention_kind);
  return written;
}

json source_json(const SavedSession& session, const fs::path& folder) {
  if (std::holds_alternative<ExampleRecipe>(session.source)) return {{"example", true}};
  if (const auto* files = std::get_if<FilesRecipe>(&session.source)) {
    json names = json::array();
    for (const fs::path& file : files->paths) names.push_back(stored_name(file, folder));
    json written{{"files", names}};
    if (json roles = roles_json(files->hints); !roles.empty()) written["roles"] = std::move(roles);
    return written;
  }
  const auto& planted = std::get<convbasis::PlantedOptions>(session.source);
  return {{"planted",
           {{"n", planted.n},
            {"d", planted.d},
            {"value_width", planted.value_width},
            {"k", planted.k},
            {"T", planted.T},
            {"noise", planted.noise},
            {"spread", planted.spread},
            {"seed", planted.seed}}}};
}

json request_json(const AnalysisRequest& request) {
  json written{{"layer", request.layer},
               {"head", request.head},
               {"n", request.n},
               {"method", name_in(methods, request.method)},
               {"k", request.k},
               {"T", request.T},
               {"delta", request.delta},
               {"eps", request.eps},
               {"search", name_in(searches, request.search)},
               {"band", request.band},
               {"columns", request.columns},
               {"rank_kind", name_in(rank_kinds, request.rank_kind)},
               {"degree", request.degree},
               {"all_rows", request.all_rows}};
  if (!request.starts.empty()) written["starts"] = request.starts;
  return written;
}

json view_json(const SavedSession& session) {
  const ViewSettings& view = session.view;
  json written{{"window", {{"row", view.window.row}, {"column", view.window.column}, {"extent", view.window.extent}}},
               {"quantity", name_in(quantities, view.quantity)},
               {"pooling", name_in(poolings, view.pooling)},
               {"scale", name_in(scales, view.scale)},
               {"colours", name_in(colour_maps, view.colour_map)},
               {"quantile", view.quantile},
               {"range_locked", view.range_locked}};
  if (view.range_locked) {
    written["range"] = {{"low", view.range.lo}, {"high", view.range.hi}};
    written["residual_limit"] = view.residual_limit;
  }
  if (session.pinned) written["pinned"] = {{"row", session.pinned->row}, {"column", session.pinned->column}};
  return written;
}

// Reading

/// Whether the names fit the files is found out when these are opened.
convbasis::ActivationHints read_roles(const JsonFields& fields) {
  convbasis::ActivationHints hints;
  for (const auto& [name, member] :
       {std::pair{"query", &convbasis::ActivationHints::query_name}, std::pair{"key", &convbasis::ActivationHints::key_name},
        std::pair{"value", &convbasis::ActivationHints::value_name},
        std::pair{"attention", &convbasis::ActivationHints::attention_name},
        std::pair{"layout", &convbasis::ActivationHints::layout}}) {
    if (fields.has(name)) hints.*member = fields.text(name);
  }
  if (fields.has("heads")) fields.read("heads", 1, largest_index, hints.heads.emplace(1));
  if (fields.has("attention_kind")) {
    fields.read("attention_kind", attention_kinds, hints.attention_kind.emplace(convbasis::AttentionKind::scores));
  }
  return hints;
}

void read_source(const JsonFields& fields, const fs::path& folder, SavedSession& session) {
  const auto kinds = fields.count({"example", "files", "planted"});
  if (kinds != 1) fields.complain(fmt::format("has {} of example, files and planted; it must have one of them", kinds));
  if (fields.has("files")) {
    std::vector<fs::path> files;
    for (const std::string& name : fields.strings("files", most_files)) {
      const fs::path file(name);
      files.push_back(file.is_absolute() ? file : folder / file);
    }
    if (files.empty()) fields.complain("has no files; it must have at least one");
    session.source = FilesRecipe{std::move(files), read_roles(fields.object("roles"))};
  } else if (fields.has("planted")) {
    const JsonFields part = fields.object("planted");
    convbasis::PlantedOptions planted;
    part.read("n", 1, largest_index, planted.n);
    part.read("d", 2, largest_index, planted.d);
    part.read("value_width", 0, largest_index, planted.value_width);
    part.read("k", 1, largest_index, planted.k);
    part.read("T", 1, largest_index, planted.T);
    part.read("noise", 0.0, largest_number, planted.noise);
    part.read("spread", 0.0, largest_number, planted.spread);
    part.read("seed", planted.seed);
    session.source = planted;
  }
}

void read_request(const JsonFields& fields, AnalysisRequest& request) {
  fields.read("layer", 0, largest_index, request.layer);
  fields.read("head", 0, largest_index, request.head);
  fields.read("n", 1, largest_index, request.n);
  fields.read("method", methods, request.method);
  fields.read("k", request.method == Method::fit ? 0 : 1, largest_index, request.k);
  fields.read("T", 1, largest_index, request.T);
  fields.read("delta", 0.0, largest_number, request.delta);
  fields.read("eps", 0.0, largest_number, request.eps);
  fields.read("search", searches, request.search);
  fields.read("band", 0, largest_index, request.band);
  fields.read("columns", 0, largest_index, request.columns);
  fields.read("rank_kind", rank_kinds, request.rank_kind);
  fields.read("degree", 0, convbasis::max_exp_degree, request.degree);
  fields.read("all_rows", request.all_rows);
  request.starts = fields.ascending("starts", most_starts, 0, largest_index);
}

void read_range(const JsonFields& fields, ViewSettings& view) {
  const JsonFields range = fields.object("range");
  range.read("low", -largest_number, largest_number, view.range.lo);
  range.read("high", -largest_number, largest_number, view.range.hi);
  if (!(view.range.lo < view.range.hi)) {
    range.complain(fmt::format("goes from {} to {}; low must be below high", view.range.lo, view.range.hi));
  }
  fields.read("residual_limit", std::numeric_limits<double>::min(), largest_number, view.residual_limit);
}

void read_view(const JsonFields& fields, SavedSession& session) {
  ViewSettings& view = session.view;
  const JsonFields window = fields.object("window");
  window.read("row", 0.0, static_cast<double>(largest_index), view.window.row);
  window.read("column", 0.0, static_cast<double>(largest_index), view.window.column);
  window.read("extent", 0.0, static_cast<double>(largest_index), view.window.extent);
  fields.read("quantity", quantities, view.quantity);
  fields.read("pooling", poolings, view.pooling);
  fields.read("scale", scales, view.scale);
  fields.read("colours", colour_maps, view.colour_map);
  fields.read("quantile", 0.5, 1.0, view.quantile);
  fields.read("range_locked", view.range_locked);
  if (view.range_locked) {
    view.residual_limit = MapView{}.residual_limit;
    read_range(fields, view);
  }
  if (fields.has("pinned")) {
    const JsonFields pinned = fields.object("pinned");
    CellIndex cell;
    pinned.read("row", 0, largest_index, cell.row);
    pinned.read("column", 0, largest_index, cell.column);
    session.pinned = cell;
  }
}

void read_look(const JsonFields& fields, SavedSession& session) {
  fields.read("theme", themes, session.dark);
  fields.read("ui_scale", least_ui_scale, largest_ui_scale, session.ui_scale);
  fields.read("layout", presets, session.preset);
  if (fields.has("panels")) session.panels = fields.strings("panels", most_panels);
}

bool all_there(const SavedSession& session) {
  const auto* files = std::get_if<FilesRecipe>(&session.source);
  return !files || std::ranges::all_of(files->paths, [](const fs::path& file) {
    std::error_code error;
    return fs::exists(file, error);
  });
}

}  // namespace

bool is_session_file(const fs::path& path) { return path.filename().string().ends_with(session_ending); }

std::string session_text(const SavedSession& session, const fs::path& folder) {
  const json written{{"convscope_session", version},
                     {"source", source_json(session, folder)},
                     {"request", request_json(session.request)},
                     {"view", view_json(session)},
                     {"training", training_json(session.training)},
                     {"look",
                      {{"theme", name_in(themes, session.dark)},
                       {"ui_scale", session.ui_scale},
                       {"layout", name_in(presets, session.preset)},
                       {"panels", session.panels}}}};
  // Names of files need not be UTF-8; what is not is replaced rather than refused.
  return written.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

SavedSession parse_session(std::string_view text, const fs::path& path) {
  const json whole = parse_json(text, path.string());
  const JsonFields fields(whole, path.string());
  Index found = 0;
  fields.read("convscope_session", 0, std::numeric_limits<std::int32_t>::max(), found);
  if (found != version) {
    fields.complain(fmt::format("has convscope_session {}; this program reads version {}", found, version));
  }
  SavedSession session;
  session.view = settings_of(MapView{});
  read_source(fields.object("source"), path.parent_path(), session);
  read_request(fields.object("request"), session.request);
  read_view(fields.object("view"), session);
  read_look(fields.object("look"), session);
  session.training = read_training(fields.object("training"));
  return session;
}

SavedSession load_session(const fs::path& path) {
  const auto text = read_user_file(path, largest_file);
  if (!text) {
    std::error_code error;
    const bool there = fs::exists(path, error);
    throw convbasis::FileError(path.string(),
                               there ? "cannot be read; a session is a file of at most a megabyte" : "there is no such file");
  }
  std::error_code error;
  return parse_session(*text, fs::absolute(path, error));
}

void save_session(const fs::path& path, const SavedSession& session) {
  std::error_code error;
  write_user_file(path, session_text(session, fs::absolute(path, error).lexically_normal().parent_path()));
}

fs::path last_session_path(const fs::path& settings_file) {
  return settings_file.empty() ? fs::path() : settings_file.parent_path() / ("last" + std::string(session_ending));
}

LastSession load_last_session(const fs::path& path) {
  std::error_code error;
  if (path.empty() || !fs::exists(path, error)) return {};
  try {
    SavedSession session = load_session(path);
    if (!all_there(session)) return {};
    return {std::move(session), ""};
  } catch (const std::exception& problem) {
    return {std::nullopt, fmt::format("The last session could not be read, so the example is shown; {} ({})", keep_aside(path),
                                      problem.what())};
  }
}

}  // namespace convscope
