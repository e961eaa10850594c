#include "data/tensor_groups.h"

#include "core/errors.h"
#include "data/untrusted.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

namespace convbasis {
namespace {

/// Calls visit(source) for every tensor of every file.
template <class Visit>
void for_each_tensor(const TensorFiles& files, Visit visit) {
  for (const auto& file : files) {
    for (const TensorInfo& tensor : file->tensors()) visit(PlacedTensor{file.get(), &tensor});
  }
}

std::vector<TensorGroup> complete_groups(const std::map<std::string, TensorGroup>& named) {
  std::vector<TensorGroup> groups;
  for (const auto& [name, group] : named) {
    if (group.complete()) groups.push_back(group);
  }
  return groups;
}

}  // namespace

std::string name_for_people(const TensorFiles& files) {
  std::string name = files.front()->path().filename().string();
  if (files.size() > 3) return fmt::format("{} and {} more files", name, files.size() - 1);
  for (std::size_t i = 1; i < files.size(); ++i) name += ", " + files[i]->path().filename().string();
  return name;
}

std::string path_of(const TensorFiles& files) {
  return files.size() == 1 ? files.front()->path().string() : name_for_people(files);
}

std::vector<TensorGroup> groups_by_name(const TensorFiles& files) {
  std::map<std::string, TensorGroup> named;
  for_each_tensor(files, [&](const PlacedTensor& source) {
    const std::optional<ParsedName> parsed = parse_name(source.tensor->name);
    if (!parsed) return;
    TensorGroup& group = named[parsed->group];
    group.layer = parsed->layer;
    group.sources[static_cast<std::size_t>(parsed->role)].push_back(source);
  });
  return complete_groups(named);
}

std::vector<TensorGroup> groups_by_hints(const TensorFiles& files, const ActivationHints& hints) {
  const std::array patterns{*hints.query_name, *hints.key_name, *hints.value_name};
  const bool by_layer = patterns[0].find("{L}") != std::string::npos;
  for (const std::string& pattern : patterns) {
    if ((pattern.find("{L}") != std::string::npos) == by_layer) continue;
    throw InvalidArgument("the names given for query, key and value must all hold {L}, or none of them");
  }
  std::map<std::string, TensorGroup> named;
  std::array<bool, 3> found{};
  for_each_tensor(files, [&](const PlacedTensor& source) {
    for (std::size_t role = 0; role < patterns.size(); ++role) {
      const std::optional<PatternMatch> match = match_pattern(patterns[role], source.tensor->name);
      if (!match) continue;
      found[role] = true;
      TensorGroup& group = named[by_layer ? fmt::format("{}", *match->layer) : ""];
      if (by_layer || role == 0) group.layer = match->layer;
      group.sources[role].push_back(source);
    }
  });
  for (std::size_t role = 0; role < patterns.size(); ++role) {
    if (found[role]) continue;
    throw FileError(path_of(files),
                    fmt::format("has no tensor {} (given as {})", in_quotes(patterns[role]), name_of(all_roles[role])));
  }
  return complete_groups(named);
}

[[noreturn]] void fail_without_heads(const TensorFiles& files) {
  std::vector<std::string> names;
  std::size_t count = 0;
  bool parameters = false;
  for_each_tensor(files, [&](const PlacedTensor& source) {
    parameters = parameters || names_a_parameter(source.tensor->name);
    if (++count <= 5) names.push_back(in_quotes(source.tensor->name));
  });
  if (count > names.size()) names.emplace_back("...");
  const std::string held = fmt::format("{} tensor{} ({})", count, count == 1 ? "" : "s", fmt::join(names, ", "));
  if (parameters) {
    throw FileError(path_of(files),
                    fmt::format("no query, key and value among its {}; these are a model's weights, expected activations, as "
                                "tools/export_activations.py writes them",
                                held));
  }
  throw FileError(path_of(files),
                  fmt::format("no query, key and value among its {}; expected names such as layers.0.q, layers.0.k, "
                              "layers.0.v, or give the three names; or attention matrices, (heads, n, n)",
                              held));
}

void require_one_claim(const TensorGroup& group) {
  for (const Role role : all_roles) {
    const auto& claims = group.sources[static_cast<std::size_t>(role)];
    if (claims.size() < 2) continue;
    throw FileError(
        claims[1].file->path().string(),
        fmt::format("tensor {} and tensor {} of {} are both taken for the {} of one layer; give the three names, or fewer files",
                    in_quotes(claims[1].tensor->name), in_quotes(claims[0].tensor->name),
                    claims[0].file->path().filename().string(), name_of(role)));
  }
}

void require_floating(const TensorGroup& group) {
  for (const Role role : all_roles) {
    const PlacedTensor& source = group.source(role);
    if (is_floating(source.tensor->dtype)) continue;
    throw FileError(source.file->path().string(),
                    fmt::format("tensor {} ({}) has dtype {}; expected f16, bf16, f32 or f64", in_quotes(source.tensor->name),
                                name_of(role), name_of(source.tensor->dtype)));
  }
}

}  // namespace convbasis
