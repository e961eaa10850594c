/// \file
/// A structured fit and the ladder as JSON and as tables: the same numbers twice.
#pragma once

#include "analysis/head_analysis.h"
#include "analysis/ladder.h"
#include "cli/head_input.h"

#include <nlohmann/json.hpp>

#include <string>

namespace convscope {

/// What a rung is made of, for people: "band 64, 16 columns, 16 lag vectors".
std::string rung_text(const convbasis::LadderRung& rung);

/// The rungs, as in the key `ladder` of `analyze --json`.
nlohmann::ordered_json ladder_json(const convbasis::Ladder& ladder);
void print_ladder(const convbasis::Ladder& ladder);

/// The object of `analyze --method fit --json`, with the keys of the product page; those that only Recover has are null.
template <convbasis::Real T>
nlohmann::ordered_json fit_json(const HeadInput<T>& input, const convbasis::HeadAnalysis<T>& analysis,
                                const convbasis::Ladder& ladder);

/// Prints the table of `analyze --method fit`, without the ladder.
template <convbasis::Real T>
void print_fit_table(const HeadInput<T>& input, const convbasis::HeadAnalysis<T>& analysis);

}  // namespace convscope
