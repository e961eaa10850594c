#include "cuda_host/runtime.h"

#include "cuda_host/plans.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <utility>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace cuda_host {

/// Work in the order in which it was put there; the first `done` pieces of all there ever were are done.
struct Stream {
  std::deque<std::function<void()>> waiting;
  std::size_t done = 0;
};

/// What was on a stream when the event was recorded.
struct Event {
  Stream* stream = nullptr;
  std::size_t upto = 0;
};

namespace {

constexpr std::size_t alignment = 256;  // as cudaMalloc gives
constexpr unsigned char guard = 0xFF;   // NaN, too, for whoever reads it
constexpr unsigned char poison = 0xFF;  // NaN

struct Allocation {
  std::size_t bytes = 0;
  bool device = false;
};

struct Runtime {
  FakeMachine machine;
  Streams streams_mode = Streams::eager;
  long fail_at = 0, calls = 0;
  std::string failed;
  cudaError_t last_error = cudaSuccess;
  std::map<unsigned char*, Allocation> memory;  // by the first byte of the user's part
  std::size_t device_bytes = 0, peak_bytes = 0;
  std::set<Stream*> streams;
  std::set<Event*> events;
  std::map<std::string, long> made;
};

Runtime& runtime() {
  static Runtime instance;
  return instance;
}

using Lock = std::scoped_lock<std::recursive_mutex>;

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) runtime().last_error = error;
  return error;
}

/// Whether this call is the one that a test wants to fail.
bool must_fail(const char* call) {
  Runtime& self = runtime();
  ++self.made[call];
  if (++self.calls != self.fail_at) return false;
  self.failed = call;
  return true;
}

[[noreturn]] void fatal(const char* what) {
  std::fprintf(stderr, "device memory: %s\n", what);
  std::abort();
}

void run_until(Stream& stream, std::size_t upto) {
  while (stream.done < upto && !stream.waiting.empty()) {
    const std::function<void()> work = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    work();
    ++stream.done;
  }
}

std::size_t end_of(const Stream& stream) { return stream.done + stream.waiting.size(); }
void drain(Stream& stream) { run_until(stream, end_of(stream)); }
void drain_all() {
  for (Stream* stream : runtime().streams) drain(*stream);
}

cudaError_t allocate(void** memory, std::size_t bytes, bool device) {
  Runtime& self = runtime();
  if (memory == nullptr) return cudaErrorInvalidValue;
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (device && self.device_bytes + bytes > self.machine.memory) return cudaErrorMemoryAllocation;
  auto* first = static_cast<unsigned char*>(::operator new (bytes + 2 * alignment, std::align_val_t{alignment}, std::nothrow));
  if (first == nullptr) return cudaErrorMemoryAllocation;
  std::fill_n(first, alignment, guard);
  std::fill_n(first + alignment, bytes, poison);
  std::fill_n(first + alignment + bytes, alignment, guard);
#ifdef __SANITIZE_ADDRESS__
  ASAN_POISON_MEMORY_REGION(first, alignment);
  ASAN_POISON_MEMORY_REGION(first + alignment + bytes, alignment);
#endif
  self.memory[first + alignment] = {bytes, device};
  if (device) self.peak_bytes = std::max(self.peak_bytes, self.device_bytes += bytes);
  *memory = first + alignment;
  return cudaSuccess;
}

cudaError_t release(void* memory, bool device) {
  Runtime& self = runtime();
  if (memory == nullptr) return cudaSuccess;
  const auto found = self.memory.find(static_cast<unsigned char*>(memory));
  if (found == self.memory.end() || found->second.device != device) return cudaErrorInvalidValue;
  if (device) drain_all();  // cudaFree waits for the device
  unsigned char* first = found->first - alignment;
  const std::size_t bytes = found->second.bytes;
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(first, bytes + 2 * alignment);
#endif
  const auto intact = [](const unsigned char* from) {
    return std::all_of(from, from + alignment, [](unsigned char b) { return b == guard; });
  };
  if (!intact(first) || !intact(found->first + bytes)) fatal("an allocation was written outside of its bounds");
  if (device) self.device_bytes -= bytes;
  self.memory.erase(found);
  ::operator delete (first, std::align_val_t{alignment});
  return cudaSuccess;
}

