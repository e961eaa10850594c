// Every verb of the GPU module, run on the CPU, over the table of verbs.h, and what it keeps between calls.
#include "cuda_host/verbs.h"
#include "cuda/module_table.h"
#include "cuda_host/schedules.h"

#include <gtest/gtest.h>

#include <thread>

namespace convbasis {
namespace {

using namespace cuda_verbs;

const ConvbasisCudaTable* table() { return convbasis_cuda_table(CONVBASIS_CUDA_VERSION); }

TEST(CudaVerbs, AgreeWithTheReferences) {
  for (const Verb& verb : verbs()) {
    for (const Shape& shape : verb.shapes) {
      cuda_host::for_each_schedule([&] {
        const Gpu gpu(table());  // a new one: its memory holds NaN
        ASSERT_TRUE(gpu.status().ready()) << gpu.status().why;
        for (const Result& result : verb.run(gpu, shape)) {
          const double error = result.error();
          EXPECT_TRUE(error <= tolerance) << verb.name << " " << result.what << " " << name_of(shape) << ": " << error;
        }
      });
      if (HasFailure()) return;  // of one shape is enough to read
    }
  }
  EXPECT_TRUE(cuda_host::leftovers().none());
}

/// A verb's results, bit for bit.
std::vector<Dense> bits_of(const Gpu& gpu, const Verb& verb, const Shape& shape) {
  std::vector<Dense> all;
  for (const Result& result : verb.run(gpu, shape)) all.push_back(result.got);
  return all;
}

long calls_of(const std::map<std::string, long>& calls, const std::string& name) {
  const auto found = calls.find(name);
  return found == calls.end() ? 0 : found->second;
}

TEST(CudaVerbs, AnswersDoNotDependOnWhatIsKept) {
  const Gpu gpu(table());
  for (const Verb& verb : verbs()) {
    if (std::string(verb.name) == "grouped heads") continue;  // has memory of its own
    for (const Shape& shape : verb.shapes) {
      const std::vector<Dense> first = bits_of(gpu, verb, shape);
      bits_of(gpu, verb, shape);  // now whatever was kept for others has found its place
      cuda_host::take_calls();
      EXPECT_TRUE(bits_of(gpu, verb, shape) == first) << verb.name << " " << name_of(shape);
      const auto calls = cuda_host::take_calls();
      for (const char* call : {"cudaMallocHost", "cudaStreamCreate", "cufftCreate"}) {
        EXPECT_EQ(calls_of(calls, call), 0) << verb.name << " " << name_of(shape) << " calls " << call << " again";
      }
      if (std::string(verb.name) != "apply") {  // a plan has memory of its own
        EXPECT_EQ(calls_of(calls, "cudaMalloc"), 0) << verb.name << " " << name_of(shape);
      }
    }
  }
  EXPECT_FALSE(cuda_host::leftovers().none());
  gpu.release_memory();
  EXPECT_TRUE(cuda_host::leftovers().none());
}

double difference(const std::vector<Dense>& some, const std::vector<Dense>& others) {
  double worst = 0.0;
  for (std::size_t i = 0; i < others.size(); ++i) {
    const double one = (some[i] - others[i]).norm() / others[i].norm();
    worst = one <= worst ? worst : one;  // NaN stays
  }
  return worst;
}

/// Devices on which nothing fits at once.
TEST(CudaVerbs, InputsLargerThanTheDeviceGiveTheSame) {
  struct Case {
    const char* verb;
    Shape shape;
    std::size_t memory;
    const char* kernel;
    long launches;     // at least; of 64 rows each, or of few columns
    double tolerance;  // FFTs of a batch may differ from single ones
  };
  for (const Case& one :
       {Case{"exact_attention", {500, 16, 8, 1, 0, true}, 64'000, "exact_attention", 36, 0.0},
        Case{"exact_attention", {500, 16, 8, 1, 0, true, false, false, true}, 32'000, "half_attention", 36, 0.0},
        Case{"exact_backward", {500, 16, 8, 1, 0, true}, 64'000, "query_gradient", 36, 0.0},
        Case{"exact_backward", {500, 16, 8, 1, 0, false, false, false, true}, 64'000, "key_gradient", 36, 0.0},
        Case{"apply", {400, 1, 40, 3, 64}, 130'000, "accumulate_products", 8, tolerance},
        Case{"apply", {400, 1, 40, 3, 64, false, false, false, true}, 130'000, "accumulate_products", 8, tolerance}}) {
    const std::vector<Verb> all = verbs();
    const auto verb = std::ranges::find_if(all, [&](const Verb& v) { return v.name == std::string(one.verb); });
    std::vector<Dense> expected;
    {
      const Gpu gpu(table());
      expected = bits_of(gpu, *verb, one.shape);
    }
    cuda_host::for_each_schedule([&] {
      const testing::ScopedTrace trace(__FILE__, __LINE__, std::string(one.verb).append(" ").append(name_of(one.shape)));
      cuda_host::set_machine({.memory = one.memory});
      const Gpu gpu(table());
      cuda_host::take_calls();
      cuda_host::take_peak_bytes();
      const double error = difference(bits_of(gpu, *verb, one.shape), expected);
      EXPECT_TRUE(error <= one.tolerance) << error;
      EXPECT_LE(cuda_host::take_peak_bytes(), one.memory);
      EXPECT_GE(calls_of(cuda_host::take_calls(), one.kernel), one.launches);
      cuda_host::set_machine({});
    });
  }
  EXPECT_TRUE(cuda_host::leftovers().none());
}

TEST(CudaVerbs, SeveralThreadsMayCallAtOnce) {
  const Gpu gpu(table());
  const std::vector<Verb> all = verbs();
  const auto run = [&](Index n) { return bits_of(gpu, all.front(), {n, 16, 16, 1, 0}); };
  const std::vector<Index> sizes{70, 130, 65, 1};
  std::vector<std::vector<Dense>> got(sizes.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      threads.emplace_back([&, i] {
        for (int repeat = 0; repeat < 3; ++repeat) got[i] = run(sizes[i]);
      });
    }
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) EXPECT_TRUE(got[i] == run(sizes[i]));
}

}  // namespace
}  // namespace convbasis
