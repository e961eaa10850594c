#include "cli/console.h"
#include "cli/input_options.h"
#include "cli/verbs.h"
#include "data/activations.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <optional>

namespace convscope {
namespace {

using convbasis::Activations;
using convbasis::LayerInfo;
using convbasis::TensorFile;
using convbasis::TensorInfo;
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
  std::string why_no_heads;  ///< empty when there are some
};

Inspection inspect(const InspectOptions& options) {
  Inspection result;
  for (const auto& path : options.files) result.files.push_back(convbasis::open_tensor_file(path));
  try {
    result.activations = Activations::open(options.files, options.hints);
  } catch (const convbasis::FileError& error) {
    result.why_no_heads = error.what();
  }
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

ordered_json file_json(const TensorFile& file) {
  ordered_json tensors = ordered_json::array();
  for (const TensorInfo& tensor : file.tensors()) {
    tensors.push_back(
        {{"name", tensor.name}, {"dtype", convbasis::name_of(tensor.dtype)}, {"shape", tensor.shape}, {"bytes", tensor.bytes}});
  }
  return {{"file", file.path().string()}, {"format", file.format()}, {"metadata", metadata_json(file)}, {"tensors", tensors}};
}

ordered_json layer_json(const LayerInfo& layer) {
  return {{"layer", layer.layer}, {"heads", layer.heads},     {"kv_heads", layer.kv_heads}, {"n", layer.size},
          {"d", layer.width},     {"d_v", layer.value_width}, {"query", layer.query},       {"key", layer.key},
          {"value", layer.value}, {"layout", layer.layout},   {"why", layer.reason}};
}

void print_as_json(const Inspection& inspection) {
  ordered_json result = {{"files", ordered_json::array()},  {"model", nullptr},       {"scale", nullptr}, {"tokens", nullptr},
                         {"layers", ordered_json::array()}, {"why_no_heads", nullptr}};
  for (const auto& file : inspection.files) result["files"].push_back(file_json(*file));
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

void print_file(const TensorFile& file) {
  print_field("file", printable(file.path().string()));
  print_field("format", file.format());
  for (const auto& [key, value] : file.metadata()) {
    if (key != "tokens") print_field("metadata " + printable(key), printable(value));
  }
  TextTable table({"tensor", "type", "shape", "size"}, 3);
  for (const TensorInfo& tensor : file.tensors()) {
    table.add({printable(tensor.name), std::string(convbasis::name_of(tensor.dtype)),
               fmt::format("({})", fmt::join(tensor.shape, ", ")), bytes_text(static_cast<double>(tensor.bytes))});
  }
  table.print();
  fmt::print("\n");
}

void print_heads(const Activations& activations) {
  print_field("tokens with text", fmt::format("{}", activations.tokens().size()));
  TextTable table({"layer", "heads", "kv heads", "n", "d", "d_v", "scale"}, 0);
  for (const LayerInfo& layer : activations.layers()) {
    const std::string scale = activations.scale() ? three_digits(*activations.scale()) : "1/sqrt(d)";
    table.add({fmt::format("{}", layer.layer), fmt::format("{}", layer.heads), fmt::format("{}", layer.kv_heads),
               fmt::format("{}", layer.size), fmt::format("{}", layer.width), fmt::format("{}", layer.value_width), scale});
  }
  table.print();
  // One reason for each run of layers that were read alike: thirty sentences say no more than one.
  const LayerInfo* previous = nullptr;
  for (const LayerInfo& layer : activations.layers()) {
    if (previous == nullptr || previous->layout != layer.layout) {
      fmt::print("from layer {}: {}\n", layer.layer, printable(layer.reason));
    }
    previous = &layer;
  }
}

void print_as_text(const Inspection& inspection) {
  for (const auto& file : inspection.files) print_file(*file);
  if (inspection.activations) {
    print_heads(*inspection.activations);
  } else {
    print_field("heads", "none: " + printable(inspection.why_no_heads));
  }
}

}  // namespace

void add_inspect(CLI::App& program) {
  CLI::App* verb = program.add_subcommand("inspect", "List the tensors of files, and the attention heads found in them");
  auto options = std::make_shared<InspectOptions>();
  verb->add_option("FILE", options->files, "safetensors or npy files, read together")->required()->type_name("");
  add_hint_options(*verb, options->hints);
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options] {
    const Inspection inspection = inspect(*options);
    options->json ? print_as_json(inspection) : print_as_text(inspection);
  });
}

}  // namespace convscope
