#include "data/tensor_uses.h"

#include "data/tensor_groups.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

namespace convbasis {
namespace {

/// Roles that tensors of one name pattern claim.
using Claims = std::map<std::string, std::set<Role>>;

Claims claims_of(const TensorFiles& files) {
  Claims claims;
  for (const auto& file : files) {
    for (const TensorInfo& tensor : file->tensors()) {
      if (const auto parsed = parse_name(tensor.name)) claims[parsed->group].insert(parsed->role);
    }
  }
  return claims;
}

/// "query of layers 0 to 29"; empty when no layer uses the tensor.
std::string use_in_layers(const std::string& name, const std::vector<LayerInfo>& layers) {
  std::vector<std::string_view> parts;
  std::vector<Index> numbers;
  for (const LayerInfo& info : layers) {
    const std::vector<std::pair<std::string_view, const std::string*>> uses{{"query", &info.query},
                                                                            {"key", &info.key},
                                                                            {"value", &info.value},
                                                                            {"attention", &info.attention},
                                                                            {"position bias", &info.bias}};
    for (const auto& [part, tensor] : uses) {
      if (*tensor != name) continue;
      if (std::find(parts.begin(), parts.end(), part) == parts.end()) parts.push_back(part);
      if (numbers.empty() || numbers.back() != info.layer) numbers.push_back(info.layer);
    }
  }
  if (parts.empty()) return "";
  const std::string where =
      numbers.size() == 1 ? fmt::format("layer {}", numbers[0]) : fmt::format("layers {} to {}", numbers.front(), numbers.back());
  return fmt::format("{} of {}", fmt::join(parts, " and "), where);
}

/// The name says a role, but the tensor was not taken for it.
std::string why_no_role(const ParsedName& parsed, const std::set<Role>& claimed, bool some_found) {
  std::vector<std::string_view> missing;
  for (const Role role : all_roles) {
    if (!claimed.contains(role)) missing.push_back(name_of(role));
  }
  if (!missing.empty()) {
    return fmt::format("its name says {}, but there is no {} of the same name otherwise", name_of(parsed.role),
                       fmt::join(missing, " and no "));
  }
  return fmt::format("its name says {}, but {}", name_of(parsed.role),
                     some_found ? "others were taken" : "the three could not be taken together");
}

std::string why_not(const TensorInfo& tensor, const Claims& claims, const std::vector<LayerInfo>& layers) {
  if (!is_floating(tensor.dtype)) return fmt::format("{} is no floating type", name_of(tensor.dtype));
  if (names_a_parameter(tensor.name)) return "a model's parameter, by its name";
  if (const auto parsed = parse_name(tensor.name)) return why_no_role(*parsed, claims.at(parsed->group), !layers.empty());
  if (tensor.shape.size() < 2 || tensor.shape.size() > 4) return fmt::format("has {} axes, not 2 to 4", tensor.shape.size());
  if (is_square(tensor) && !layers.empty() && layers.front().kind == HeadKind::query_key) {
    return "could be attention matrices, but queries and keys go first";
  }
  if (is_square(tensor)) return "could be attention matrices, but others were taken, or several sets could be meant";
  return "no word of its name is query, key or value (q, k, v), nor is it square";
}

}  // namespace

std::vector<TensorUse> explain_tensors(const TensorFiles& files, const Activations* found) {
  const Claims claims = claims_of(files);
  const std::vector<LayerInfo> layers = found == nullptr ? std::vector<LayerInfo>{} : found->layers();
  std::vector<TensorUse> uses;
  for (const auto& file : files) {
    for (const TensorInfo& tensor : file->tensors()) {
      TensorUse one{file.get(), &tensor, false, use_in_layers(tensor.name, layers)};
      one.used = !one.use.empty();
      if (!one.used) one.use = "not taken: " + why_not(tensor, claims, layers);
      uses.push_back(std::move(one));
    }
  }
  return uses;
}

}  // namespace convbasis
