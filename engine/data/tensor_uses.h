/// \file
/// What each tensor of some files was taken for, or why it was not: what `inspect` shows to somebody whose names are unusual.
#pragma once

#include "data/activations.h"

#include <memory>
#include <string>
#include <vector>

namespace convbasis {

struct TensorUse {
  const TensorFile* file = nullptr;
  const TensorInfo* tensor = nullptr;
  bool used = false;
  std::string use;  ///< "query of layers 0 to 29", or why it was not taken
};

/// One for each tensor, in the files' order. `found` are the heads of the same files, or nullptr when there are none.
std::vector<TensorUse> explain_tensors(const std::vector<std::unique_ptr<TensorFile>>& files, const Activations* found);

}  // namespace convbasis
