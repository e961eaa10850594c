#include "data/activations.h"

#include "core/errors.h"
#include "data/file_metadata.h"
#include "data/tensor_axes.h"
#include "data/tensor_groups.h"
#include "data/untrusted.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace convbasis {
namespace {

constexpr Index probe_width = 64;  ///< one word of random bits a token

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
void require_finite(const PlacedTensor& source, Index head, const Matrix<T>& matrix) {
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

/// Random signs, the same for every head; the first n rows do not depend on how many follow.
template <Real T>
Matrix<T> probe_values(Index n) {
  Matrix<T> values(n, probe_width);
  std::mt19937_64 random(20240508);
  for (Index row = 0; row < n; ++row) {
    const std::uint64_t bits = random();
    for (Index column = 0; column < probe_width; ++column) values(row, column) = (bits >> column & 1U) != 0 ? T{1} : T{-1};
  }
  return values;
}

}  // namespace

/// `sources[i]` are the tensors of `layers[i]`.
struct Activations::State {
  struct LayerSources {
    PlacedTensor query, key, value, bias;
    std::optional<AttentionTensor> attention;
    std::string value_layout;
    Index layer_in_tensor = 0;  ///< above 0 only where the layers are an axis of the tensors
  };

  TensorFiles files;
  FileMetadata metadata;
  std::vector<LayerInfo> layers;
  std::vector<LayerSources> sources;

  void add_layers(const TensorGroup& group, const ActivationHints& hints);
  void add_layers(const AttentionTensor& attention, const ActivationHints& hints, const RunContext& context);
  AxesHints axes_hints(const ActivationHints& hints) const;
  double scale_of(Index layer, Index width) const;
  void set_bias(LayerInfo& info, LayerSources& source) const;
  void set_value(LayerInfo& info, LayerSources& source, const ActivationHints& hints, std::optional<Index> layer) const;
  std::vector<PlacedTensor> values_named(const ActivationHints& hints, std::optional<Index> layer) const;
  void sort_layers();
  void require_tokens_fit() const;
  /// The position of a layer number in `layers`.
  std::size_t position_of(Index layer) const;
  template <Real T>
  Matrix<T> load_matrix(const PlacedTensor& source, const std::string& layout, Index layer_in_tensor, Index head, Index n,
                        Index width, const RunContext& context) const;
  template <Real T>
  std::vector<T> load_bias(const LayerInfo& info, const LayerSources& source, Index head, Index n,
                           const RunContext& context) const;
};

AxesHints Activations::State::axes_hints(const ActivationHints& hints) const {
  AxesHints result;
  result.layout = hints.layout;
  result.heads = hints.heads;
  if (!metadata.tokens.empty()) result.tokens = static_cast<Index>(metadata.tokens.size());
  return result;
}

double Activations::State::scale_of(Index layer, Index width) const {
  if (metadata.scale.all) return *metadata.scale.all;
  const double usual = 1.0 / std::sqrt(static_cast<double>(width));
  if (metadata.scale.each.empty()) return usual;
  const auto found = metadata.scale.each.find(layer);
  if (found != metadata.scale.each.end()) return found->second;
  throw FileError(path_of(files), fmt::format("metadata \"scale\" lists numbers by layer, but none for layer {}", layer));
}

/// The position bias that goes with exported names, and the window that the metadata tell.
void Activations::State::set_bias(LayerInfo& info, LayerSources& source) const {
  const auto window = metadata.windows.find(info.layer);
  if (window != metadata.windows.end()) info.window = window->second;
  const std::string name = fmt::format("layers.{}.bias", info.layer);
  if (info.query != fmt::format("layers.{}.q", info.layer)) return;
  for (const auto& file : files) {
    const TensorInfo* tensor = file->find(name);
    if (tensor == nullptr) continue;
    if (!is_floating(tensor->dtype) || tensor->shape != std::vector<Index>{info.heads, info.size}) {
      throw FileError(
          file->path().string(),
          fmt::format("tensor {} {} of {} is no position bias; expected one floating number for each of {} heads and {} "
                      "lags, ({}, {})",
                      in_quotes(name), shape_text(tensor->shape), convbasis::name_of(tensor->dtype), info.heads, info.size,
                      info.heads, info.size));
    }
    source.bias = {file.get(), tensor};
    info.bias = name;
    return;
  }
}

void Activations::State::add_layers(const TensorGroup& group, const ActivationHints& hints) {
  require_one_claim(group);
  require_floating(group);
  LayerSources trio;
  trio.query = group.source(Role::query);
  trio.key = group.source(Role::key);
  trio.value = group.source(Role::value);
  AxesHints axes = axes_hints(hints);
  axes.numbered = group.layer.has_value();
  axes.exported = group.layer && trio.query.tensor->name == fmt::format("layers.{}.q", *group.layer);
  const AxesReading reading =
      read_axes(trio.query.file->path().string(), {trio.query.tensor, trio.key.tensor, trio.value.tensor}, axes);
  trio.value_layout = reading.layout;
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
    info.scale = scale_of(info.layer, info.width);
    trio.layer_in_tensor = i;
    set_bias(info, trio);
    info.reason = fmt::format("{} are query, key and value by {}; {}.",
                              fmt::join({in_quotes(info.query), in_quotes(info.key), in_quotes(info.value)}, ", "),
                              hints.query_name ? "the names given" : "their names", reading.reason);
    layers.push_back(std::move(info));
    sources.push_back(trio);
  }
}

