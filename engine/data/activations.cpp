#include "data/activations.h"

#include "core/errors.h"
#include "data/tensor_axes.h"
#include "data/tensor_names.h"
#include "data/untrusted.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>

namespace convbasis {
namespace {

constexpr std::array roles{Role::query, Role::key, Role::value};

/// A tensor and the file that holds it.
struct Source {
  const TensorFile* file = nullptr;
  const TensorInfo* tensor = nullptr;
};

/// Query, key and value of one name pattern, indexed by Role. `sources[r]` has several entries when several tensors claim the
/// role.
struct Group {
  std::optional<Index> layer;
  std::array<std::vector<Source>, 3> sources;

  bool complete() const {
    return std::none_of(sources.begin(), sources.end(), [](const auto& claims) { return claims.empty(); });
  }
  const Source& source(Role role) const { return sources[static_cast<std::size_t>(role)].front(); }
};

using Files = std::vector<std::unique_ptr<TensorFile>>;

std::string name_for_people(const Files& files) {
  std::string name = files.front()->path().filename().string();
  if (files.size() > 3) return fmt::format("{} and {} more files", name, files.size() - 1);
  for (std::size_t i = 1; i < files.size(); ++i) name += ", " + files[i]->path().filename().string();
  return name;
}

/// What an error about the files together begins with.
std::string path_of(const Files& files) { return files.size() == 1 ? files.front()->path().string() : name_for_people(files); }

/// Calls visit(source) for every tensor of every file.
template <class Visit>
void for_each_tensor(const Files& files, Visit visit) {
  for (const auto& file : files) {
    for (const TensorInfo& tensor : file->tensors()) visit(Source{file.get(), &tensor});
  }
}

std::vector<Group> complete_groups(const std::map<std::string, Group>& named) {
  std::vector<Group> groups;
  for (const auto& [name, group] : named) {
    if (group.complete()) groups.push_back(group);
  }
  return groups;
}

std::vector<Group> groups_by_name(const Files& files) {
  std::map<std::string, Group> named;
  for_each_tensor(files, [&](const Source& source) {
    const std::optional<ParsedName> parsed = parse_name(source.tensor->name);
    if (!parsed) return;
    Group& group = named[parsed->group];
    group.layer = parsed->layer;
    group.sources[static_cast<std::size_t>(parsed->role)].push_back(source);
  });
  return complete_groups(named);
}

std::vector<Group> groups_by_hints(const Files& files, const ActivationHints& hints) {
  const std::array patterns{*hints.query_name, *hints.key_name, *hints.value_name};
  const bool by_layer = patterns[0].find("{L}") != std::string::npos;
  for (const std::string& pattern : patterns) {
    if ((pattern.find("{L}") != std::string::npos) == by_layer) continue;
    throw InvalidArgument("the names given for query, key and value must all hold {L}, or none of them");
  }
  std::map<std::string, Group> named;
  std::array<bool, 3> found{};
  for_each_tensor(files, [&](const Source& source) {
    for (std::size_t role = 0; role < patterns.size(); ++role) {
      const std::optional<PatternMatch> match = match_pattern(patterns[role], source.tensor->name);
      if (!match) continue;
      found[role] = true;
      Group& group = named[by_layer ? fmt::format("{}", *match->layer) : ""];
      if (by_layer || role == 0) group.layer = match->layer;
      group.sources[role].push_back(source);
    }
  });
  for (std::size_t role = 0; role < patterns.size(); ++role) {
    if (found[role]) continue;
    throw FileError(path_of(files),
                    fmt::format("has no tensor {} (given as {})", in_quotes(patterns[role]), name_of(roles[role])));
  }
  return complete_groups(named);
}

[[noreturn]] void fail_without_heads(const Files& files) {
  std::vector<std::string> names;
  std::size_t count = 0;
  bool parameters = false;
  for_each_tensor(files, [&](const Source& source) {
    parameters = parameters || names_a_parameter(source.tensor->name);
    if (++count <= 5) names.push_back(in_quotes(source.tensor->name));
  });
  if (count > names.size()) names.emplace_back("...");
  const std::string held = fmt::format("{} tensor{} ({})", count, count == 1 ? "" : "s", fmt::join(names, ", "));
  if (parameters) {
    throw FileError(path_of(files),
                    fmt::format("no query, key and value among its {}; these are a model's weights, expected activations, as "
                                "tools/export_activations.py writes them",
                                held));
  }
  throw FileError(path_of(files),
                  fmt::format("no query, key and value among its {}; expected names such as layers.0.q, layers.0.k, "
                              "layers.0.v, or give the three names",
                              held));
}

void require_one_claim(const Group& group) {
  for (const Role role : roles) {
    const auto& claims = group.sources[static_cast<std::size_t>(role)];
    if (claims.size() < 2) continue;
    throw FileError(
        claims[1].file->path().string(),
        fmt::format("tensor {} and tensor {} of {} are both taken for the {} of one layer; give the three names, or fewer files",
                    in_quotes(claims[1].tensor->name), in_quotes(claims[0].tensor->name),
                    claims[0].file->path().filename().string(), name_of(role)));
  }
}

void require_floating(const Group& group) {
  for (const Role role : roles) {
    const Source& source = group.source(role);
    if (is_floating(source.tensor->dtype)) continue;
    throw FileError(source.file->path().string(),
                    fmt::format("tensor {} ({}) has dtype {}; expected f16, bf16, f32 or f64", in_quotes(source.tensor->name),
                                name_of(role), name_of(source.tensor->dtype)));
  }
}

/// The first file's entry of that name, with its file.
std::pair<const TensorFile*, std::string> metadata_entry(const Files& files, const std::string& name) {
  for (const auto& file : files) {
    const auto found = file->metadata().find(name);
    if (found != file->metadata().end()) return {file.get(), found->second};
  }
  return {nullptr, ""};
}

std::optional<double> read_scale(const Files& files) {
  const auto [file, text] = metadata_entry(files, "scale");
  if (file == nullptr) return std::nullopt;
  double scale = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), scale);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(scale)) {
    throw FileError(file->path().string(), fmt::format("metadata \"scale\" is {}; expected a finite number", in_quotes(text)));
  }
  return scale;
}

