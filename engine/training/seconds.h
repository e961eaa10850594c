/// \file
/// Wall-clock time of the passes. Internal to training.
#pragma once

#include <chrono>

namespace convbasis {

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace convbasis
