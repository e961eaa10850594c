#include "analysis/head_atlas_source.h"

#include "core/errors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace convbasis {
namespace {

constexpr Index numbers_looked_at = 256;

/// The first numbers of a tensor, as text.
std::string first_numbers(const TensorFile& file, const TensorInfo& tensor) {
  std::vector<float> values(static_cast<std::size_t>(std::min(numbers_looked_at, tensor.element_count())));
  file.read<float>(tensor, 0, values);
  std::string text;
  for (const float value : values) text += fmt::format("{:x} ", std::bit_cast<std::uint32_t>(value));
  return text;
}

template <Real T>
HeadAtlasEntry look_at(const Activations& activations, const AtlasManifest& manifest, const AtlasPlace& place,
                       const RunContext& context) {
  const Index size = activations.layer(place.layer).size;
  const Index n = manifest.n == 0 ? 0 : std::min(manifest.n, size);
  const HeadTensors<T> tensors = activations.load<T>(place.layer, place.head, n, context);
  return make_atlas_entry<T>(tensors.view(), manifest.options, context);
}

}  // namespace

std::string fingerprint_of(const Activations& activations) {
  std::string text;
  for (const auto& file : activations.files()) {
    text += fmt::format("{} {}\n", file->path().filename().string(), file->format());
    for (const auto& [key, value] : file->metadata()) text += fmt::format("{}={}\n", key, value);
    for (const TensorInfo& tensor : file->tensors()) {
      text += fmt::format("{} {} {} {} {}\n", tensor.name, name_of(tensor.dtype), fmt::join(tensor.shape, ","), tensor.offset,
                          tensor.bytes);
      if (is_floating(tensor.dtype)) text += first_numbers(*file, tensor);
    }
  }
  return checksum(text);
}

std::vector<AtlasPlace> atlas_heads(const Activations& activations, std::span<const Index> layers, std::span<const Index> heads) {
  for (const Index layer : layers) activations.layer(layer);  // throws where there is none
  std::vector<AtlasPlace> places;
  Index most_heads = 0;
  for (const LayerInfo& layer : activations.layers()) {
    if (!layers.empty() && std::ranges::find(layers, layer.layer) == layers.end()) continue;
    most_heads = std::max(most_heads, layer.heads);
    for (Index head = 0; head < layer.heads; ++head) {
      if (heads.empty() || std::ranges::find(heads, head) != heads.end()) places.push_back({layer.layer, head});
    }
  }
  for (const Index head : heads) {
    if (head < 0 || head >= most_heads) {
      throw InvalidArgument(fmt::format("head {} does not exist; these layers have heads 0 to {}", head, most_heads - 1));
    }
  }
  std::ranges::sort(places, {}, [](const AtlasPlace& place) { return std::pair(place.layer, place.head); });
  return places;
}

void require_valid(const AtlasManifest& manifest, const Activations& activations) {
  Index most_tokens = 0;
  for (const AtlasPlace& place : manifest.heads) most_tokens = std::max(most_tokens, activations.layer(place.layer).size);
  if (manifest.n < 0 || manifest.n > most_tokens) {
    throw InvalidArgument(fmt::format("n is {}; the longest of these heads has {} tokens", manifest.n, most_tokens));
  }
  require_valid(manifest.options, most_tokens);
}

std::string make_atlas_record(const Activations& activations, const AtlasManifest& manifest, Index place,
                              const RunContext& context) {
  const AtlasPlace where = manifest.heads[static_cast<std::size_t>(place)];
  HeadAtlasEntry entry;
  try {
    entry = manifest.precision == "f64" ? look_at<double>(activations, manifest, where, context)
                                        : look_at<float>(activations, manifest, where, context);
  } catch (const Cancelled&) {
    throw;
  } catch (const Error& error) {
    entry = {};
    entry.failure = error.what();
  }
  return atlas_record_text(where, entry);
}

}  // namespace convbasis
