#include "state/source.h"

#include "core/errors.h"
#include "state/json_fields.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace convscope {

using convbasis::Activations;
using convbasis::HeadTensors;
using convbasis::InvalidArgument;
using convbasis::LayerInfo;
using convbasis::Planted;
using convbasis::PlantedOptions;

namespace {

LayerInfo planted_layer(const PlantedOptions& options) {
  LayerInfo info;
  info.heads = info.kv_heads = 1;
  info.size = options.n;
  info.width = options.d;
  info.value_width = options.value_width == 0 ? options.d : options.value_width;
  info.reason = "planted: rotary scores, exactly Toeplitz in each segment before noise";
  return info;
}

/// The metadata "missing", a JSON object {"layer": text}, of all files. What is no such thing says nothing: it is a remark, not
/// worth refusing the tensors for.
std::map<Index, std::string> read_missing(const Activations& activations) {
  std::map<Index, std::string> missing;
  for (const auto& file : activations.files()) {
    const auto found = file->metadata().find("missing");
    if (found == file->metadata().end()) continue;
    try {
      const nlohmann::json remarks = parse_json(found->second, file->path().string());
      for (const auto& [key, text] : remarks.items()) {
        Index layer = 0;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), layer);
        if (error == std::errc() && end == key.data() + key.size() && text.is_string())
          missing.emplace(layer, text.get<std::string>());
      }
    } catch (const convbasis::FileError&) {
      continue;
    }
  }
  return missing;
}

HeadTensors<float> prefix(const HeadTensors<float>& head, Index n) {
  return {head.query.topRows(n), head.key.topRows(n), head.value.topRows(n), head.scale};
}

}  // namespace

std::vector<std::string> hint_words(const convbasis::ActivationHints& hints) {
  std::vector<std::string> words;
  const auto add = [&words](const char* option, std::string value) {
    words.emplace_back(option);
    words.push_back(std::move(value));
  };
  if (hints.query_name) add("--q", *hints.query_name);
  if (hints.key_name) add("--k-tensor", *hints.key_name);
  if (hints.value_name) add("--v", *hints.value_name);
  if (hints.layout) add("--layout", *hints.layout);
  if (hints.heads) add("--heads", fmt::format("{}", *hints.heads));
  if (hints.attention_name) add("--attention", *hints.attention_name);
  if (hints.attention_kind) add("--attention-kind", std::string(convbasis::name_of(*hints.attention_kind)));
  return words;
}

bool FilesRecipe::operator==(const FilesRecipe& other) const {
  return paths == other.paths && hint_words(hints) == hint_words(other.hints);
}

Source::Source(std::uint64_t id, const SourceRecipe& recipe) : id_(id), recipe_(recipe) {
  if (const auto* files = std::get_if<FilesRecipe>(&recipe)) {
    const auto& activations = data_.emplace<Activations>(Activations::open(files->paths, files->hints));
    name_ = activations.display_name();
    model_ = activations.model();
    layers_ = activations.layers();
    tokens_ = activations.tokens();
    missing_ = read_missing(activations);
  } else {
    const auto& options = std::get<PlantedOptions>(recipe);
    data_ = std::make_shared<const Planted<float>>(convbasis::make_planted<float>(options));
    name_ = fmt::format("planted, {} segments", options.k);
    layers_.push_back(planted_layer(options));
  }
}

std::span<const Index> Source::planted_starts() const {
  const auto* planted = std::get_if<std::shared_ptr<const Planted<float>>>(&data_);
  return planted ? std::span<const Index>((*planted)->starts) : std::span<const Index>();
}

std::string Source::missing(Index layer) const {
  const auto found = missing_.find(layer);
  return found == missing_.end() ? "" : found->second;
}

const LayerInfo& Source::layer(Index layer) const {
  if (const auto* activations = std::get_if<Activations>(&data_)) return activations->layer(layer);
  if (layer != 0) throw InvalidArgument(fmt::format("layer {} does not exist: a planted input has layer 0 only", layer));
  return layers_.front();
}

std::shared_ptr<const HeadTensors<float>> Source::share(Index layer, Index head, Index n) const {
  const auto* planted = std::get_if<std::shared_ptr<const Planted<float>>>(&data_);
  if (!planted) return std::make_shared<const HeadTensors<float>>(load(layer, head, n));
  require_planted(layer, head, n);
  return {*planted, &(*planted)->head};
}

HeadTensors<float> Source::load(Index layer, Index head, Index n) const {
  if (const auto* activations = std::get_if<Activations>(&data_)) return activations->load<float>(layer, head, n);
  require_planted(layer, head, n);
  return prefix(std::get<std::shared_ptr<const Planted<float>>>(data_)->head, n);
}

void Source::require_planted(Index layer, Index head, Index n) const {
  const LayerInfo& info = this->layer(layer);
  if (head != 0) throw InvalidArgument(fmt::format("head {} does not exist: a planted input has head 0 only", head));
  if (n < 1 || n > info.size) throw InvalidArgument(fmt::format("n = {} is not in [1, {}]", n, info.size));
}

}  // namespace convscope
