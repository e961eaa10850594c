/// \file
/// Between the doubles of the CUDA runtime and of cuFFT.
#pragma once

#include <cstddef>

namespace cuda_host {

/// Counts a call that can fail; true if a test wants this one to.
bool injected_failure(const char* call);
/// FFT plans that were made and not destroyed.
std::size_t live_plans();

}  // namespace cuda_host
