/// \file
/// Low rank as JSON and as a table: the same numbers twice.
#pragma once

#include "analysis/head_analysis.h"
#include "cli/head_input.h"

#include <nlohmann/json.hpp>

namespace convscope {

/// The object of `analyze --method rank --json`, with the keys of the product page; those that only Recover or a fit has are null
/// or empty.
template <convbasis::Real T>
nlohmann::ordered_json rank_json(const HeadInput<T>& input, const convbasis::HeadAnalysis<T>& analysis);

/// Prints the table of `analyze --method rank`.
template <convbasis::Real T>
void print_rank_table(const HeadInput<T>& input, const convbasis::HeadAnalysis<T>& analysis);

}  // namespace convscope
