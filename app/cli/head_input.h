/// \file
/// The one head that `analyze` and `train --head-gradients` look at: from files, from the built-in example, or planted.
#pragma once

#include "data/activations.h"
#include "data/planted.h"

#include <CLI/App.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

using convbasis::Index;

struct HeadInputOptions {
  std::vector<std::filesystem::path> files;  ///< none: the built-in example
  std::optional<std::string> planted;        ///< see convbasis::parse_planted; then only n and scale are used besides
  convbasis::ActivationHints hints;
  std::optional<Index> layer;  ///< unset: the first one in the files
  Index head = 0;
  std::optional<Index> n;       ///< unset: all tokens
  std::optional<double> scale;  ///< unset: the file's, else 1/sqrt(d)
};

/// Declares FILE, --planted, --layer, --head, --n and --scale, and the hints of input_options.h. `what` begins the description of
/// a planted input: "Analyse".
void add_head_input_options(CLI::App& verb, HeadInputOptions& input, std::string_view what);

template <convbasis::Real T>
struct HeadInput {
  convbasis::HeadTensors<T> tensors;
  std::string file;   ///< file name(s), or the planted specification
  std::string model;  ///< empty when the file does not say
  Index layer = 0, head = 0, kv_head = 0;
  std::optional<convbasis::Planted<T>> planted;  ///< its truth; its head has been moved to `tensors`
  double seconds = 0.0;                          ///< what opening, reading and converting (or planting) took
};

/// Throws InvalidArgument and FileError as Activations and make_planted do, Cancelled.
template <convbasis::Real T>
HeadInput<T> load_head(const HeadInputOptions& options, const convbasis::RunContext& context);

}  // namespace convscope
