#include "cli/head_input.h"

#include "cli/input_options.h"
#include "core/errors.h"

#include <fmt/format.h>

#include <chrono>

namespace convscope {
namespace {

using convbasis::Activations;
using convbasis::InvalidArgument;
using convbasis::RunContext;

/// To the engine n = 0 means all tokens; to somebody who types it, it is a mistake.
void require_some(const std::optional<Index>& n) {
  if (n && *n < 1) throw InvalidArgument(fmt::format("--n is {}; it must be at least 1", *n));
}

template <convbasis::Real T>
void keep_first(convbasis::HeadTensors<T>& head, Index n) {
  if (n > head.query.rows()) {
    throw InvalidArgument(fmt::format("--n is {}; the planted input has {} tokens", n, head.query.rows()));
  }
  for (auto* tensor : {&head.query, &head.key, &head.value}) tensor->conservativeResize(n, Eigen::NoChange);
}

template <convbasis::Real T>
HeadInput<T> plant(const std::string& specification, const std::optional<Index>& n, const RunContext& context) {
  require_some(n);
  HeadInput<T> input;
  input.planted = convbasis::make_planted<T>(convbasis::parse_planted(specification), context);
  input.tensors = std::move(input.planted->head);
  if (n) keep_first(input.tensors, *n);
  input.file = "planted:" + specification;
  return input;
}

template <convbasis::Real T>
HeadInput<T> read(const HeadInputOptions& options, const RunContext& context) {
  require_some(options.n);
  const Activations activations = Activations::open(files_or_example(options.files), options.hints, context);
  HeadInput<T> input;
  input.layer = options.layer.value_or(activations.layers().front().layer);
  input.head = options.head;
  input.tensors = activations.load<T>(input.layer, input.head, options.n.value_or(0), context);
  input.kv_head = activations.kv_head(input.layer, input.head);
  input.file = activations.display_name();
  input.model = activations.model();
  return input;
}

}  // namespace

template <convbasis::Real T>
HeadInput<T> load_head(const HeadInputOptions& options, const RunContext& context) {
  const auto start = std::chrono::steady_clock::now();
  HeadInput<T> input = options.planted ? plant<T>(*options.planted, options.n, context) : read<T>(options, context);
  if (options.scale) input.tensors.scale = *options.scale;
  input.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return input;
}

void add_head_input_options(CLI::App& verb, HeadInputOptions& input, std::string_view what) {
  CLI::Option* files =
      verb.add_option("FILE", input.files, "safetensors or npy files, read together (default: the built-in example)")
          ->type_name("");
  verb.add_option(
          "--planted", input.planted,
          fmt::format("{} an input with a known basis instead of files, such as k=4,n=1024,d=64,T=8,noise=0.001,seed=1", what))
      ->type_name("SPEC")
      ->excludes(files);
  verb.add_option("--layer", input.layer, "Layer number in the model (default: the first in the files)")->type_name("L");
  verb.add_option("--head", input.head, "Query head")->type_name("H")->capture_default_str();
  verb.add_option("--n", input.n, "Tokens from the start of the text (default: all)")->type_name("N");
  verb.add_option("--scale", input.scale, "Factor of the scores (default: the file's, else 1/sqrt(d))")->type_name("S");
  add_hint_options(verb, input.hints);
  CLI::Option* planted = verb.get_option("--planted");
  for (const char* name : {"--layer", "--head", "--q", "--k-tensor", "--v", "--layout", "--heads"}) {
    planted->excludes(verb.get_option(name));
  }
}

template HeadInput<float> load_head(const HeadInputOptions&, const RunContext&);
template HeadInput<double> load_head(const HeadInputOptions&, const RunContext&);

}  // namespace convscope