/// Whether [memory, memory + bytes) lies inside one allocation on the device.
bool on_device(const void* memory, std::size_t bytes) {
  const auto* first = static_cast<const unsigned char*>(memory);
  auto after = runtime().memory.upper_bound(const_cast<unsigned char*>(first));
  if (after == runtime().memory.begin()) return false;
  --after;
  return after->second.device && first + bytes <= after->first + after->second.bytes;
}

bool is_stream(cudaStream_t stream) { return runtime().streams.contains(stream); }
bool is_event(cudaEvent_t event) { return runtime().events.contains(event); }

/// Whether both ends of a copy are where its kind says, for rows of `width` bytes.
bool fits(const void* target, std::size_t target_pitch, const void* source, std::size_t source_pitch, std::size_t width,
          std::size_t height, cudaMemcpyKind kind) {
  const std::size_t target_bytes = target_pitch * (height - 1) + width;
  const std::size_t source_bytes = source_pitch * (height - 1) + width;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return on_device(target, target_bytes) == to_device && on_device(source, source_bytes) == from_device;
}

}  // namespace

std::recursive_mutex& runtime_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

void set_machine(const FakeMachine& machine) {
  const Lock lock(runtime_mutex());
  runtime().machine = machine;
}
void set_streams(Streams streams) {
  const Lock lock(runtime_mutex());
  runtime().streams_mode = streams;
}

void fail_call(long number) {
  runtime().fail_at = number;
  runtime().calls = 0;
  runtime().failed.clear();
  runtime().last_error = cudaSuccess;
}
long calls_made() {
  const Lock lock(runtime_mutex());
  return runtime().calls;
}
std::string failed_call() {
  const Lock lock(runtime_mutex());
  return runtime().failed;
}

Leftovers leftovers() {
  const Lock lock(runtime_mutex());
  const Runtime& self = runtime();
  Leftovers left{self.memory.size(), 0, self.streams.size(), self.events.size(), live_plans()};
  for (const auto& [first, allocation] : self.memory) left.bytes += allocation.bytes;
  return left;
}

std::size_t take_peak_bytes() {
  const Lock lock(runtime_mutex());
  return std::exchange(runtime().peak_bytes, runtime().device_bytes);
}
std::map<std::string, long> take_calls() {
  const Lock lock(runtime_mutex());
  return std::exchange(runtime().made, {});
}

bool injected_failure(const char* call) {
  const Lock lock(runtime_mutex());
  return must_fail(call);
}

cudaError_t enqueue(const char* call, cudaStream_t stream, std::function<void()> work) {
  const Lock lock(runtime_mutex());
  if (must_fail(call)) return remember(cudaErrorLaunchFailure);
  if (!is_stream(stream)) return remember(cudaErrorInvalidResourceHandle);
  stream->waiting.push_back(std::move(work));
  if (runtime().streams_mode == Streams::eager) drain(*stream);
  return cudaSuccess;
}

}  // namespace cuda_host

using namespace cuda_host;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorUnknown:
      break;
  }
  return "cudaErrorUnknown";
}

const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaGetLastError() {
  const Lock lock(runtime_mutex());
  return std::exchange(runtime().last_error, cudaSuccess);
}

cudaError_t cudaGetDeviceCount(int* count) {
  const Lock lock(runtime_mutex());
  *count = 0;
  if (must_fail("cudaGetDeviceCount")) return remember(cudaErrorUnknown);
  if (!runtime().machine.driver) return remember(cudaErrorInsufficientDriver);
  if (runtime().machine.devices == 0) return remember(cudaErrorNoDevice);
  *count = runtime().machine.devices;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const Lock lock(runtime_mutex());
  if (must_fail("cudaGetDeviceProperties")) return remember(cudaErrorUnknown);
  if (device < 0 || device >= runtime().machine.devices) return remember(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "kernels on the CPU");
  properties->totalGlobalMem = runtime().machine.memory;
  properties->multiProcessorCount = 1;
  properties->major = runtime().machine.major;
  properties->minor = runtime().machine.minor;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  const Lock lock(runtime_mutex());
  if (must_fail("cudaSetDevice")) return remember(cudaErrorUnknown);
  return device >= 0 && device < runtime().machine.devices ? cudaSuccess : remember(cudaErrorInvalidDevice);
}