std::vector<PlacedTensor> Activations::State::values_named(const ActivationHints& hints, std::optional<Index> layer) const {
  std::vector<PlacedTensor> found;
  for (const auto& file : files) {
    for (const TensorInfo& tensor : file->tensors()) {
      std::optional<Index> named;
      if (hints.value_name) {
        const auto match = match_pattern(*hints.value_name, tensor.name);
        if (!match) continue;
        const bool by_layer = hints.value_name->find("{L}") != std::string::npos;
        named = by_layer ? match->layer : layer;  // a name in full is for whatever layer there is
      } else {
        const auto parsed = parse_name(tensor.name);
        if (!parsed || parsed->role != Role::value) continue;
        named = parsed->layer;
      }
      if (named.value_or(0) == layer.value_or(0) && is_floating(tensor.dtype)) found.push_back({file.get(), &tensor});
    }
  }
  return found;
}

/// The value tensor of the layer where exactly one fits the matrices, else random signs.
void Activations::State::set_value(LayerInfo& info, LayerSources& source, const ActivationHints& hints,
                                   std::optional<Index> layer) const {
  const std::vector<PlacedTensor> named = values_named(hints, layer);
  std::string why_not = "no value tensor of this layer was found";
  if (named.size() > 1) why_not = "several tensors could be the values";
  if (named.size() == 1) {
    const TensorInfo& tensor = *named.front().tensor;
    AxesHints axes = axes_hints(hints);
    axes.tokens = info.size;
    axes.heads.reset();
    axes.numbered = layer.has_value();
    try {
      const AxesReading reading = read_axes(named.front().file->path().string(), {&tensor, &tensor, &tensor}, axes);
      if (reading.size == info.size && info.heads % reading.kv_heads == 0 && reading.layers == source.attention->layers) {
        source.value = named.front();
        source.value_layout = reading.layout;
        info.kv_heads = reading.kv_heads;
        info.value_width = reading.value_width;
        info.value = tensor.name;
        return;
      }
    } catch (const FileError&) {
      // Whatever is wrong with it, it is no value for these matrices.
    }
    why_not = fmt::format("tensor {} {} does not fit {} heads of {} tokens", in_quotes(tensor.name), shape_text(tensor.shape),
                          info.heads, info.size);
  }
  if (hints.value_name)
    throw FileError(path_of(files), fmt::format("value {} was given, but {}", in_quotes(*hints.value_name), why_not));
  info.kv_heads = info.heads;
  info.value_width = probe_width;
  info.values_are_probes = true;
  info.reason +=
      fmt::format(" Values are {} random signs for each token ({}): the output error estimates the error of the matrix.",
                  probe_width, why_not);
}

