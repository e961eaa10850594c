#include "cuda/device.h"

#include <algorithm>

namespace convbasis::cuda {

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // or the next call would report it again
  throw DeviceError(std::string(call) + ": " + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")",
                    error == cudaErrorMemoryAllocation);
}

void check(cufftResult result, const char* call) {
  if (result == CUFFT_SUCCESS) return;
  // cuFFT calls some failures to get memory internal errors; when it was none, one more try does no harm.
  throw DeviceError(std::string(call) + ": cuFFT result " + std::to_string(static_cast<int>(result)),
                    result == CUFFT_ALLOC_FAILED || result == CUFFT_INTERNAL_ERROR);
}

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate"); }

Event::Event() {
  // Whoever waits sleeps: a core that looks all the time is worth more than the microseconds that this takes.
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync), "cudaEventCreate");
}

void* DeviceMemory::take(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "cudaMalloc");
  return memory;
}

void* PinnedMemory::take(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes), "cudaMallocHost");
  return memory;
}

FftPlans::~FftPlans() {
  for (const Plan& plan : plans_) static_cast<void>(cufftDestroy(plan.handle));
}

cufftHandle FftPlans::find_or_make(std::int64_t length, std::int64_t batch) {
  const auto found =
      std::find_if(plans_.begin(), plans_.end(), [&](const Plan& plan) { return plan.length == length && plan.batch == batch; });
  if (found != plans_.end()) {
    plans_.splice(plans_.begin(), plans_, found);
    return plans_.front().handle;
  }
  cufftHandle handle = 0;
  check(cufftCreate(&handle), "cufftCreate");
  plans_.push_front({length, batch, handle});  // from here on it is destroyed with the others
  check(cufftSetAutoAllocation(handle, 0), "cufftSetAutoAllocation");
  long long size = length;
  std::size_t work_bytes = 0;
  try {
    check(cufftMakePlanMany64(handle, 1, &size, nullptr, 1, length, nullptr, 1, length, CUFFT_C2C, batch, &work_bytes),
          "cufftMakePlanMany64");
    check(cufftSetStream(handle, stream_), "cufftSetStream");
    stream_.wait();  // the work area may be in use
    if (work_bytes > work_area_.size()) {
      work_area_ = {};
      work_area_ = DeviceArray<std::byte>(work_bytes);
    }
  } catch (const DeviceError&) {
    static_cast<void>(cufftDestroy(handle));
    plans_.pop_front();
    throw;
  }
  if (plans_.size() > most_plans) {
    static_cast<void>(cufftDestroy(plans_.back().handle));
    plans_.pop_back();
  }
  return handle;
}

/// The largest power of four that is not beyond the batch, nor too much at once.
std::int64_t FftPlans::part_of(std::int64_t length, std::int64_t batch) {
  std::int64_t part = 1;
  while (4 * part <= batch && 4 * part * length <= most_numbers) part *= 4;
  return part;
}

void FftPlans::transform(cufftComplex* data, std::int64_t length, std::int64_t batch, int direction) {
  while (batch > 0) {
    const std::int64_t part = part_of(length, batch);
    const cufftHandle handle = find_or_make(length, part);
    // Plans have different sizes, and the area may have moved since this one was used. Some plans need none, which is null.
    check(cufftSetWorkArea(handle, work_area_.data()), "cufftSetWorkArea");
    check(cufftExecC2C(handle, data, data, direction), "cufftExecC2C");
    data += length * part;
    batch -= part;
  }
}

}  // namespace convbasis::cuda
