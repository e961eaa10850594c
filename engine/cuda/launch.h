/// \file
/// The seam between kernels and what runs them: nvcc for a GPU, or an ordinary compiler for the CPU, where tests run the same
/// text (tests/cuda_host). The only place with a launch. Kernels use whole warps and full masks, reach every barrier and warp
/// operation with all threads, and have no atomics on floating numbers.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

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

/// Memory whose size the launch gave.
__device__ inline float* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ float memory[];
  return memory;
#else
  return static_cast<float*>(::cuda_host::dynamic_shared());
#endif
}

/// Starts the kernel on the stream. `name` is for errors. More than 48 KiB of dynamic shared memory are asked for first.
template <class... Parameters, class... Arguments>
cudaError_t launch([[maybe_unused]] const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   std::size_t shared_bytes, cudaStream_t stream, Arguments... arguments) {
  constexpr std::size_t unasked = std::size_t{48} << 10;
  if (shared_bytes > unasked) {
    const cudaError_t set =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (set != cudaSuccess) return set;
  }
#ifdef __CUDACC__
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
  return cudaGetLastError();
#else
  if (shared_bytes > ::cuda_host::most_dynamic_shared(reinterpret_cast<const void*>(kernel))) return cudaErrorInvalidValue;
  return ::cuda_host::enqueue(name, stream,
                              [=] { ::cuda_host::run_grid(grid, block, shared_bytes, [=] { kernel(arguments...); }); });
#endif
}

}  // namespace convbasis::cuda
