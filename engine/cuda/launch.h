/// \file
/// The seam between kernels and what runs them: nvcc for a GPU, or an ordinary compiler for the CPU, where tests run the same
/// text (tests/cuda_host). The only place with a launch. Kernels use whole warps and full masks, reach every barrier and warp
/// operation with all threads, and have no atomics on floating numbers.
#pragma once

#include <cuda_runtime.h>

/// `type name[count]` in shared memory of the block, aligned for tensor cores; not initialised.
#ifdef __CUDACC__
#define CONVBASIS_SHARED(type, name, count) __shared__ __align__(32) type name[count]
#else
#define CONVBASIS_SHARED(type, name, count) \
  static const char name##_site = 0;        \
  type* const name = static_cast<type*>(::cuda_host::shared_array(&name##_site, sizeof(type) * (count)))
#endif

/// Before a loop: nvcc does not unroll it.
#ifdef __CUDACC__
#define CONVBASIS_ROLLED _Pragma("unroll 1")
#else
#define CONVBASIS_ROLLED
#endif

namespace convbasis::cuda {

/// Starts the kernel on the stream. `name` is for errors.
template <class... Parameters, class... Arguments>
cudaError_t launch([[maybe_unused]] const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream,
                   Arguments... arguments) {
#ifdef __CUDACC__
  kernel<<<grid, block, 0, stream>>>(arguments...);
  return cudaGetLastError();
#else
  return ::cuda_host::enqueue(name, stream, [=] { ::cuda_host::run_grid(grid, block, [=] { kernel(arguments...); }); });
#endif
}

}  // namespace convbasis::cuda
