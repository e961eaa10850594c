// The engine with a GPU as its accelerator, the GPU's module being run on the CPU: the same results, and the CPU's own where the
// device fails.
#include "attention/exact_attention.h"
#include "basis/apply.h"
#include "cuda/gpu_accelerator.h"
#include "cuda/module_table.h"
#include "cuda_host/runtime.h"
#include "support/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stop_token>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;
using testing::StartsWith;

/// Sums of n or d products in float, in another order on either side.
constexpr double tolerance = 1e-6;

std::shared_ptr<const Gpu> gpu() { return std::make_shared<const Gpu>(convbasis_cuda_table(CONVBASIS_CUDA_VERSION)); }

double difference(const Matrix<float>& a, const Matrix<float>& b) {
  return (a - b).cast<double>().norm() / b.cast<double>().norm();
}

/// Everything that an accelerator may do, through the engine.
struct Results {
  Matrix<float> output, query, key, value, applied, transposed;
  std::vector<double> lse;
  ApplyReport report;

  bool operator==(const Results& other) const {
    return output == other.output && query == other.query && key == other.key && value == other.value &&
           applied == other.applied && transposed == other.transposed && lse == other.lse && report.path == other.report.path &&
           report.rescued == other.report.rescued;
  }
};

class Work {
 public:
  explicit Work(const ApplyOptions& options = {.block = 16}) : head_(gaussian_head<float>(130, 8, 5, 3)), options_(options) {
    Rng rng(4);
    ConvBasis<float> scores = uniform_basis<float>(130, {0, 3, 4, 40}, rng, 1.0);
    weights_ = std::make_shared<const ConvWeights<float>>(exponentiate(scores));
  }

  const HeadTensors<float>& head() const { return head_; }
  Results run(const RunContext& context) const {
    const Index n = head_.query.rows();
    Results result{Matrix<float>(n, 5),
                   Matrix<float>(n, 8),
                   Matrix<float>(n, 8),
                   Matrix<float>(n, 5),
                   Matrix<float>(n, 5),
                   Matrix<float>(n, 5),
                   std::vector<double>(static_cast<std::size_t>(n)),
                   {}};
    exact_attention<float>(head_.view(), mutable_view(result.output), result.lse, context);
    exact_backward<float>(head_.view(), {view(result.output), result.lse, view(head_.value)},
                          {mutable_view(result.query), mutable_view(result.key), mutable_view(result.value)}, context);
    const ConvAttentionPlan<float> plan(weights_, 5, options_, context);
    result.report = plan.apply(view(head_.value), mutable_view(result.applied), context);
    plan.apply_transpose(view(head_.value), mutable_view(result.transposed), context);
    return result;
  }

 private:
  HeadTensors<float> head_;
  std::shared_ptr<const ConvWeights<float>> weights_;
  ApplyOptions options_;
};

void expect_same(const Results& got, const Results& expected) {
  const auto expect_close = [](const char* what, const Matrix<float>& is, const Matrix<float>& should) {
    const double error = difference(is, should);
    EXPECT_TRUE(error <= tolerance) << what << ": " << error;
  };
  expect_close("output", got.output, expected.output);
  expect_close("query gradient", got.query, expected.query);
  expect_close("key gradient", got.key, expected.key);
  expect_close("value gradient", got.value, expected.value);
  expect_close("apply", got.applied, expected.applied);
  expect_close("apply_transpose", got.transposed, expected.transposed);
  for (std::size_t i = 0; i < expected.lse.size(); ++i) EXPECT_NEAR(got.lse[i], expected.lse[i], 1e-5);
}

TEST(CudaAccelerator, GivesWhatTheCpuGives) {
  const Work work;
  const GpuAccelerator accelerator(gpu(), 0, 1);
  EXPECT_FALSE(accelerator.used());
  cuda_host::take_calls();
  const Results got = work.run({.accelerator = &accelerator});
  EXPECT_TRUE(accelerator.used());
  EXPECT_GE(cuda_host::take_calls().size(), 5U) << "forward, backward, and products with the transforms around them";
  const Results expected = work.run({});
  EXPECT_TRUE(cuda_host::take_calls().empty());
  expect_same(got, expected);
  EXPECT_EQ(got.report.path, accelerator.name() + ", " + expected.report.path);
  EXPECT_THAT(got.report.path, StartsWith("GPU 0 ("));
  EXPECT_THAT(got.report.path, HasSubstr("partitioned FFT, block 16, float32"));
  EXPECT_EQ(accelerator.take_warning(), "");
}

TEST(CudaAccelerator, NumbersThatAreHalvesGoToTensorCores) {
  HeadTensors<float> head = gaussian_head<float>(70, 8, 5, 3);
  Matrix<float> output(70, 5), expected(70, 5);
  std::vector<double> lse(70), expected_lse(70);
  const GpuAccelerator accelerator(gpu(), 0, 1, 70);
  const auto kernels = [&] {
    cuda_host::take_calls();
    exact_attention<float>(head.view(), mutable_view(output), lse, {.accelerator = &accelerator});
    exact_attention<float>(head.view(), mutable_view(expected), expected_lse);
    const double error = difference(output, expected);
    EXPECT_TRUE(error <= tolerance) << error;
    const auto calls = cuda_host::take_calls();
    return std::pair(calls.contains("exact_attention"), calls.contains("half_attention"));
  };
  EXPECT_EQ(kernels(), std::pair(true, false)) << "floats";
  for (Matrix<float>* one : {&head.query, &head.key, &head.value}) *one = one->cast<Eigen::half>().cast<float>();
  EXPECT_EQ(kernels(), std::pair(false, true)) << "halves";
  head.value(69, 4) = 0.1F;
  EXPECT_EQ(kernels(), std::pair(true, false)) << "all but one";
  head = gaussian_head<float>(69, 8, 5, 3);
  for (Matrix<float>* one : {&head.query, &head.key, &head.value}) *one = one->cast<Eigen::half>().cast<float>();
  output.resize(69, 5);
  expected.resize(69, 5);
  lse.resize(69);
  expected_lse.resize(69);
  EXPECT_EQ(kernels(), std::pair(true, false)) << "too few to look";
}

