/// \file
/// What the program runs on: said beside every measurement and by `doctor`.
#pragma once

#include "state/calibration.h"

#include <nlohmann/json.hpp>
#include <string>

namespace convscope {

struct Machine {
  std::string program;          ///< version of Convscope
  std::string cpu;              ///< the processor's name, "unknown" where the system does not tell
  int threads = 0;              ///< worker threads that the engine uses
  std::string instruction_set;  ///< of the engine's kernels
  std::string compiler;
  std::string fft;    ///< FFT library with version
  std::string eigen;  ///< version of Eigen
};

/// `threads` as in RunContext: 0 means all.
Machine this_machine(int threads = 0);

/// What a calibration made here belongs to.
CalibratedFor calibrated_for();

nlohmann::ordered_json to_json(const Machine& machine);

}  // namespace convscope
