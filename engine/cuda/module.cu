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

struct ConvbasisCudaPlan {
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

/// Runs `work` on the call's device and makes a result of what it throws.
template <class Work>
int guarded(const ConvbasisCudaCall& call, const Work& work) noexcept {
  try {
    check(cudaSetDevice(call.device), "cudaSetDevice");
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
      std::size_t free = 0, total = 0;
      check(cudaSetDevice(d), "cudaSetDevice");
      check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
      found[d].memory = total;
      found[d].free = free;
    }
    return CONVBASIS_CUDA_DONE;
  } catch (const std::exception& error) {
    say(*call, error.what());
    return CONVBASIS_CUDA_FAILED;
  }
}

int run_exact_attention(const ConvbasisCudaHeads* heads, float* const* output, int64_t output_stride, double* const* lse,
                        const ConvbasisCudaCall* call) {
  return guarded(*call, [&] { exact_attention(*heads, {output, output_stride, lse}, poll_of(*call)); });
}

int run_exact_backward(const ConvbasisCudaHeads* heads, const float* const* output, const double* const* lse,
                       const float* const* output_gradient, int64_t output_stride, float* const* query, float* const* key,
                       float* const* value, const ConvbasisCudaCall* call) {
  return guarded(*call, [&] {
    exact_backward(*heads, {output, lse, output_gradient, output_stride}, {query, key, value}, poll_of(*call));
  });
}

int run_score_columns(const ConvbasisCudaHeads* heads, const int64_t* starts, int64_t count, float* const* lags,
                      const ConvbasisCudaCall* call) {
  return guarded(*call, [&] { score_columns(*heads, starts, count, lags, poll_of(*call)); });
}

int create_plan(const ConvbasisCudaWeights* weights, ConvbasisCudaPlan** plan, const ConvbasisCudaCall* call) {
  *plan = nullptr;
  return guarded(*call, [&] { *plan = new ConvbasisCudaPlan{ConvPlan(*weights)}; });
}

int apply(ConvbasisCudaPlan* plan, const float* value, int64_t value_stride, int64_t columns, int transpose, float* output,
          int64_t output_stride, const ConvbasisCudaCall* call) {
  return guarded(*call, [&] {
    plan->plan.apply({value, value_stride, columns}, transpose != 0, output, output_stride, poll_of(*call));
  });
}

void destroy_plan(ConvbasisCudaPlan* plan) { delete plan; }

constexpr ConvbasisCudaTable table{
    CONVBASIS_CUDA_VERSION, &devices, &run_exact_attention, &run_exact_backward, &run_score_columns,
    &create_plan,           &apply,   &destroy_plan};

}  // namespace
}  // namespace convbasis::cuda

extern "C" __attribute__((visibility("default"))) const ConvbasisCudaTable* convbasis_cuda_table(int version) {
  return version == CONVBASIS_CUDA_VERSION ? &convbasis::cuda::table : nullptr;
}
