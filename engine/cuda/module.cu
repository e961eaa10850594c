/// \file
/// The table of the GPU module: exceptions end here.

#include "cuda/conv_plan.h"
#include "cuda/device.h"
#include "cuda/exact.h"
#include "cuda/module_table.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>

struct ConvbasisCudaPool {
  int device;
  convbasis::cuda::WorkspacePool workspaces;
};

struct ConvbasisCudaPlan {
  int device;
  convbasis::cuda::ConvPlan plan;
};

namespace convbasis::cuda {
namespace {

struct Stopped : std::exception {};

Poll poll_of(const ConvbasisCudaCall& call) {
  return [&call] {
    if (call.stopped != nullptr && call.stopped(call.state) != 0) throw Stopped();
  };
}

void say(const ConvbasisCudaCall& call, const char* text) {
  if (call.text != nullptr && call.text_size > 0) std::snprintf(call.text, call.text_size, "%s", text);
}

/// A result of what `work` throws.
template <class Work>
int guarded(const ConvbasisCudaCall& call, const Work& work) noexcept {
  try {
    work();
    return CONVBASIS_CUDA_DONE;
  } catch (const Stopped&) {
    say(call, "stopped");
    return CONVBASIS_CUDA_CANCELLED;
  } catch (const DeviceError& error) {
    say(call, error.what());
    return error.out_of_memory() ? CONVBASIS_CUDA_OUT_OF_MEMORY : CONVBASIS_CUDA_FAILED;
  } catch (const std::exception& error) {
    say(call, error.what());
    return CONVBASIS_CUDA_FAILED;
  }
}

/// Runs work(workspace) with one of the pool's; when memory runs out once more, with nothing kept from calls before.
template <class Work>
int with_workspace(const ConvbasisCudaCall& call, const Work& work) noexcept {
  const auto once = [&] {
    check(cudaSetDevice(call.pool->device), "cudaSetDevice");
    WorkspacePool::Lease lease(call.pool->workspaces);
    try {
      work(*lease);
    } catch (const Stopped&) {
      lease.keep();
      throw;
    }
    lease.keep();
  };
  const int result = guarded(call, once);
  if (result != CONVBASIS_CUDA_OUT_OF_MEMORY) return result;
  call.pool->workspaces.release_idle();
  return guarded(call, once);
}

/// Asks nothing of a device that it must be at work for: that takes memory of each, and one that is busy would refuse.
int devices(ConvbasisCudaDevice* found, int capacity, int* count, const ConvbasisCudaCall* call) {
  *count = 0;
  try {
    check(cudaGetDeviceCount(count), "cudaGetDeviceCount");
    for (int d = 0; d < std::min(*count, capacity); ++d) {
      cudaDeviceProp properties;
      check(cudaGetDeviceProperties(&properties, d), "cudaGetDeviceProperties");
      std::snprintf(found[d].name, sizeof found[d].name, "%s", properties.name);
      found[d].major = properties.major;
      found[d].minor = properties.minor;
      found[d].memory = properties.totalGlobalMem;
    }
    return CONVBASIS_CUDA_DONE;
  } catch (const std::exception& error) {
    say(*call, error.what());
    return CONVBASIS_CUDA_FAILED;
  }
}

int create_pool(int device, ConvbasisCudaPool** pool, const ConvbasisCudaCall* call) {
  *pool = nullptr;
  return guarded(*call, [&] {
    check(cudaSetDevice(device), "cudaSetDevice");
    *pool = new ConvbasisCudaPool{device, {}};
  });
}

void release_memory(ConvbasisCudaPool* pool) {
  static_cast<void>(cudaSetDevice(pool->device));
  pool->workspaces.release_idle();
}

void destroy_pool(ConvbasisCudaPool* pool) {
  if (pool == nullptr) return;
  static_cast<void>(cudaSetDevice(pool->device));
  delete pool;
}

int run_exact_attention(const ConvbasisCudaHeads* heads, float* const* output, int64_t output_stride, double* const* lse,
                        const ConvbasisCudaCall* call) {
  return with_workspace(*call, [&](Workspace& workspace) {
    exact_attention(*heads, {output, output_stride, lse}, workspace, poll_of(*call));
  });
}

int run_exact_backward(const ConvbasisCudaHeads* heads, const float* const* output, const double* const* lse,
                       const float* const* output_gradient, int64_t output_stride, float* const* query, float* const* key,
                       float* const* value, const ConvbasisCudaCall* call) {
  return with_workspace(*call, [&](Workspace& workspace) {
    exact_backward(*heads, {output, lse, output_gradient, output_stride}, {query, key, value}, workspace, poll_of(*call));
  });
}

int run_score_columns(const ConvbasisCudaHeads* heads, const int64_t* starts, int64_t count, float* const* lags,
                      const ConvbasisCudaCall* call) {
  return with_workspace(*call,
                        [&](Workspace& workspace) { score_columns(*heads, starts, count, lags, workspace, poll_of(*call)); });
}

int create_plan(const ConvbasisCudaWeights* weights, ConvbasisCudaPlan** plan, const ConvbasisCudaCall* call) {
  *plan = nullptr;
  return with_workspace(*call, [&](Workspace& workspace) {
    *plan = new ConvbasisCudaPlan{call->pool->device, ConvPlan(*weights, workspace)};
  });
}

int apply(const ConvbasisCudaPlan* plan, const void* value, int half, int64_t value_stride, int64_t columns, int transpose,
          float* output, int64_t output_stride, const ConvbasisCudaCall* call) {
  return with_workspace(*call, [&](Workspace& workspace) {
    const HostRows rows{value, value_stride, columns, half != 0};
    plan->plan.apply(rows, transpose != 0, output, output_stride, workspace, poll_of(*call));
  });
}

void destroy_plan(ConvbasisCudaPlan* plan) {
  if (plan == nullptr) return;
  static_cast<void>(cudaSetDevice(plan->device));
  delete plan;
}

constexpr ConvbasisCudaTable table{
    CONVBASIS_CUDA_VERSION, &devices,           &create_pool, &release_memory, &destroy_pool, &run_exact_attention,
    &run_exact_backward,    &run_score_columns, &create_plan, &apply,          &destroy_plan};

}  // namespace
}  // namespace convbasis::cuda

extern "C" __attribute__((visibility("default"))) const ConvbasisCudaTable* convbasis_cuda_table(int version) {
  return version == CONVBASIS_CUDA_VERSION ? &convbasis::cuda::table : nullptr;
}
