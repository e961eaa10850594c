/// \file
/// How a long computation is run: threads, cancellation, progress and a GPU. Passed by const reference and cheap to copy.
#pragma once

#include "core/errors.h"

#include <functional>
#include <stop_token>
#include <string_view>

namespace convbasis {

class Accelerator;

/// Called with a stage name ("exact attention") and the done fraction of that stage in [0, 1].
/// May be called from any worker thread, never from two at the same time within one computation.
using ProgressCallback = std::function<void(std::string_view stage, double fraction)>;

struct RunContext {
  int threads = 0;                 ///< worker threads; 0 means all that the machine offers
  std::stop_token stop = {};       ///< polled between tiles, at least every few milliseconds of work
  ProgressCallback progress = {};  ///< optional
  /// Does what it can of attention instead of the CPU (attention/accelerator.h); null: the CPU does all. Must outlive the run.
  const Accelerator* accelerator = nullptr;

  /// Throws Cancelled once a stop has been requested.
  void check() const {
    if (stop.stop_requested()) throw Cancelled();
  }
  void report(std::string_view stage, double fraction) const {
    if (progress) progress(stage, fraction);
  }
};

}  // namespace convbasis
