/// \file
/// Between the doubles of the CUDA runtime and of cuFFT.
#pragma once

#include <cstddef>
#include <mutex>

namespace cuda_host {

/// Held during every call to either: they may come from several threads, and work on streams is done one piece at a time.
std::recursive_mutex& runtime_mutex();
/// Counts a call that can fail; true if a test wants this one to.
bool injected_failure(const char* call);
/// FFT plans that were made and not destroyed.
std::size_t live_plans();

}  // namespace cuda_host
