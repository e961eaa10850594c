/// \file
/// Measures the cost model on the machine that it runs on.
#pragma once

#include "core/cost_model.h"
#include "core/run_context.h"

namespace convbasis {

/// Every number of the model, each the least of several runs, so that what else the machine does matters little. Takes some five
/// seconds, and wants an idle machine. Changes nothing; see set_cost_model. Throws Cancelled.
CostModel calibrate(const RunContext& context = {});

}  // namespace convbasis
