/// \file
/// Halves to floats on the device, for kernels that have no use for halves.
#pragma once

#include "cuda/half.h"
#include "cuda/launch.h"

namespace convbasis::cuda {

/// target[i][c] = source[i][c], of rows that are `padded` and `width` numbers long.
__global__ void widen_kernel(const Half* source, int rows, int padded, int width, float* target) {
  const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= static_cast<long long>(rows) * width) return;
  target[at] = __half2float(source[at / width * padded + at % width]);
}

inline cudaError_t launch_widen(const Half* source, int rows, int padded, int width, float* target, cudaStream_t stream) {
  constexpr long long threads = 256;
  const long long numbers = static_cast<long long>(rows) * width;
  return launch("widen", &widen_kernel, dim3(static_cast<unsigned>((numbers + threads - 1) / threads)),
                dim3(static_cast<unsigned>(threads)), stream, source, rows, padded, width, target);
}

}  // namespace convbasis::cuda
