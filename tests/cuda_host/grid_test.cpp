// The rules that kernels are held to when they run on the CPU: each broken one is found.
#include "cuda/launch.h"
#include "cuda_host/runtime.h"
#include "cuda_host/schedules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mma.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace {

using convbasis::cuda::launch;
using cuda_host::for_each_schedule;
using cuda_host::KernelFault;
using testing::HasSubstr;

constexpr unsigned full = 0xFFFFFFFFU;

struct RunningStream {
  RunningStream() { cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking); }
  ~RunningStream() { cudaStreamDestroy(stream); }
  cudaStream_t stream = nullptr;
};

template <class... Parameters, class... Arguments>
void run(void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments... arguments) {
  const RunningStream own;
  ASSERT_EQ(launch("kernel", kernel, grid, block, own.stream, arguments...), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(own.stream), cudaSuccess);
}

/// The text of the fault that the kernel is stopped with.
template <class... Parameters, class... Arguments>
std::string fault_of(void (*kernel)(Parameters...), dim3 block, Arguments... arguments) {
  cuda_host::throw_faults(true);
  std::string text = "none";
  try {
    cuda_host::run_grid(1, block, [=] { kernel(arguments...); });
  } catch (const KernelFault& fault) {
    text = fault.what();
  }
  cuda_host::throw_faults(false);
  return text;
}

/// Sum of 64 numbers a block, by shuffles and shared memory.
__global__ void block_sums(const int* numbers, int* sums, bool with_barrier) {
  CONVBASIS_SHARED(int, part, 2);
  const unsigned t = threadIdx.x;
  int sum = numbers[blockIdx.x * blockDim.x + t];
  for (unsigned by = 16; by > 0; by /= 2) sum += __shfl_down_sync(full, sum, by);
  if (t % 32 == 0) part[t / 32] = sum;
  if (with_barrier) __syncthreads();
  if (t == 0) sums[blockIdx.x] = part[0] + part[1];
}

TEST(Grid, KernelsRunInEveryOrder) {
  std::vector<int> numbers(3 * 64);
  std::iota(numbers.begin(), numbers.end(), 1);
  for_each_schedule([&] {
    std::vector<int> sums(3, 0);
    run(&block_sums, dim3(3), dim3(64), numbers.data(), sums.data(), true);
    EXPECT_EQ(sums, (std::vector<int>{64 * 65 / 2, 64 * 65 / 2 + 64 * 64, 64 * 65 / 2 + 2 * 64 * 64}));
  });
}

TEST(Grid, MissingBarrierShowsInSomeOrder) {
  const std::vector<int> numbers(64, 1);
  bool wrong = false;
  for_each_schedule([&] {
    int sum = 0;
    run(&block_sums, dim3(1), dim3(64), numbers.data(), &sum, false);
    wrong = wrong || sum != 64;
  });
  EXPECT_TRUE(wrong);
}

__global__ void half_at_barrier(int) {
  if (threadIdx.x < 32) __syncthreads();
}
__global__ void other_barriers(int) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void half_warp(int) {
  if (threadIdx.x < 16) __shfl_xor_sync(full, 1, 1);
}
__global__ void other_warp_operations(int) {
  if (threadIdx.x % 2 == 0) {
    __shfl_xor_sync(full, 1, 1);
  } else {
    __shfl_xor_sync(full, 1, 1);
  }
}

TEST(Grid, DivergentBarriersAreFaults) {
  EXPECT_THAT(fault_of(&half_at_barrier, dim3(64), 0), HasSubstr("of 64 threads 32 wait at a barrier"));
  EXPECT_THAT(fault_of(&other_barriers, dim3(64), 0), HasSubstr("different barriers"));
}

TEST(Grid, PartialWarpOperationsAreFaults) {
  EXPECT_THAT(fault_of(&half_warp, dim3(32), 0), HasSubstr("16 at a warp operation"));
  EXPECT_THAT(fault_of(&other_warp_operations, dim3(32), 0), HasSubstr("different warp operations"));
  EXPECT_THAT(fault_of(&half_warp, dim3(16), 0), HasSubstr("whole warps"));
}

#ifndef __SANITIZE_ADDRESS__  // which stops at the write itself
__global__ void past_the_end(int) {
  CONVBASIS_SHARED(float, tile, 8);
  if (threadIdx.x == 0) tile[8 + static_cast<int>(threadIdx.x)] = 1.0F;
}

