/// \file
/// Device memory, streams, events and FFT plans as types, inside the GPU module. Whatever fails throws DeviceError with the name
/// of the call; whatever was made is given back.
#pragma once

#include <cuda_runtime.h>
#include <cufft.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace convbasis::cuda {

class DeviceError : public std::runtime_error {
 public:
  DeviceError(const std::string& text, bool out_of_memory) : std::runtime_error(text), out_of_memory_(out_of_memory) {}
  bool out_of_memory() const { return out_of_memory_; }

 private:
  bool out_of_memory_;
};

/// Throws unless the call succeeded.
void check(cudaError_t error, const char* call);
void check(cufftResult result, const char* call);

/// Waits for its work when it goes away, so that what it works on may go next.
class Stream {
 public:
  Stream();
  ~Stream() {
    static_cast<void>(cudaStreamSynchronize(stream_));
    static_cast<void>(cudaStreamDestroy(stream_));
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }  // NOLINT(google-explicit-constructor): it is what it wraps
  /// Waits for all work on it.
  void wait() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// A point in a stream's work. One that was never recorded has been passed.
class Event {
 public:
  Event();
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  /// Behind all work that is on the stream now.
  void record(const Stream& stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  /// What is put on the stream from now on is done after the event.
  void hold(const Stream& stream) const { check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent"); }
  /// Waits for it on the calling thread.
  void wait() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }

 private:
  cudaEvent_t event_ = nullptr;
};

struct DeviceMemory {
  static void* take(std::size_t bytes);
  static void give_back(void* memory) { static_cast<void>(cudaFree(memory)); }
};
/// Of the host, which a device can copy from and to while both do other work.
struct PinnedMemory {
  static void* take(std::size_t bytes);
  static void give_back(void* memory) { static_cast<void>(cudaFreeHost(memory)); }
};

/// An array that is not initialised.
template <class T, class Memory>
class Array {
 public:
  Array() = default;
  explicit Array(std::size_t size) : data_(size == 0 ? nullptr : static_cast<T*>(Memory::take(size * sizeof(T)))), size_(size) {}
  Array(Array&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Array& operator=(Array&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Array() {
    if (data_ != nullptr) Memory::give_back(data_);
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};
template <class T>
using DeviceArray = Array<T, DeviceMemory>;
template <class T>
using PinnedArray = Array<T, PinnedMemory>;

/// Copies that the stream does in its turn; both sides stay until it has.
template <class T>
void copy_to_device(const T* source, std::size_t count, T* target, cudaStream_t stream) {
  check(cudaMemcpyAsync(target, source, count * sizeof(T), cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
}
template <class T>
void copy_to_host(const T* source, std::size_t count, T* target, cudaStream_t stream) {
  check(cudaMemcpyAsync(target, source, count * sizeof(T), cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
}

/// Complex FFTs of many contiguous arrays at once, in place, not normalised. The plans of one stream, of which the last used ones
/// are kept, share one work area. A batch is cut into powers of four, so that few plans serve batches of all sizes.
class FftPlans {
 public:
  explicit FftPlans(const Stream& stream) : stream_(stream) {}
  ~FftPlans();
  FftPlans(const FftPlans&) = delete;
  FftPlans& operator=(const FftPlans&) = delete;

  /// `batch` transforms of `length` numbers each. direction: CUFFT_FORWARD or CUFFT_INVERSE.
  void transform(cufftComplex* data, std::int64_t length, std::int64_t batch, int direction);

 private:
  static constexpr std::size_t most_plans = 16;
  static constexpr std::int64_t most_numbers = std::int64_t{1} << 22;  // that one plan transforms: 32 MB
  struct Plan {
    std::int64_t length, batch;
    cufftHandle handle;
  };
  cufftHandle find_or_make(std::int64_t length, std::int64_t batch);
  static std::int64_t part_of(std::int64_t length, std::int64_t batch);

  const Stream& stream_;
  std::list<Plan> plans_;  // the last used first
  DeviceArray<std::byte> work_area_;
};

}  // namespace convbasis::cuda
