#include "cli/console.h"
#include "cli/input_options.h"
#include "cli/verbs.h"
#include "data/activations.h"
#include "data/tensor_uses.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace convscope {
namespace {

using convbasis::Activations;
using convbasis::HeadKind;
using convbasis::LayerInfo;
using convbasis::TensorFile;
using convbasis::TensorInfo;
using convbasis::TensorUse;
using nlohmann::ordered_json;

struct InspectOptions {
  std::vector<std::filesystem::path> files;
  convbasis::ActivationHints hints;
  bool json = false;
};

/// Files are listed even when no heads are found in them: this is the verb that shows why.
struct Inspection {
  std::vector<std::unique_ptr<TensorFile>> files;
  std::optional<Activations> activations;
  std::string why_no_heads;     ///< empty when there are some
  std::vector<TensorUse> uses;  ///< of all tensors of all files
};

Inspection inspect(const InspectOptions& options) {
  Inspection result;
  for (const auto& path : options.files) result.files.push_back(convbasis::open_tensor_file(path));
  try {
    result.activations = Activations::open(options.files, options.hints);
  } catch (const convbasis::FileError& error) {
    result.why_no_heads = error.what();
  }
  result.uses = convbasis::explain_tensors(result.files, result.activations ? &*result.activations : nullptr);
  return result;
}

/// The metadata as the file has it, but for the text: tokens are counted, not listed.
ordered_json metadata_json(const TensorFile& file) {
  ordered_json result = ordered_json::object();
  for (const auto& [key, value] : file.metadata()) {
    if (key != "tokens") result[key] = value;
  }
  return result;
}

/// One tensor with all that can be said of it.
ordered_json tensor_json(const TensorUse& use) {
  const TensorInfo& tensor = *use.tensor;
  return {
      {"name", tensor.name},   {"dtype", convbasis::name_of(tensor.dtype)}, {"shape", tensor.shape}, {"order", tensor.order()},
      {"bytes", tensor.bytes}, {"file", use.file->source_name(tensor)},     {"used", use.used},      {"use", use.use}};
}

ordered_json file_json(const TensorFile& file, const std::vector<TensorUse>& uses) {
  ordered_json tensors = ordered_json::array();
  for (const TensorUse& use : uses) {
    if (use.file == &file) tensors.push_back(tensor_json(use));
  }
  ordered_json skipped = ordered_json::array();
  for (const auto& [name, reason] : file.skipped()) skipped.push_back({{"name", name}, {"why", reason}});
  return {{"file", file.path().string()},
          {"format", file.format()},
          {"metadata", metadata_json(file)},
          {"tensors", tensors},
          {"skipped", skipped}};
}

/// Empty texts become null.
ordered_json text_or_null(const std::string& text) { return text.empty() ? ordered_json(nullptr) : ordered_json(text); }

ordered_json layer_json(const LayerInfo& layer) {
  const bool matrices = layer.kind == HeadKind::attention;
  return {{"layer", layer.layer},
          {"heads", layer.heads},
          {"kv_heads", layer.kv_heads},
          {"n", layer.size},
          {"d", layer.width},
          {"d_v", layer.value_width},
          {"scale", layer.scale},
          {"kind", matrices ? "attention" : "query_key"},
          {"query", text_or_null(layer.query)},
          {"key", text_or_null(layer.key)},
          {"value", text_or_null(layer.value)},
          {"values_are_probes", layer.values_are_probes},
          {"attention", text_or_null(layer.attention)},
          {"attention_kind", matrices ? ordered_json(convbasis::name_of(layer.attention_kind)) : ordered_json(nullptr)},
          {"bias", text_or_null(layer.bias)},
          {"window", layer.window ? ordered_json(*layer.window) : ordered_json(nullptr)},
          {"layout", layer.layout},
          {"why", layer.reason}};
}

void print_as_json(const Inspection& inspection) {
  ordered_json result = {{"files", ordered_json::array()},  {"model", nullptr},       {"scale", nullptr}, {"tokens", nullptr},
                         {"layers", ordered_json::array()}, {"why_no_heads", nullptr}};
  for (const auto& file : inspection.files) result["files"].push_back(file_json(*file, inspection.uses));
  if (const auto& activations = inspection.activations) {
    result["model"] = activations->model();
    if (activations->scale()) result["scale"] = *activations->scale();
    result["tokens"] = activations->tokens().size();
    for (const LayerInfo& layer : activations->layers()) result["layers"].push_back(layer_json(layer));
  } else {
    result["why_no_heads"] = inspection.why_no_heads;
  }
  print_json(result);
}

constexpr std::string_view advice =
    "to settle it: --q NAME --k-tensor NAME --v NAME ({L} in a name stands for the layer's number), --layout STR, --heads N; "
    "for attention matrices --attention NAME, --attention-kind probabilities|scores";

void print_file(const TensorFile& file, const std::vector<TensorUse>& uses) {
  print_field("file", printable(file.path().string()));
  print_field("format", file.format());
  for (const auto& [key, value] : file.metadata()) {
    if (key != "tokens") print_field("metadata " + printable(key), printable(value));
  }
  const bool in_parts = file.format() == "safetensors shards";
  std::vector<std::string> heading{"tensor", "type", "shape", "order", "use"};
  if (in_parts) heading.emplace_back("file");
  heading.emplace_back("size");
  TextTable table(heading, heading.size() - 1);
  for (const TensorUse& use : uses) {
    if (use.file != &file) continue;
    const TensorInfo& tensor = *use.tensor;
    std::vector<std::string> row{printable(tensor.name), std::string(convbasis::name_of(tensor.dtype)),
                                 fmt::format("({})", fmt::join(tensor.shape, ", ")), std::string(tensor.order()),
                                 printable(use.use)};
    if (in_parts) row.push_back(printable(std::filesystem::path(file.source_name(tensor)).filename().string()));
    row.push_back(bytes_text(static_cast<double>(tensor.bytes)));
    table.add(std::move(row));
  }
  table.print();
  for (const auto& [name, reason] : file.skipped()) fmt::print("not read: {}: {}\n", printable(name), printable(reason));
  fmt::print("\n");
}

/// What the scores have besides queries and keys.
std::string extras_text(const LayerInfo& layer) {
  if (layer.kind == HeadKind::attention) return fmt::format("{} given", convbasis::name_of(layer.attention_kind));
  std::string text = layer.bias.empty() ? "" : "position bias";
  if (layer.window) text += fmt::format("{}window {}", text.empty() ? "" : ", ", *layer.window);
  return text.empty() ? "-" : text;
}

void print_heads(const Activations& activations) {
  print_field("tokens with text", fmt::format("{}", activations.tokens().size()));
  TextTable table({"layer", "scores", "heads", "kv heads", "n", "d", "d_v", "scale"}, 2);
  for (const LayerInfo& layer : activations.layers()) {
    table.add({fmt::format("{}", layer.layer), extras_text(layer), fmt::format("{}", layer.heads),
               fmt::format("{}", layer.kv_heads), fmt::format("{}", layer.size), fmt::format("{}", layer.width),
               fmt::format("{}", layer.value_width), three_digits(layer.scale)});
  }
  table.print();
  // One reason for each run of layers that were read alike: thirty sentences say no more than one.
  const LayerInfo* previous = nullptr;
  for (const LayerInfo& layer : activations.layers()) {
    const bool alike = previous != nullptr && previous->layout == layer.layout && previous->kind == layer.kind &&
                       previous->attention_kind == layer.attention_kind && previous->values_are_probes == layer.values_are_probes;
    if (!alike) fmt::print("from layer {}: {}\n", layer.layer, printable(layer.reason));
    previous = &layer;
  }
}

void print_as_text(const Inspection& inspection) {
  for (const auto& file : inspection.files) print_file(*file, inspection.uses);
  if (inspection.activations) {
    print_heads(*inspection.activations);
  } else {
    print_field("heads", "none: " + printable(inspection.why_no_heads));
  }
  const bool all_used = std::ranges::all_of(inspection.uses, &TensorUse::used);
  if (!inspection.activations || !all_used) fmt::print("{}\n", advice);
}

}  // namespace

void add_inspect(CLI::App& program) {
  CLI::App* verb = program.add_subcommand("inspect", "List the tensors of files, and the attention heads found in them");
  auto options = std::make_shared<InspectOptions>();
  verb->add_option("FILE", options->files, "safetensors (or its index), npy, npz or PyTorch files, read together")
      ->required()
      ->type_name("");
  add_hint_options(*verb, options->hints);
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options] {
    const Inspection inspection = inspect(*options);
    options->json ? print_as_json(inspection) : print_as_text(inspection);
  });
}

}  // namespace convscope