void Activations::State::add_layers(const AttentionTensor& attention, const ActivationHints& hints, const RunContext& context) {
  std::string why;
  const AttentionKind kind = tell_kind(attention, hints.attention_kind, why, context);
  for (Index i = 0; i < attention.layers; ++i) {
    LayerInfo info;
    info.layer = attention.layers > 1 ? i : attention.layer.value_or(0);
    info.heads = attention.heads;
    info.size = attention.size;
    info.layout = attention.layout;
    info.scale = 1.0;
    info.kind = HeadKind::attention;
    info.attention = attention.tensor->name;
    info.attention_kind = kind;
    info.reason = fmt::format("{} holds attention matrices: {}; {}.", in_quotes(info.attention), attention.reason, why);
    LayerSources source;
    source.attention = attention;
    source.layer_in_tensor = i;
    set_value(info, source, hints, attention.layer);
    layers.push_back(std::move(info));
    sources.push_back(std::move(source));
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
    sorted_sources.push_back(std::move(sources[i]));
  }
  layers = std::move(sorted_layers);
  sources = std::move(sorted_sources);
}

void Activations::State::require_tokens_fit() const {
  if (metadata.tokens.empty()) return;
  for (const LayerInfo& info : layers) {
    if (info.size == static_cast<Index>(metadata.tokens.size())) continue;
    throw FileError(metadata.tokens_path, fmt::format("metadata \"tokens\" lists {} tokens, but layer {} has {}",
                                                      metadata.tokens.size(), info.layer, info.size));
  }
}

std::size_t Activations::State::position_of(Index layer) const {
  const auto found = std::lower_bound(layers.begin(), layers.end(), layer,
                                      [](const LayerInfo& info, Index wanted) { return info.layer < wanted; });
  if (found != layers.end() && found->layer == layer) return static_cast<std::size_t>(found - layers.begin());
  throw InvalidArgument(fmt::format("layer {} does not exist; {} has {}", layer, name_for_people(files), layers_text(layers)));
}

/// Throws InvalidArgument for hints that contradict each other.
void require_consistent(const ActivationHints& hints) {
  const int names = (hints.query_name ? 1 : 0) + (hints.key_name ? 1 : 0) + (hints.value_name ? 1 : 0);
  if (hints.attention_name) {
    if (!hints.query_name && !hints.key_name) return;
    throw InvalidArgument("names were given for attention matrices and for query or key; give one of the two");
  }
  if (names != 0 && names != 3)
    throw InvalidArgument("names were given for some of query, key and value; give all three or none");
  if (hints.heads && *hints.heads < 1)
    throw InvalidArgument(fmt::format("the head count is {}; it must be at least 1", *hints.heads));
}

