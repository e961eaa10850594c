#include "state/tensor_listing.h"

#include "core/errors.h"
#include "data/tensor_names.h"
#include "data/tensor_uses.h"
#include "state/provenance.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <utility>

namespace convscope {

using convbasis::ActivationHints;
using convbasis::Activations;
using convbasis::HeadKind;
using convbasis::LayerInfo;
using convbasis::TensorFile;
using convbasis::TensorUse;

namespace {

constexpr std::string_view layer_sign = "{L}";
constexpr std::string_view digits = "0123456789";

/// A stretch of a name.
struct Stretch {
  std::size_t begin = 0, end = 0;
};

/// The words between dots, slashes, underscores, dashes and spaces.
std::vector<Stretch> words_of(std::string_view name) {
  std::vector<Stretch> words;
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t end = std::min(name.find_first_of("._/- ", begin), name.size());
    if (end > begin) words.push_back({begin, end});
    begin = end + 1;
  }
  return words;
}

bool is_layer_word(std::string_view word) {
  constexpr std::array<std::string_view, 7> known{"layers", "layer", "blocks", "block", "blk", "h", "l"};
  std::string lower(word);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::ranges::find(known, lower) != known.end();
}

/// Layer numbers have at most 6 digits, as the reader understands them.
bool is_number(std::string_view word) {
  return !word.empty() && word.size() <= 6 && word.find_first_not_of(digits) == std::string_view::npos;
}

std::optional<Stretch> layer_number(std::string_view name) {
  const std::vector<Stretch> words = words_of(name);
  const auto text = [name](Stretch part) { return name.substr(part.begin, part.end - part.begin); };
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t letters = std::min(text(words[i]).find_first_of(digits), text(words[i]).size());
    const Stretch rest{words[i].begin + letters, words[i].end};
    if (!is_layer_word(text({words[i].begin, rest.begin}))) continue;
    if (is_number(text(rest))) return rest;
    if (rest.begin == rest.end && i + 1 < words.size() && is_number(text(words[i + 1]))) return words[i + 1];
  }
  if (!convbasis::parse_name(name) && !convbasis::names_attention(name)) return std::nullopt;
  const auto first = std::ranges::find_if(words, [&](Stretch word) { return is_number(text(word)); });
  return first == words.end() ? std::nullopt : std::optional(*first);
}

ListedTensor listed(const TensorUse& use) {
  const convbasis::TensorInfo& tensor = *use.tensor;
  const bool readable = convbasis::is_floating(tensor.dtype) && tensor.shape.size() >= 2;
  return {.name = tensor.name,
          .type = std::string(convbasis::name_of(tensor.dtype)),
          .shape = fmt::format("({})", fmt::join(tensor.shape, ", ")),
          .file = single_line(std::filesystem::path(use.file->source_name(tensor)).filename().string()),
          .use = single_line(use.use),
          .used = use.used,
          .choice = readable ? with_layer_sign(tensor.name) : ""};
}

/// Names with the layer sign go first: nobody wants to choose among thirty times three tensors.
std::vector<RoleChoice> choices_among(const std::vector<ListedTensor>& tensors) {
  std::vector<RoleChoice> choices;
  std::map<std::string, std::size_t> places;
  const auto count = [&](const std::string& name) {
    const auto [place, is_new] = places.emplace(name, choices.size());
    if (is_new) choices.push_back({name, 0});
    ++choices[place->second].count;
  };
  for (const ListedTensor& tensor : tensors) {
    if (!tensor.choice.empty() && tensor.choice != tensor.name) count(tensor.choice);
  }
  for (const ListedTensor& tensor : tensors) {
    if (!tensor.choice.empty()) count(tensor.name);
  }
  return choices;
}

/// "n 1024", or "n 512 to 1024" where layers differ.
std::string range_text(std::string_view what, const std::vector<LayerInfo>& layers, Index LayerInfo::*member) {
  const auto [least, most] = std::ranges::minmax(layers, {}, member);
  if (least.*member == most.*member) return fmt::format("{} {}", what, least.*member);
  return fmt::format("{} {} to {}", what, least.*member, most.*member);
}

std::optional<std::string>& place_of(ActivationHints& hints, TensorRole role) {
  switch (role) {
    case TensorRole::query:
      return hints.query_name;
    case TensorRole::key:
      return hints.key_name;
    case TensorRole::value:
      return hints.value_name;
    case TensorRole::attention:
      break;
  }
  return hints.attention_name;
}

const std::string& name_in(const LayerInfo& layer, TensorRole role) {
  switch (role) {
    case TensorRole::query:
      return layer.query;
    case TensorRole::key:
      return layer.key;
    case TensorRole::value:
      return layer.value;
    case TensorRole::attention:
      break;
  }
  return layer.attention;
}

}  // namespace