TEST(CudaAccelerator, RowsAreRescuedAllTheSame) {
  for (const double row_tolerance : {0.0, 3e-8}) {  // all rows; some
    const Work work({.block = 16, .row_tolerance = row_tolerance});
    const GpuAccelerator accelerator(gpu(), 0, 1);
    const Results got = work.run({.accelerator = &accelerator});
    const Results expected = work.run({});
    EXPECT_GT(got.report.rescued_rows(), 0);
    expect_same(got, expected);
    for (const Index i : got.report.rescued) {
      if (std::ranges::find(expected.report.rescued, i) == expected.report.rescued.end()) continue;
      EXPECT_EQ(got.applied.row(i), expected.applied.row(i));
    }
  }
}

TEST(CudaAccelerator, FailureIsLeftToTheCpu) {
  const Work work;
  const Results alone = work.run({});
  const std::shared_ptr<const Gpu> device = gpu();
  const GpuAccelerator accelerator(device, 0, 1);
  const RunContext context{.accelerator = &accelerator};
  cuda_host::fail_call(0);
  const Results expected = work.run(context);
  const long calls = cuda_host::calls_made();
  ASSERT_GT(calls, 50);
  long warnings = 0;
  for (long number = 1; number <= calls; number += 3) {
    cuda_host::fail_call(number);
    const Results got = work.run(context);
    cuda_host::fail_call(0);
    // Each result is the device's or the CPU's, bit for bit.
    const auto either = [](const auto& is, const auto& one, const auto& other) { return is == one || is == other; };
    EXPECT_TRUE(either(got.output, expected.output, alone.output)) << "call " << number;
    EXPECT_TRUE(either(got.applied, expected.applied, alone.applied)) << "call " << number;
    EXPECT_TRUE(either(got.transposed, expected.transposed, alone.transposed)) << "call " << number;
    expect_same(got, alone);
    const std::string warning = accelerator.take_warning();
    EXPECT_EQ(accelerator.take_warning(), "");
    if (warning.empty()) {
      EXPECT_TRUE(got == expected) << "call " << number << " failed and no warning says so";
      continue;
    }
    ++warnings;
    EXPECT_THAT(warning, HasSubstr("the CPU did its work"));
    EXPECT_EQ(warning.find('\n'), std::string::npos);
    device->release_memory();
    EXPECT_TRUE(cuda_host::leftovers().none());
  }
  EXPECT_GT(warnings, calls / 6);
}

TEST(CudaAccelerator, ADeviceWithoutMemoryGivesTheCpusBits) {
  const Work work;
  const Results alone = work.run({});
  const GpuAccelerator accelerator(gpu(), 0, 1);
  cuda_host::set_machine({.memory = 256});
  EXPECT_TRUE(work.run({.accelerator = &accelerator}) == alone);
  cuda_host::set_machine({});
  EXPECT_FALSE(accelerator.used());
  EXPECT_THAT(accelerator.take_warning(), HasSubstr("too little memory"));
}

TEST(CudaAccelerator, LeavesSmallAndStrangeHeadsAlone) {
  const Work work;
  const GpuAccelerator accelerator(gpu(), 0, 131);
  EXPECT_TRUE(work.run({.accelerator = &accelerator}) == work.run({}));
  EXPECT_FALSE(accelerator.used());
  const GpuAccelerator any(gpu(), 0, 1);
  Rng rng(1);
  const HeadTensors<float> given = head_of_scores<float>(gaussian<float>(7, 7, rng), gaussian<float>(7, 2, rng));
  const HeadTensors<float> wide = gaussian_head<float>(4, widest_on_gpu + 1, 2, 1);
  for (const HeadTensors<float>* head : {&given, &wide}) {
    Matrix<float> got(head->value.rows(), 2), expected(head->value.rows(), 2);
    std::vector<double> lse(static_cast<std::size_t>(head->value.rows()));
    exact_attention<float>(head->view(), mutable_view(got), lse, {.accelerator = &any});
    exact_attention<float>(head->view(), mutable_view(expected), lse);
    EXPECT_EQ(got, expected);
  }
  EXPECT_FALSE(any.used());
  EXPECT_EQ(any.take_warning(), "");
}

TEST(CudaAccelerator, AStopIsNoFailure) {
  const Work work;
  const std::shared_ptr<const Gpu> device = gpu();
  const GpuAccelerator accelerator(device, 0, 1);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(work.run({.stop = stop.get_token(), .accelerator = &accelerator}), Cancelled);
  // Past the engine's own check, too.
  Matrix<float> output(130, 5);
  std::vector<double> lse(130);
  EXPECT_THROW(accelerator.exact_attention(work.head().view(), mutable_view(output), lse, {.stop = stop.get_token()}), Cancelled);
  EXPECT_EQ(accelerator.take_warning(), "");
  device->release_memory();
  EXPECT_TRUE(cuda_host::leftovers().none());
}

TEST(CudaAccelerator, NeedsAGpuThatIsThere) {
  EXPECT_THROW(GpuAccelerator(gpu(), 1, 1), InvalidArgument);
  EXPECT_THROW(GpuAccelerator(gpu(), -1, 1), InvalidArgument);
  EXPECT_THROW(GpuAccelerator(std::make_shared<const Gpu>(std::filesystem::path("no_such_module.so")), 0, 1), InvalidArgument);
}

}  // namespace
}  // namespace convbasis
