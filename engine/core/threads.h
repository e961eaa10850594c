/// \file
/// The engine's only way to use several threads: a loop whose items are handed out dynamically.
#pragma once

#include "core/run_context.h"
#include "core/types.h"

#include <functional>
#include <string_view>

namespace convbasis {

/// The number of threads that `context` asks for, at least 1.
int thread_count(const RunContext& context);

/// Calls `body(item, worker)` once for every item in [0, count), in no fixed order, from up to thread_count(context)
/// threads; `worker` is below that number and is what per-thread scratch is indexed by. Items are handed out one by one,
/// in ascending order, so put the dearest first. The stop token is polled before every item.
/// The first exception thrown by `body` ends the loop and is rethrown here; Cancelled is thrown after a stop request.
/// The helpers are shared by the whole process and kept between loops, so a loop is cheap to start; while other loops keep
/// them busy it runs on fewer threads. Loops may nest and may run in several threads at once.
/// A `stage` name that is not empty is reported as progress, one step an item.
void parallel_for(const RunContext& context, Index count, const std::function<void(Index item, int worker)>& body,
                  std::string_view stage = {});

}  // namespace convbasis