std::string with_layer_sign(std::string_view name) {
  std::string result(name);
  if (name.find(layer_sign) != std::string_view::npos) return result;
  if (const auto number = layer_number(name)) result.replace(number->begin, number->end - number->begin, layer_sign);
  return result;
}

TensorListing list_tensors(const FilesRecipe& recipe, const convbasis::RunContext& context) {
  TensorListing listing;
  listing.recipe = recipe;
  std::optional<Activations> found;
  std::vector<std::unique_ptr<TensorFile>> opened;
  try {
    found = Activations::open(recipe.paths, recipe.hints, context);
    listing.layers = found->layers();
  } catch (const convbasis::Cancelled&) {
    throw;
  } catch (const convbasis::Error& error) {
    listing.why_not = single_line(error.what());
    for (const auto& path : recipe.paths) {
      context.check();
      opened.push_back(convbasis::open_tensor_file(path));
    }
  }
  const auto& files = found ? found->files() : opened;
  for (const TensorUse& use : convbasis::explain_tensors(files, found ? &*found : nullptr)) {
    context.check();
    listing.tensors.push_back(listed(use));
  }
  for (const auto& file : files) {
    for (const auto& [name, reason] : file->skipped()) listing.unread.push_back(single_line(name + ": " + reason));
  }
  listing.choices = choices_among(listing.tensors);
  return listing;
}

std::string_view name_of(TensorRole role) {
  switch (role) {
    case TensorRole::query:
      return "query";
    case TensorRole::key:
      return "key";
    case TensorRole::value:
      return "value";
    case TensorRole::attention:
      return "attention";
  }
  return "";
}

const std::optional<std::string>& named(const ActivationHints& hints, TensorRole role) {
  switch (role) {
    case TensorRole::query:
      return hints.query_name;
    case TensorRole::key:
      return hints.key_name;
    case TensorRole::value:
      return hints.value_name;
    case TensorRole::attention:
      break;
  }
  return hints.attention_name;
}

std::string found_name(const TensorListing& listing, TensorRole role) {
  if (listing.layers.empty()) return "";
  const std::string& first = name_in(listing.layers.front(), role);
  const bool by_layer = name_in(listing.layers.back(), role) != first;
  return by_layer ? with_layer_sign(first) : first;
}

void choose(ActivationHints& hints, const TensorListing& found, TensorRole role, const std::string& name) {
  const bool matrices =
      hints.attention_name || (!hints.query_name && !found.layers.empty() && found.layers.front().kind == HeadKind::attention);
  const auto keep = [&](TensorRole other) {
    std::optional<std::string>& place = place_of(hints, other);
    if (std::string there = found_name(found, other); !place && !there.empty()) place = std::move(there);
  };
  if (role == TensorRole::attention) {
    hints.query_name.reset();
    hints.key_name.reset();
    if (!matrices) hints.value_name.reset();  // it went with the queries; these matrices can do without
  } else if (role == TensorRole::value && matrices) {
    keep(TensorRole::attention);
  } else {
    hints.attention_name.reset();
    hints.attention_kind.reset();
    for (const TensorRole other : {TensorRole::query, TensorRole::key, TensorRole::value}) keep(other);
  }
  place_of(hints, role) = name;
}

std::string still_to_choose(const ActivationHints& hints) {
  if (hints.attention_name) return "";
  std::vector<std::string_view> missing;
  for (const TensorRole role : {TensorRole::query, TensorRole::key, TensorRole::value}) {
    if (!named(hints, role)) missing.push_back(name_of(role));
  }
  return missing.size() == 3 ? "" : fmt::format("{}", fmt::join(missing, " and "));
}

std::string finding_text(const TensorListing& listing) {
  const std::vector<LayerInfo>& layers = listing.layers;
  if (layers.empty()) return listing.why_not;
  std::string text = fmt::format("{} layer{}, ", layers.size(), layers.size() == 1 ? "" : "s");
  text += range_text("heads", layers, &LayerInfo::heads) + ", " + range_text("kv heads", layers, &LayerInfo::kv_heads) + ", " +
          range_text("n", layers, &LayerInfo::size) + ", ";
  if (layers.front().kind == HeadKind::query_key) text += range_text("d", layers, &LayerInfo::width) + ", ";
  return text + scores_text(layers.front());
}

std::string scores_text(const LayerInfo& layer) {
  if (layer.kind == HeadKind::attention) return fmt::format("attention {}", convbasis::name_of(layer.attention_kind));
  std::string text = "query and key";
  if (!layer.bias.empty()) text += ", position bias";
  if (layer.window) text += fmt::format(", window {}", *layer.window);
  return text;
}

}  // namespace convscope
