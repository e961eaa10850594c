#include "state/source.h"

#include "core/errors.h"

#include <fmt/format.h>

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

HeadTensors<float> prefix(const HeadTensors<float>& head, Index n) {
  return {head.query.topRows(n), head.key.topRows(n), head.value.topRows(n), head.scale};
}

}  // namespace

Source::Source(std::uint64_t id, const SourceRecipe& recipe) : id_(id), recipe_(recipe) {
  if (const auto* paths = std::get_if<std::vector<std::filesystem::path>>(&recipe)) {
    const auto& activations = data_.emplace<Activations>(Activations::open(*paths));
    name_ = activations.display_name();
    model_ = activations.model();
    layers_ = activations.layers();
    tokens_ = activations.tokens();
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
