/// \file
/// A run of `convscope atlas` from its options to its files: alone, as a shard, as a rank, or putting shards together.
#pragma once

#include "analysis/head_atlas.h"
#include "data/activations.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace convscope {

using convbasis::Index;

/// Every `count`-th head, from the `number`-th on; numbers begin with 1.
struct AtlasShard {
  Index number = 1, count = 1;
};

struct AtlasRunOptions {
  std::vector<std::filesystem::path> files;  ///< none: the built-in example. With `merge`: parts that shards left
  convbasis::ActivationHints hints;
  std::vector<Index> layers, heads;  ///< empty: all
  Index n = 0;                       ///< first tokens; 0: all
  convbasis::AtlasOptions atlas;
  std::string precision = "f32";
  int threads = 0;                        ///< 0: all that this process may use
  std::filesystem::path csv, json, html;  ///< empty: not written; json "-": standard output
  std::optional<AtlasShard> shard;
  bool merge = false;
  bool restart = false;  ///< whatever the journal holds
};

/// The file that the journal lies beside: the first of csv, json and html that is one; empty when none is.
std::filesystem::path first_output(const AtlasRunOptions& options);

/// Does it all. Throws InvalidArgument, FileError, Cancelled; Error when results cannot be written or when every head failed.
void run_atlas(const AtlasRunOptions& options);

}  // namespace convscope
