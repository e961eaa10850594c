/// \file
/// A streamed analysis as JSON and as a table. The keys that `analyze --json` always prints are there, null where the number
/// does not exist; what only a streamed analysis has stands under "streamed".
#pragma once

#include "analysis/streamed_analysis.h"

#include <nlohmann/json.hpp>

#include <string>

namespace convscope {

nlohmann::ordered_json to_json(const std::string& file, const convbasis::StreamedAnalysis& analysis, const char* precision);

/// The part of the table that is known before the work: shapes, blocks, memory.
void print_plan(const std::string& file, const convbasis::StreamedPlan& plan);
/// The rest of it.
void print_result(const convbasis::StreamedAnalysis& analysis, const char* precision);

}  // namespace convscope
