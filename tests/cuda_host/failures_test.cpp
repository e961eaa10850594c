// Every call to the CUDA runtime and cuFFT fails once: the error names it, nothing stays taken, and the next try works.
#include "basis/conv_weights.h"
#include "cuda/gpu.h"
#include "cuda/module_table.h"
#include "cuda_host/runtime.h"
#include "support/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <set>
#include <stop_token>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

const ConvbasisCudaTable* table() { return convbasis_cuda_table(CONVBASIS_CUDA_VERSION); }

class Work {
 public:
  Work() : head_(gaussian_head<float>(70, 8, 5, 3)) {
    Rng rng(4);
    weights_ = std::make_shared<const ConvWeights<float>>(exponentiate(uniform_basis<float>(70, {0, 3, 4, 40}, rng, 1.0)));
  }
  /// Every verb once; what the last one gave, of what the others did.
  Matrix<float> run(const Gpu& gpu, const RunContext& context = {}) const {
    Matrix<float> output(70, 5), value(70, 5), query(70, 8), key(70, 8);
    std::vector<double> lse(70);
    gpu.exact_attention(0, head_.view(), mutable_view(output), lse, context);
    gpu.exact_backward(0, head_.view(), {view(output), lse, view(output)},
                       {mutable_view(query), mutable_view(key), mutable_view(value)}, context);
    const std::vector<Index> starts{0, 9};
    gpu.score_columns(0, head_.view(), starts, context);
    const GpuPlan plan = gpu.plan(0, weights_, 5, 16, context);
    plan.apply(view(output), mutable_view(value), context);
    plan.apply_transpose(view(output), mutable_view(value), context);
    return value;
  }

 private:
  HeadTensors<float> head_;
  std::shared_ptr<const ConvWeights<float>> weights_;
};

/// Memory that cannot be had is tried again with nothing kept, which these calls then find.
bool is_memory(const std::string& call) {
  return call == "cudaMalloc" || call == "cudaMallocHost" || call == "cufftCreate" || call == "cufftMakePlanMany64";
}

TEST(CudaFailures, EveryCallMayFail) {
  const Work work;
  for (const auto streams : {cuda_host::Streams::eager, cuda_host::Streams::lazy}) {
    cuda_host::set_streams(streams);
    const Gpu first(table());
    cuda_host::fail_call(0);
    const Matrix<float> expected = work.run(first);
    const long calls = cuda_host::calls_made();
    first.release_memory();
    ASSERT_GT(calls, 100);
    std::set<std::string> failed;
    for (long number = 1; number <= calls; number += streams == cuda_host::Streams::eager ? 1 : 3) {
      const Gpu gpu(table());
      cuda_host::fail_call(number);
      try {
        const Matrix<float> got = work.run(gpu);
        const std::string call = cuda_host::failed_call();
        // Memory is given back on whatever device is the current one.
        ASSERT_TRUE(is_memory(call) || call == "cudaSetDevice") << "call " << number << ", " << call << ", failed unnoticed";
        ASSERT_TRUE(got == expected);
      } catch (const GpuError& error) {
        const std::string call = cuda_host::failed_call();
        // A kernel is named by the verb that it belongs to.
        if (call.starts_with("cu")) {
          EXPECT_THAT(error.what(), HasSubstr(call));
        }
        EXPECT_FALSE(error.out_of_memory()) << call;
      }
      failed.insert(cuda_host::failed_call());
      gpu.release_memory();
      ASSERT_TRUE(cuda_host::leftovers().none()) << "after call " << number << ", " << cuda_host::failed_call();
      cuda_host::fail_call(0);
    }
    EXPECT_GE(failed.size(), streams == cuda_host::Streams::eager ? 22U : 15U);
    EXPECT_TRUE(work.run(Gpu(table())) == expected);
  }
  cuda_host::set_streams(cuda_host::Streams::eager);
}

TEST(CudaFailures, WhatIsKeptMakesRoom) {
  const Work work;
  const Matrix<float> expected = work.run(Gpu(table()));
  const Gpu gpu(table());
  const HeadTensors<float> large = gaussian_head<float>(300, 200, 200, 3);
  Matrix<float> output(300, 200);
  std::vector<double> lse(300);
  gpu.exact_attention(0, large.view(), mutable_view(output), lse);
  cuda_host::take_peak_bytes();
  // All that there is has been kept, in pieces too large for what comes next.
  cuda_host::set_machine({.memory = cuda_host::take_peak_bytes()});
  EXPECT_TRUE(work.run(gpu) == expected);
  cuda_host::set_machine({});
}

TEST(CudaFailures, DeviceTooSmall) {
  const Work work;
  const Gpu gpu(table());
  cuda_host::set_machine({.memory = 4096});
  try {
    work.run(gpu);
    FAIL() << "4 KB were enough";
  } catch (const GpuError& error) {
    EXPECT_TRUE(error.out_of_memory());
    EXPECT_THAT(error.what(), HasSubstr("cudaMalloc"));
  }
  EXPECT_TRUE(cuda_host::leftovers().none());
  cuda_host::set_machine({});
}

