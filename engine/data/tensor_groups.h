/// \file
/// Finding the query, key and value that belong together among the tensors of several files, by names.
#pragma once

#include "data/activations.h"
#include "data/tensor_names.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace convbasis {

inline constexpr std::array all_roles{Role::query, Role::key, Role::value};

/// A tensor and the file that holds it.
struct PlacedTensor {
  const TensorFile* file = nullptr;
  const TensorInfo* tensor = nullptr;
};

/// Query, key and value of one name pattern, indexed by Role. `sources[r]` has several entries when several tensors claim the
/// role.
struct TensorGroup {
  std::optional<Index> layer;
  std::array<std::vector<PlacedTensor>, 3> sources;

  bool complete() const {
    return std::none_of(sources.begin(), sources.end(), [](const auto& claims) { return claims.empty(); });
  }
  const PlacedTensor& source(Role role) const { return sources[static_cast<std::size_t>(role)].front(); }
};

using TensorFiles = std::vector<std::unique_ptr<TensorFile>>;

/// File name(s) for people.
std::string name_for_people(const TensorFiles& files);
/// What an error about the files together begins with.
std::string path_of(const TensorFiles& files);

/// The complete groups, by names as parse_name() understands them.
std::vector<TensorGroup> groups_by_name(const TensorFiles& files);
/// Those that the user named. Throws InvalidArgument and FileError when there are no such tensors.
std::vector<TensorGroup> groups_by_hints(const TensorFiles& files, const ActivationHints& hints);

/// Throws FileError: two tensors for one role.
void require_one_claim(const TensorGroup& group);
/// Throws FileError unless all three can be read.
void require_floating(const TensorGroup& group);
/// Throws FileError with what was found instead of heads and what would be right.
[[noreturn]] void fail_without_heads(const TensorFiles& files);

}  // namespace convbasis
