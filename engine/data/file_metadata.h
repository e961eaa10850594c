/// \file
/// What the metadata of activation files say besides the tensors: scale, tokens, model, sliding windows. Product page, "Files it
/// opens".
#pragma once

#include "data/tensor_file.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace convbasis {

/// One number for all layers, or one for each of some layers.
struct NumbersByLayer {
  std::optional<double> all;
  std::map<Index, double> each;
};

struct FileMetadata {
  NumbersByLayer scale;             ///< "scale": a number, or a JSON object {"layer": number}; neither: not given
  std::map<Index, Index> windows;   ///< "sliding_window": a JSON object {"layer": tokens}, at least 1
  std::vector<std::string> tokens;  ///< "tokens": a JSON list of texts; empty when not given
  std::string model;                ///< "model"
  std::string tokens_path;          ///< of the file that lists the tokens
};

/// For each entry, the first file that has it counts. Throws FileError for entries that are no such values.
FileMetadata read_metadata(const std::vector<std::unique_ptr<TensorFile>>& files);

}  // namespace convbasis
