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

template <convbasis::Real T>
HeadInput<T> plant(const std::string& specification, const RunContext& context) {
  HeadInput<T> input;
  input.planted = convbasis::make_planted<T>(convbasis::parse_planted(specification), context);
  input.tensors = std::move(input.planted->head);
  input.file = "planted:" + specification;
  return input;
}

template <convbasis::Real T>
HeadInput<T> read(const HeadInputOptions& options) {
  // To the engine n = 0 means all tokens; to somebody who types it, it is a mistake.
  if (options.n && *options.n < 1) throw InvalidArgument(fmt::format("--n is {}; it must be at least 1", *options.n));
  const Activations activations = Activations::open(files_or_example(options.files), options.hints);
  HeadInput<T> input;
  input.layer = options.layer.value_or(activations.layers().front().layer);
  input.head = options.head;
  input.tensors = activations.load<T>(input.layer, input.head, options.n.value_or(0));
  input.kv_head = activations.kv_head(input.layer, input.head);
  input.file = activations.display_name();
  input.model = activations.model();
  return input;
}

}  // namespace

template <convbasis::Real T>
HeadInput<T> load_head(const HeadInputOptions& options, const RunContext& context) {
  const auto start = std::chrono::steady_clock::now();
  HeadInput<T> input = options.planted ? plant<T>(*options.planted, context) : read<T>(options);
  if (options.scale) input.tensors.scale = *options.scale;
  input.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return input;
}

template HeadInput<float> load_head(const HeadInputOptions&, const RunContext&);
template HeadInput<double> load_head(const HeadInputOptions&, const RunContext&);

}  // namespace convscope