cudaError_t cudaDriverGetVersion(int* version) {
  const Lock lock(runtime_mutex());
  *version = runtime().machine.driver ? 13000 : 0;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  const Lock lock(runtime_mutex());
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Lock lock(runtime_mutex());
  if (must_fail("cudaMemGetInfo")) return remember(cudaErrorUnknown);
  *total = runtime().machine.memory;
  *free = *total - runtime().device_bytes;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const Lock lock(runtime_mutex());
  if (must_fail("cudaMalloc")) return remember(cudaErrorMemoryAllocation);
  return remember(allocate(memory, bytes, true));
}

cudaError_t cudaFree(void* memory) {
  const Lock lock(runtime_mutex());
  return remember(release(memory, true));
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  const Lock lock(runtime_mutex());
  if (must_fail("cudaMallocHost")) return remember(cudaErrorMemoryAllocation);
  return remember(allocate(memory, bytes, false));
}

cudaError_t cudaFreeHost(void* memory) {
  const Lock lock(runtime_mutex());
  return remember(release(memory, false));
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const Lock lock(runtime_mutex());
  return bytes == 0 ? cudaSuccess : cudaMemcpy2DAsync(target, bytes, source, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void* target, std::size_t target_pitch, const void* source, std::size_t source_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  const Lock lock(runtime_mutex());
  if (width == 0 || height == 0) return cudaSuccess;
  if (width > target_pitch || width > source_pitch || !fits(target, target_pitch, source, source_pitch, width, height, kind)) {
    return remember(cudaErrorInvalidValue);
  }
  return enqueue("cudaMemcpyAsync", stream, [=] {
    for (std::size_t row = 0; row < height; ++row) {
      std::memcpy(static_cast<unsigned char*>(target) + row * target_pitch,
                  static_cast<const unsigned char*>(source) + row * source_pitch, width);
    }
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  const Lock lock(runtime_mutex());
  if (bytes == 0) return cudaSuccess;
  if (!on_device(memory, bytes)) return remember(cudaErrorInvalidValue);
  return enqueue("cudaMemsetAsync", stream, [=] { std::memset(memory, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Lock lock(runtime_mutex());
  *stream = nullptr;
  if (must_fail("cudaStreamCreate")) return remember(cudaErrorUnknown);
  *stream = *runtime().streams.insert(new Stream).first;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(runtime_mutex());
  if (!is_stream(stream)) return remember(cudaErrorInvalidResourceHandle);
  drain(*stream);
  runtime().streams.erase(stream);
  for (Event* event : runtime().events) {
    if (event->stream == stream) event->stream = nullptr;
  }
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(runtime_mutex());
  if (!is_stream(stream)) return remember(cudaErrorInvalidResourceHandle);
  drain(*stream);
  return must_fail("cudaStreamSynchronize") ? remember(cudaErrorLaunchFailure) : cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Lock lock(runtime_mutex());
  if (must_fail("cudaStreamWaitEvent")) return remember(cudaErrorUnknown);
  if (!is_stream(stream) || !is_event(event)) return remember(cudaErrorInvalidResourceHandle);
  // The event may be recorded anew before this is done: what counts is what it stands for now.
  stream->waiting.push_back([at = *event] {
    if (at.stream != nullptr && runtime().streams.contains(at.stream)) run_until(*at.stream, at.upto);
  });
  if (runtime().streams_mode == Streams::eager) drain(*stream);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const Lock lock(runtime_mutex());
  *event = nullptr;
  if (must_fail("cudaEventCreate")) return remember(cudaErrorUnknown);
  *event = *runtime().events.insert(new Event).first;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock(runtime_mutex());
  if (!is_event(event)) return remember(cudaErrorInvalidResourceHandle);
  runtime().events.erase(event);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Lock lock(runtime_mutex());
  if (must_fail("cudaEventRecord")) return remember(cudaErrorUnknown);
  if (!is_event(event) || !is_stream(stream)) return remember(cudaErrorInvalidResourceHandle);
  *event = {stream, end_of(*stream)};
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(runtime_mutex());
  if (!is_event(event)) return remember(cudaErrorInvalidResourceHandle);
  if (event->stream != nullptr) run_until(*event->stream, event->upto);
  return must_fail("cudaEventSynchronize") ? remember(cudaErrorLaunchFailure) : cudaSuccess;
}