TEST(CudaFailures, MoreBlocksThanAGridHas) {
  Rng rng(4);
  const auto weights = std::make_shared<const ConvWeights<float>>(exponentiate(uniform_basis<float>(1048577, {0}, rng, 1.0)));
  const Gpu gpu(table());
  try {
    gpu.plan(0, weights, 1, 16);
    FAIL() << "65537 blocks were taken";
  } catch (const GpuError& error) {
    EXPECT_THAT(error.what(), HasSubstr("65537, in 65537 pieces; a GPU takes up to 65535: choose larger blocks"));
  }
}

TEST(CudaFailures, StoppedWorkLeavesNothing) {
  const Work work;
  const Gpu gpu(table());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(work.run(gpu, RunContext{.stop = stop.get_token()}), Cancelled);
  gpu.release_memory();
  EXPECT_TRUE(cuda_host::leftovers().none());
}

GpuStatus status_on(const cuda_host::FakeMachine& machine) {
  cuda_host::set_machine(machine);
  const Gpu gpu(table());
  cuda_host::set_machine({});
  return gpu.status();
}

TEST(CudaStatus, SaysWhatIsMissing) {
  const GpuStatus ready = status_on({});
  EXPECT_TRUE(ready.ready());
  EXPECT_THAT(ready.why, HasSubstr("compute capability 9.0"));
  EXPECT_EQ(status_on({.driver = false}).kind, GpuStatus::Kind::no_driver);
  EXPECT_THAT(status_on({.driver = false}).why, HasSubstr("no NVIDIA driver"));
  EXPECT_EQ(status_on({.devices = 0}).kind, GpuStatus::Kind::no_device);
  EXPECT_EQ(status_on({.major = 6, .minor = 1}).kind, GpuStatus::Kind::too_old);
  EXPECT_THAT(status_on({.major = 7, .minor = 0}).why, HasSubstr("7.5 is the oldest"));
  EXPECT_TRUE(status_on({.major = 7, .minor = 5}).ready());
  ConvbasisCudaTable empty = *table();
  empty.devices = [](ConvbasisCudaDevice*, int, int* count, const ConvbasisCudaCall*) {
    *count = 0;
    return int{CONVBASIS_CUDA_DONE};
  };
  EXPECT_EQ(Gpu(&empty).status().kind, GpuStatus::Kind::no_device);
  const Gpu missing(std::filesystem::path("no_such_module.so"));
  EXPECT_EQ(missing.status().kind, GpuStatus::Kind::no_module);
  EXPECT_THAT(missing.status().why, HasSubstr("no_such_module.so"));
  EXPECT_EQ(convbasis_cuda_table(CONVBASIS_CUDA_VERSION + 1), nullptr);
}

/// The module, where a GPU that is too old stands before one that is not.
ConvbasisCudaTable mixed_devices() {
  ConvbasisCudaTable mixed = *table();
  mixed.devices = [](ConvbasisCudaDevice* found, int, int* count, const ConvbasisCudaCall*) {
    *count = 2;
    found[0] = {.name = "old", .major = 6, .minor = 1, .memory = 1};
    found[1] = {.name = "new", .major = 8, .minor = 6, .memory = 2};
    return int{CONVBASIS_CUDA_DONE};
  };
  mixed.create_pool = [](int device, ConvbasisCudaPool**, const ConvbasisCudaCall* call) {
    std::snprintf(call->text, call->text_size, "asked for %d", device);
    return int{CONVBASIS_CUDA_FAILED};
  };
  return mixed;
}

TEST(CudaStatus, AnOldGpuHidesNoOther) {
  const ConvbasisCudaTable mixed = mixed_devices();
  const Gpu gpu(&mixed);
  ASSERT_EQ(gpu.status().devices.size(), 1U);
  EXPECT_EQ(gpu.status().devices[0].name, "new");
  EXPECT_THAT(gpu.status().why, HasSubstr("new, compute capability 8.6"));
  const HeadTensors<float> head = gaussian_head<float>(3, 4, 2, 1);
  Matrix<float> output(3, 2);
  std::vector<double> lse(3);
  try {
    gpu.exact_attention(0, head.view(), mutable_view(output), lse);
    FAIL() << "no device was asked for";
  } catch (const GpuError& error) {
    EXPECT_THAT(error.what(), HasSubstr("asked for 1"));  // by the number that CUDA gives it
  }
}

TEST(CudaStatus, BadArgumentsAreNamed) {
  const Gpu gpu(table());
  const HeadTensors<float> wide = gaussian_head<float>(3, 300, 2, 1);
  const HeadTensors<float> head = gaussian_head<float>(3, 4, 2, 1);
  Matrix<float> output(3, 2), wrong(4, 2);
  std::vector<double> lse(3);
  const auto text_of = [](const std::function<void()>& call) {
    try {
      call();
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_THAT(text_of([&] { gpu.exact_attention(0, wide.view(), mutable_view(output), lse); }), HasSubstr("300 wide"));
  EXPECT_THAT(text_of([&] { gpu.exact_attention(1, head.view(), mutable_view(output), lse); }), HasSubstr("device is 1"));
  EXPECT_THAT(text_of([&] { gpu.exact_attention(0, head.view(), mutable_view(wrong), lse); }), HasSubstr("it must be 3 x 2"));
  const std::vector<Index> starts{3};
  EXPECT_THAT(text_of([&] { gpu.score_columns(0, head.view(), starts); }), HasSubstr("no column 3"));
}

}  // namespace
}  // namespace convbasis
