/// \file
/// The verbs of the GPU module at sizes people use, beside the CPU's: for convscope_gpu_check.
#pragma once

#include "cuda/gpu.h"

#include <span>

namespace convbasis {

/// Prints a Markdown table: for each n, at d = d_v = 64 and k = 16, seconds of each verb on GPU 0 (the best of three after one to
/// warm up, copies and allocations included) and on all threads of the CPU (one run), and how far the results are apart. False if
/// that is ever too far.
bool print_times(const Gpu& gpu, std::span<const Index> sizes);

}  // namespace convbasis
