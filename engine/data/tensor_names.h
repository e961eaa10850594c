/// \file
/// What a tensor's name says: is it a query, key or value, and of which layer.
#pragma once

#include "core/types.h"

#include <optional>
#include <string>
#include <string_view>

namespace convbasis {

enum class Role { query, key, value };
std::string_view name_of(Role role);

struct ParsedName {
  Role role = Role::query;
  std::string group;           ///< the name with the role's word replaced by '*': equal for tensors that belong together
  std::optional<Index> layer;  ///< as in "layers.12.q", "h.12.attn.k", "layer12_v"
};

/// Words of a name are what stands between dots, slashes, underscores, dashes and spaces; case does not matter. The letters q, k,
/// v go before the words query, key, value (so "q_value" is a query), and the last such word decides ("past_key_values.0.value").
/// Nothing when no word says a role, or when the name is that of a weight or bias.
std::optional<ParsedName> parse_name(std::string_view name);

/// True for names such as "layers.0.q_proj.weight": parameters of a model, not activations.
bool names_a_parameter(std::string_view name);

/// True for names with a word such as attention, attentions, attn, scores, probs, weights or pattern: attention matrices, when
/// the shape agrees and the name is no parameter's.
bool names_attention(std::string_view name);

/// Whether `name` is `pattern`, which may hold "{L}" once for a layer number. On a match, the layer if the pattern has one,
/// else what parse_name() would find.
struct PatternMatch {
  std::optional<Index> layer;
};
std::optional<PatternMatch> match_pattern(std::string_view pattern, std::string_view name);

}  // namespace convbasis
