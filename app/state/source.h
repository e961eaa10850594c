/// \file
/// What is open in the window: the activations of some files, or a planted input.
#pragma once

#include "data/activations.h"
#include "data/planted.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace convscope {

using convbasis::Index;

/// Files that are opened together, and what the user settled about them.
struct FilesRecipe {
  std::vector<std::filesystem::path> paths;
  convbasis::ActivationHints hints = {};

  bool operator==(const FilesRecipe& other) const;
};

/// How a source comes to be: from files, or planted.
using SourceRecipe = std::variant<FilesRecipe, convbasis::PlantedOptions>;

/// The hints as the command line names them, option and value in turn: {"--q", "blocks.{L}.a", ...}. Empty: nothing was settled.
std::vector<std::string> hint_words(const convbasis::ActivationHints& hints);

/// Heads that can be analysed, under one roof. Immutable; share it between threads freely.
class Source {
 public:
  /// Reads the headers of the files, or makes the planted input (O(n d)). Throws what convbasis::Activations::open and
  /// convbasis::make_planted throw.
  Source(std::uint64_t id, const SourceRecipe& recipe);

  std::uint64_t id() const { return id_; }  ///< never used twice in one session
  const SourceRecipe& recipe() const { return recipe_; }
  const std::string& name() const { return name_; }
  const std::string& model() const { return model_; }                          ///< empty when the file does not say
  const std::vector<convbasis::LayerInfo>& layers() const { return layers_; }  ///< never empty
  const std::vector<std::string>& tokens() const { return tokens_; }           ///< empty when the file does not say
  std::span<const Index> planted_starts() const;                               ///< empty unless planted
  /// What the model's attention has in this layer beside what the file holds, such as a soft cap; empty when the file names
  /// nothing. The numbers are then not quite the model's own.
  std::string missing(Index layer) const;
  /// Throws InvalidArgument, listing what exists, when there is no such layer.
  const convbasis::LayerInfo& layer(Index layer) const;
  /// A head with n tokens or more: a planted one is shared as a whole. Throws as load() does.
  std::shared_ptr<const convbasis::HeadTensors<float>> share(Index layer, Index head, Index n) const;
  /// The first n tokens of a head. Throws InvalidArgument, FileError (NaN or Inf in the data, file gone).
  convbasis::HeadTensors<float> load(Index layer, Index head, Index n) const;

 private:
  void require_planted(Index layer, Index head, Index n) const;

  std::uint64_t id_;
  SourceRecipe recipe_;
  std::variant<std::monostate, convbasis::Activations, std::shared_ptr<const convbasis::Planted<float>>> data_;
  std::string name_;
  std::string model_;
  std::vector<convbasis::LayerInfo> layers_;
  std::vector<std::string> tokens_;
  std::map<Index, std::string> missing_;
};

}  // namespace convscope