Activations Activations::open(const std::vector<std::filesystem::path>& paths, const ActivationHints& hints,
                              const RunContext& context) {
  if (paths.empty()) throw InvalidArgument("no file was given; expected at least one tensor file");
  require_consistent(hints);
  auto state = std::make_shared<State>();
  for (const std::filesystem::path& path : paths) {
    context.check();
    state->files.push_back(open_tensor_file(path));
  }
  state->metadata = read_metadata(state->files);
  std::vector<TensorGroup> groups;
  if (!hints.attention_name) {
    groups = hints.query_name ? groups_by_hints(state->files, hints) : groups_by_name(state->files);
  }
  for (const TensorGroup& group : groups) state->add_layers(group, hints);
  if (groups.empty() && !hints.query_name) {
    for (const AttentionTensor& found : find_attention(state->files, hints.attention_name))
      state->add_layers(found, hints, context);
  }
  if (state->layers.empty()) fail_without_heads(state->files);
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

std::string Activations::model() const { return state_->metadata.model; }

std::optional<double> Activations::scale() const { return state_->metadata.scale.all; }

const std::vector<std::string>& Activations::tokens() const { return state_->metadata.tokens; }

Index Activations::kv_head(Index layer, Index head) const {
  const LayerInfo& info = this->layer(layer);
  if (head < 0 || head >= info.heads) {
    throw InvalidArgument(
        fmt::format("head {} does not exist; {} layer {} has heads 0 to {}", head, display_name(), layer, info.heads - 1));
  }
  return head * info.kv_heads / info.heads;
}

template <Real T>
Matrix<T> Activations::State::load_matrix(const PlacedTensor& source, const std::string& layout, Index layer_in_tensor,
                                          Index head, Index n, Index width, const RunContext& context) const {
  Matrix<T> matrix(n, width);
  source.file->read(*source.tensor, locate_head(*source.tensor, layout, layer_in_tensor, head, width), mutable_view(matrix),
                    context);
  require_finite(source, head, matrix);
  return matrix;
}

/// The tensor's numbers by lag, and what the window masks.
template <Real T>
std::vector<T> Activations::State::load_bias(const LayerInfo& info, const LayerSources& source, Index head, Index n,
                                             const RunContext& context) const {
  const bool windowed = info.window && *info.window < n;
  if (source.bias.tensor == nullptr && !windowed) return {};
  constexpr auto masked = static_cast<T>(masked_score);
  std::vector<T> bias(static_cast<std::size_t>(n), T{0});
  if (source.bias.tensor != nullptr) {
    source.bias.file->read<T>(*source.bias.tensor, head * info.size, bias, context);
    for (std::size_t lag = 0; lag < bias.size(); ++lag) {
      if (!(bias[lag] < std::numeric_limits<T>::infinity())) {
        throw FileError(source.bias.file->path().string(),
                        fmt::format("tensor {}, head {}, lag {} is {}; expected a number, or -inf", in_quotes(info.bias), head,
                                    lag, bias[lag]));
      }
      bias[lag] = std::max(bias[lag], masked);
    }
  }
  if (windowed) std::fill(bias.begin() + *info.window, bias.end(), masked);
  return bias;
}

template <Real T>
HeadTensors<T> Activations::load(Index layer, Index head, Index n, const RunContext& context) const {
  const std::size_t position = state_->position_of(layer);
  const LayerInfo& info = state_->layers[position];
  const State::LayerSources& sources = state_->sources[position];
  const Index shared = kv_head(layer, head);
  if (n < 0 || n > info.size) {
    throw InvalidArgument(fmt::format("n is {}; {} layer {} has {} tokens", n, display_name(), layer, info.size));
  }
  if (n == 0) n = info.size;
  const auto load_role = [&](const PlacedTensor& source, const std::string& layout, Index tensor_head, Index width) {
    return state_->load_matrix<T>(source, layout, sources.layer_in_tensor, tensor_head, n, width, context);
  };
  HeadTensors<T> tensors;
  tensors.scale = info.scale;
  tensors.value =
      info.values_are_probes ? probe_values<T>(n) : load_role(sources.value, sources.value_layout, shared, info.value_width);
  if (info.kind == HeadKind::attention) {
    tensors.query.resize(n, 0);
    tensors.key.resize(n, 0);
    tensors.matrix = open_scores<T>(state_, *sources.attention, sources.layer_in_tensor, head, info.attention_kind);
    return tensors;
  }
  tensors.query = load_role(sources.query, info.layout, head, info.width);
  tensors.key = load_role(sources.key, info.layout, shared, info.width);
  tensors.bias = state_->load_bias<T>(info, sources, head, n, context);
  return tensors;
}

template HeadTensors<float> Activations::load(Index, Index, Index, const RunContext&) const;
template HeadTensors<double> Activations::load(Index, Index, Index, const RunContext&) const;

}  // namespace convbasis