TEST(Grid, WritesPastASharedArrayAreFaults) {
  EXPECT_THAT(fault_of(&past_the_end, dim3(32), 0), HasSubstr("outside of its bounds"));
}
#endif

__global__ void read_shared(float* result) {
  CONVBASIS_SHARED(float, tile, 32);
  result[threadIdx.x] = tile[threadIdx.x];
  tile[threadIdx.x] = 1.0F;
}

TEST(Grid, SharedMemoryIsNanInEveryBlock) {
  std::vector<float> result(32);
  run(&read_shared, dim3(3), dim3(32), result.data());
  for (const float one : result) EXPECT_TRUE(std::isnan(one));
}

__global__ void votes(unsigned* result) {
  const unsigned t = threadIdx.x;
  const unsigned ballot = __ballot_sync(full, t % 3 == 0);
  const int any = __any_sync(full, t == 31);
  const int all = __all_sync(full, t != 7);
  const int from_five = __shfl_sync(full, static_cast<int>(t), 5);
  if (t == 0) {
    result[0] = ballot;
    result[1] = static_cast<unsigned>(any);
    result[2] = static_cast<unsigned>(all);
    result[3] = static_cast<unsigned>(from_five);
  }
}

TEST(Grid, Votes) {
  for_each_schedule([] {
    std::vector<unsigned> result(4, 99);
    run(&votes, dim3(1), dim3(32), result.data());
    EXPECT_EQ(result, (std::vector<unsigned>{0x49249249U, 1, 0, 5}));
  });
}

TEST(TensorCores, CutSumsOff) {
  using nvcuda::wmma::sum_of_five;
  const float one[] = {1.0F, 1.0F, 1.0F, 1.0F};
  const float half_ulp = 0x1p-24F;  // of a number in [1, 2)
  const float four[] = {half_ulp, half_ulp, half_ulp, half_ulp};
  EXPECT_EQ(sum_of_five(0.0F, four, one), 0x1p-22F);
  EXPECT_EQ(sum_of_five(1.0F, four, one), 1.0F);  // each is cut off before they are added
  const float below[] = {-half_ulp, -half_ulp, -half_ulp, -half_ulp};
  EXPECT_EQ(sum_of_five(1.0F, below, one), 1.0F);
  const float two[] = {1.0F, 1.0F + 0x3p-23F, 0.0F, 0.0F};
  EXPECT_EQ(sum_of_five(0.0F, two, one), 2.0F + 0x1p-22F);  // the sum is cut off, too
  EXPECT_TRUE(std::isnan(sum_of_five(NAN, one, one)));
  EXPECT_EQ(sum_of_five(0.0F, one, below), -0x1p-22F);
}

TEST(DeviceMemory, IsPoisonedAndBoundsAreKnown) {
  const RunningStream own;
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 4 * sizeof(float)), cudaSuccess);
  std::vector<float> host(8, 1.0F);
  const std::size_t bytes = 4 * sizeof(float);
  ASSERT_EQ(cudaMemcpyAsync(host.data(), memory, bytes, cudaMemcpyDeviceToHost, own.stream), cudaSuccess);
  EXPECT_TRUE(std::isnan(host[0]));
  EXPECT_EQ(cudaMemcpyAsync(memory, host.data(), bytes + 1, cudaMemcpyHostToDevice, own.stream), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(host.data(), memory, bytes, cudaMemcpyHostToDevice, own.stream), cudaErrorInvalidValue);
  EXPECT_EQ(cuda_host::leftovers().allocations, 1U);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaErrorInvalidValue);
  EXPECT_EQ(cuda_host::leftovers().allocations, 0U);
  static_cast<void>(cudaGetLastError());
}

TEST(Streams, LazyOnesWorkOnlyWhenWaitedFor) {
  cuda_host::set_streams(cuda_host::Streams::lazy);
  RunningStream first, second;
  cudaEvent_t event = nullptr;
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  std::vector<int> order;
  cuda_host::enqueue("a", first.stream, [&] { order.push_back(1); });
  cudaEventRecord(event, first.stream);
  cuda_host::enqueue("b", first.stream, [&] { order.push_back(3); });
  cudaStreamWaitEvent(second.stream, event);
  cuda_host::enqueue("c", second.stream, [&] { order.push_back(2); });
  EXPECT_TRUE(order.empty());
  cudaStreamSynchronize(second.stream);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  cudaStreamSynchronize(first.stream);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  cudaEventDestroy(event);
  cuda_host::set_streams(cuda_host::Streams::eager);
}

}  // namespace
