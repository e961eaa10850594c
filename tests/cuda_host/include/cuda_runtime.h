/// \file
/// The part of the CUDA runtime that the engine uses, on the CPU: stands in for the real header when the module is built for
/// tests. Names, argument orders and error numbers are CUDA's; what is not here, the module does not use.
#pragma once

#include "cuda_host/grid.h"

#include <cstddef>
#include <cstring>
#include <functional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __restrict__ __restrict

using dim3 = cuda_host::Dim3;
#define threadIdx (::cuda_host::thread_position())
#define blockIdx (::cuda_host::block_position())
#define blockDim (::cuda_host::block_size())
#define gridDim (::cuda_host::grid_size())

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorLaunchFailure = 719,
  cudaErrorUnknown = 999
};
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventBlockingSync = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int multiProcessorCount;
  int major, minor;
};

namespace cuda_host {
struct Stream;
struct Event;
}  // namespace cuda_host
using cudaStream_t = cuda_host::Stream*;
using cudaEvent_t = cuda_host::Event*;

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocHost(void** memory, std::size_t bytes);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* target, std::size_t target_pitch, const void* source, std::size_t source_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);

namespace cuda_host {

/// Puts work on a stream; what a launch does, and the cuFFT double too. Fails as an injected failure says.
cudaError_t enqueue(const char* call, cudaStream_t stream, std::function<void()> work);

}  // namespace cuda_host

// Inside kernels. The line of the call tells one barrier from another.

inline void __syncthreads(std::source_location where = std::source_location::current()) { cuda_host::synchronise_block(where); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, std::source_location where = std::source_location::current()) {
  cuda_host::synchronise_warp(mask, where);
}

namespace cuda_host {
template <class T>
T shuffle(unsigned mask, T value, unsigned source, std::source_location where) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  T result;
  exchange(mask, &value, sizeof(T), source, &result, where);
  return result;
}
}  // namespace cuda_host

template <class T>
T __shfl_sync(unsigned mask, T value, int source, std::source_location where = std::source_location::current()) {
  return cuda_host::shuffle(mask, value, static_cast<unsigned>(source), where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, std::source_location where = std::source_location::current()) {
  return cuda_host::shuffle(mask, value, cuda_host::lane() ^ static_cast<unsigned>(with), where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, std::source_location where = std::source_location::current()) {
  const unsigned lane = cuda_host::lane();
  return cuda_host::shuffle(mask, value, lane + by < 32 ? lane + by : lane, where);
}
inline unsigned __ballot_sync(unsigned mask, bool predicate, std::source_location where = std::source_location::current()) {
  return cuda_host::ballot(mask, predicate, where);
}
inline int __any_sync(unsigned mask, bool predicate, std::source_location where = std::source_location::current()) {
  return cuda_host::ballot(mask, predicate, where) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, bool predicate, std::source_location where = std::source_location::current()) {
  return cuda_host::ballot(mask, predicate, where) == 0xFFFFFFFFU ? 1 : 0;
}

inline int max(int a, int b) { return a < b ? b : a; }

/// Of whole numbers only: sums of floating numbers by atomics depend on the order, so the engine has none.
template <class T>
requires std::is_integral_v<T> T atomicAdd(T* address, T value) {
  return std::exchange(*address, static_cast<T>(*address + value));
}