std::vector<std::string> read_tokens(const Files& files) {
  const auto [file, text] = metadata_entry(files, "tokens");
  if (file == nullptr) return {};
  const nlohmann::json list = nlohmann::json::parse(text, nullptr, false);
  const auto is_text = [](const nlohmann::json& entry) { return entry.is_string(); };
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_text)) {
    throw FileError(file->path().string(), "metadata \"tokens\" is no JSON list of texts");
  }
  return list.get<std::vector<std::string>>();
}

/// "0 to 29", or "0, 3, 7" where numbers are missing between.
std::string layers_text(const std::vector<LayerInfo>& layers) {
  const Index first = layers.front().layer;
  const Index last = layers.back().layer;
  if (first == last) return fmt::format("only layer {}", first);
  if (last - first + 1 == static_cast<Index>(layers.size())) return fmt::format("layers {} to {}", first, last);
  std::vector<Index> numbers(layers.size());
  std::transform(layers.begin(), layers.end(), numbers.begin(), [](const LayerInfo& info) { return info.layer; });
  return fmt::format("layers {}", fmt::join(numbers, ", "));
}

template <Real T>
void require_finite(const Source& source, Index head, const Matrix<T>& matrix) {
  if (matrix.allFinite()) return;
  for (Index row = 0; row < matrix.rows(); ++row) {
    for (Index column = 0; column < matrix.cols(); ++column) {
      if (std::isfinite(matrix(row, column))) continue;
      throw FileError(source.file->path().string(),
                      fmt::format("tensor {}, head {}, row {}, column {} is {}; expected a finite number",
                                  in_quotes(source.tensor->name), head, row, column, matrix(row, column)));
    }
  }
}

}  // namespace

