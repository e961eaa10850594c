// Every call to the CUDA runtime and cuFFT fails once: the error names it, nothing stays taken, and the next try works.
#include "basis/conv_weights.h"
#include "cuda/gpu.h"
#include "cuda/module_table.h"
#include "cuda_host/runtime.h"
#include "support/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(CudaFailures, EveryCallMayFail) {
  const Work work;
  const Gpu gpu(table());
  for (const auto streams : {cuda_host::Streams::eager, cuda_host::Streams::lazy}) {
    cuda_host::set_streams(streams);
    cuda_host::fail_call(0);
    const Matrix<float> expected = work.run(gpu);
    const long calls = cuda_host::calls_made();
    ASSERT_GT(calls, 100);
    std::set<std::string> failed;
    for (long number = 1; number <= calls; ++number) {
      cuda_host::fail_call(number);
      try {
        const Matrix<float> got = work.run(gpu);
        // A stream that goes away waits, too, when nothing hangs on it any more.
        ASSERT_EQ(cuda_host::failed_call(), "cudaStreamSynchronize") << "call " << number << " failed and nobody noticed";
        ASSERT_EQ(got, expected);
      } catch (const GpuError& error) {
        const std::string call = cuda_host::failed_call();
        failed.insert(call);
        // A kernel is named by the verb that it belongs to.
        if (call.starts_with("cu")) {
          EXPECT_THAT(error.what(), HasSubstr(call));
        }
        const bool memory = call == "cudaMalloc" || call == "cudaMallocHost" || call == "cufftMakePlanMany64";
        EXPECT_EQ(error.out_of_memory(), memory) << call;
      }
      ASSERT_TRUE(cuda_host::leftovers().none()) << "after call " << number << ", " << cuda_host::failed_call();
    }
    EXPECT_GE(failed.size(), 18U);
    cuda_host::fail_call(0);
    EXPECT_EQ(work.run(gpu), expected);
  }
  cuda_host::set_streams(cuda_host::Streams::eager);
}

TEST(CudaFailures, DeviceTooSmall) {
  const Work work;
  const Gpu gpu(table());
  cuda_host::set_machine({.memory = 4096});
  EXPECT_THROW(work.run(gpu), GpuError);
  EXPECT_TRUE(cuda_host::leftovers().none());
  cuda_host::set_machine({});
}

TEST(CudaFailures, StoppedWorkLeavesNothing) {
  const Work work;
  const Gpu gpu(table());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(work.run(gpu, RunContext{.stop = stop.get_token()}), Cancelled);
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
  const Gpu missing(std::filesystem::path("no_such_module.so"));
  EXPECT_EQ(missing.status().kind, GpuStatus::Kind::no_module);
  EXPECT_THAT(missing.status().why, HasSubstr("no_such_module.so"));
  EXPECT_EQ(convbasis_cuda_table(CONVBASIS_CUDA_VERSION + 1), nullptr);
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
