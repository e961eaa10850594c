/// \file
/// Options that several verbs have.
#pragma once

#include "data/activations.h"

#include <CLI/App.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace convscope {

/// Declares --q, --k-tensor, --v, --layout, --heads, --attention and --attention-kind, which settle what the reader cannot guess.
void add_hint_options(CLI::App& verb, convbasis::ActivationHints& hints);

/// Declares --precision, "f32" or "f64".
void add_precision_option(CLI::App& verb, std::string& precision);

/// Declares --threads, of one computation.
void add_threads_option(CLI::App& verb, int& threads);

/// The files named, or the built-in example when none is. Throws FileError when the example is not installed.
std::vector<std::filesystem::path> files_or_example(const std::vector<std::filesystem::path>& files);

}  // namespace convscope