/// `sources[i]` are the tensors of `layers[i]`.
struct Activations::State {
  struct LayerSources {
    Source query, key, value;
    Index layer_in_tensor = 0;  ///< above 0 only where the layers are an axis of the tensors
  };

  Files files;
  std::vector<LayerInfo> layers;
  std::vector<LayerSources> sources;
  std::vector<std::string> tokens;
  std::optional<double> scale;

  void add_layers(const Group& group, const ActivationHints& hints);
  void sort_layers();
  void require_tokens_fit() const;
  /// The position of a layer number in `layers`.
  std::size_t position_of(Index layer) const;
};

void Activations::State::add_layers(const Group& group, const ActivationHints& hints) {
  require_one_claim(group);
  require_floating(group);
  const LayerSources trio{group.source(Role::query), group.source(Role::key), group.source(Role::value), 0};
  AxesHints axes_hints;
  axes_hints.layout = hints.layout;
  axes_hints.heads = hints.heads;
  if (!tokens.empty()) axes_hints.tokens = static_cast<Index>(tokens.size());
  axes_hints.numbered = group.layer.has_value();
  axes_hints.exported = group.layer && trio.query.tensor->name == fmt::format("layers.{}.q", *group.layer);
  const AxesReading reading =
      read_axes(trio.query.file->path().string(), {trio.query.tensor, trio.key.tensor, trio.value.tensor}, axes_hints);
  for (Index i = 0; i < reading.layers; ++i) {
    LayerInfo info;
    info.layer = reading.layers > 1 ? i : group.layer.value_or(0);
    info.heads = reading.heads;
    info.kv_heads = reading.kv_heads;
    info.size = reading.size;
    info.width = reading.width;
    info.value_width = reading.value_width;
    info.query = trio.query.tensor->name;
    info.key = trio.key.tensor->name;
    info.value = trio.value.tensor->name;
    info.layout = reading.layout;
    info.reason = fmt::format("{} are query, key and value by {}; {}.",
                              fmt::join({in_quotes(info.query), in_quotes(info.key), in_quotes(info.value)}, ", "),
                              hints.query_name ? "the names given" : "their names", reading.reason);
    layers.push_back(std::move(info));
    sources.push_back(trio);
    sources.back().layer_in_tensor = i;
  }
}

void Activations::State::sort_layers() {
  std::vector<std::size_t> order(layers.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return layers[a].layer < layers[b].layer; });
  std::vector<LayerInfo> sorted_layers;
  std::vector<LayerSources> sorted_sources;
  for (const std::size_t i : order) {
    if (!sorted_layers.empty() && sorted_layers.back().layer == layers[i].layer) {
      throw FileError(sources[i].query.file->path().string(),
                      fmt::format("layer {} has two queries, {} and {}; give the three names", layers[i].layer,
                                  in_quotes(sorted_layers.back().query), in_quotes(layers[i].query)));
    }
    sorted_layers.push_back(std::move(layers[i]));
    sorted_sources.push_back(sources[i]);
  }
  layers = std::move(sorted_layers);
  sources = std::move(sorted_sources);
}

void Activations::State::require_tokens_fit() const {
  if (tokens.empty()) return;
  for (const LayerInfo& info : layers) {
    if (info.size == static_cast<Index>(tokens.size())) continue;
    throw FileError(
        metadata_entry(files, "tokens").first->path().string(),
        fmt::format("metadata \"tokens\" lists {} tokens, but layer {} has {}", tokens.size(), info.layer, info.size));
  }
}

