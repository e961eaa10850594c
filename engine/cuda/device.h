/// \file
/// Device memory, streams and FFT plans as types, inside the GPU module. Whatever fails throws DeviceError with the name of the
/// call; whatever was made is given back.
#pragma once

#include <cuda_runtime.h>
#include <cufft.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
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

/// An array on the device that holds what `host` does. Waits for the copy.
template <class T>
DeviceArray<T> on_device(std::span<const T> host, const Stream& stream) {
  DeviceArray<T> array(host.size());
  copy_to_device(host.data(), host.size(), array.data(), stream);
  stream.wait();
  return array;
}
template <class T>
DeviceArray<T> on_device(const std::vector<T>& host, const Stream& stream) {
  return on_device(std::span<const T>(host), stream);
}

/// Complex FFTs of many contiguous arrays at once, in place, not normalised. The plans of one stream, of which the last used ones
/// are kept, share one work area.
class FftPlans {
 public:
  explicit FftPlans(const Stream& stream) : stream_(stream) {}
  ~FftPlans();
  FftPlans(const FftPlans&) = delete;
  FftPlans& operator=(const FftPlans&) = delete;

  /// `batch` transforms of `length` numbers each. direction: CUFFT_FORWARD or CUFFT_INVERSE.
  void transform(cufftComplex* data, std::int64_t length, std::int64_t batch, int direction);

 private:
  static constexpr std::size_t most_plans = 8;
  struct Plan {
    std::int64_t length, batch;
    cufftHandle handle;
  };
  cufftHandle find_or_make(std::int64_t length, std::int64_t batch);

  const Stream& stream_;
  std::list<Plan> plans_;  // the last used first
  DeviceArray<std::byte> work_area_;
};

}  // namespace convbasis::cuda