std::size_t Activations::State::position_of(Index layer) const {
  const auto found = std::lower_bound(layers.begin(), layers.end(), layer,
                                      [](const LayerInfo& info, Index wanted) { return info.layer < wanted; });
  if (found != layers.end() && found->layer == layer) return static_cast<std::size_t>(found - layers.begin());
  throw InvalidArgument(fmt::format("layer {} does not exist; {} has {}", layer, name_for_people(files), layers_text(layers)));
}

Activations Activations::open(const std::vector<std::filesystem::path>& paths, const ActivationHints& hints) {
  if (paths.empty()) throw InvalidArgument("no file was given; expected at least one tensor file");
  const int names = (hints.query_name ? 1 : 0) + (hints.key_name ? 1 : 0) + (hints.value_name ? 1 : 0);
  if (names != 0 && names != 3)
    throw InvalidArgument("names were given for some of query, key and value; give all three or none");
  if (hints.heads && *hints.heads < 1)
    throw InvalidArgument(fmt::format("the head count is {}; it must be at least 1", *hints.heads));

  auto state = std::make_shared<State>();
  for (const std::filesystem::path& path : paths) state->files.push_back(open_tensor_file(path));
  state->scale = read_scale(state->files);
  state->tokens = read_tokens(state->files);
  const std::vector<Group> groups = names == 3 ? groups_by_hints(state->files, hints) : groups_by_name(state->files);
  if (groups.empty()) fail_without_heads(state->files);
  for (const Group& group : groups) state->add_layers(group, hints);
  state->sort_layers();
  state->require_tokens_fit();

  Activations result;
  result.state_ = std::move(state);
  return result;
}

const std::vector<LayerInfo>& Activations::layers() const { return state_->layers; }

const LayerInfo& Activations::layer(Index layer) const { return state_->layers[state_->position_of(layer)]; }

const std::vector<std::unique_ptr<TensorFile>>& Activations::files() const { return state_->files; }

std::string Activations::display_name() const { return name_for_people(state_->files); }

std::string Activations::model() const { return metadata_entry(state_->files, "model").second; }

std::optional<double> Activations::scale() const { return state_->scale; }

const std::vector<std::string>& Activations::tokens() const { return state_->tokens; }

Index Activations::kv_head(Index layer, Index head) const {
  const LayerInfo& info = this->layer(layer);
  if (head < 0 || head >= info.heads) {
    throw InvalidArgument(
        fmt::format("head {} does not exist; {} layer {} has heads 0 to {}", head, display_name(), layer, info.heads - 1));
  }
  return head * info.kv_heads / info.heads;
}

template <Real T>
HeadTensors<T> Activations::load(Index layer, Index head, Index n) const {
  const std::size_t position = state_->position_of(layer);
  const LayerInfo& info = state_->layers[position];
  const State::LayerSources& sources = state_->sources[position];
  const Index shared = kv_head(layer, head);
  if (n < 0 || n > info.size) {
    throw InvalidArgument(fmt::format("n is {}; {} layer {} has {} tokens", n, display_name(), layer, info.size));
  }
  const auto load_matrix = [&](const Source& source, Index tensor_head, Index width) {
    Matrix<T> matrix(n == 0 ? info.size : n, width);
    const PayloadMatrix where = locate_head(*source.tensor, info.layout, sources.layer_in_tensor, tensor_head, width);
    source.file->read(*source.tensor, where, mutable_view(matrix));
    require_finite(source, tensor_head, matrix);
    return matrix;
  };
  HeadTensors<T> tensors;
  tensors.query = load_matrix(sources.query, head, info.width);
  tensors.key = load_matrix(sources.key, shared, info.width);
  tensors.value = load_matrix(sources.value, shared, info.value_width);
  tensors.scale = state_->scale.value_or(1.0 / std::sqrt(static_cast<double>(info.width)));
  return tensors;
}

template HeadTensors<float> Activations::load(Index, Index, Index) const;
template HeadTensors<double> Activations::load(Index, Index, Index) const;

}  // namespace convbasis
