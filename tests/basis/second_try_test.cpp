// Rows that a float32 FFT cannot hold, so many that a float64 FFT computes them: made on the first need, by whoever comes first.
#include "basis/apply.h"
#include "core/threads.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

constexpr Index size = 2500;

/// Weights that grow by e^range along the lags: of each block of the output only the last rows are held by float32.
ConvBasis<float> growing(double range) {
  std::vector<std::vector<float>> lags;
  for (const Index start : {Index{0}, size / 3}) {
    std::vector<float> lag;
    for (Index t = 0; t < size - start; ++t) {
      lag.push_back(static_cast<float>(range * (static_cast<double>(t) / static_cast<double>(size) - 0.5)));
    }
    lags.push_back(std::move(lag));
  }
  return {size, {0, size / 3}, std::move(lags)};
}

ConvAttentionPlan<float> plan_of(const ConvBasis<float>& scores, Index columns) {
  return {std::make_shared<const ConvWeights<float>>(exponentiate(scores)), columns, {.block = 1024}};
}

/// The largest error of a row relative to its norm.
double worst_row(const Matrix<float>& output, const reference::Dense& expected) {
  const Eigen::VectorXd error = (output.cast<double>() - expected).rowwise().norm();
  return error.cwiseQuotient(expected.rowwise().norm()).maxCoeff<Eigen::PropagateNaN>();
}

TEST(SecondTry, IsMadeWhereManyRowsAreLostAndItsRowsAreRight) {
  Rng rng(1);
  const ConvBasis<float> scores = growing(60.0);
  const ConvAttentionPlan<float> plan = plan_of(scores, 8);
  for (const Index columns : {8, 1, 16, 17, 35}) {  // it converts 16 columns at a time
    const Matrix<float> value = gaussian<float>(size, columns, rng);
    const Padded<float> padded(value, 3);
    Padded<float> output(Matrix<float>::Constant(size, columns, std::numeric_limits<float>::quiet_NaN()), 2);
    const ApplyReport report = plan.apply(padded.view(), output.mutable_view());
    EXPECT_TRUE(report.second_try);
    EXPECT_THAT(report.path, HasSubstr("then float64"));
    EXPECT_GT(report.rescued_rows(), size / 10);
    EXPECT_TRUE(std::is_sorted(report.rescued.begin(), report.rescued.end()));
    EXPECT_EQ(std::adjacent_find(report.rescued.begin(), report.rescued.end()), report.rescued.end());
    EXPECT_LE(report.rescued.back(), size - 1);
    EXPECT_TRUE(output.gaps_untouched());
    // Three times the tolerance: rows that are kept pass it at times, most of all in a narrow V.
    EXPECT_LE(worst_row(output.view(), reference::segment_sum(scores, value.cast<double>())), 3e-5) << columns;
  }
}

TEST(SecondTry, IsNotMadeWhereRowsAreFewNorInFloat64) {
  Rng rng(2);
  Matrix<float> output(size, 4);
  const ApplyReport mild =
      plan_of(uniform_basis<float>(size, {0, 700}, rng, 1.0), 4).apply(view(gaussian<float>(size, 4, rng)), mutable_view(output));
  EXPECT_FALSE(mild.second_try);
  const ConvBasis<double> wide = uniform_basis<double>(size, {0, 700}, rng, 60.0);
  Matrix<double> wide_output(size, 4);
  const ConvAttentionPlan<double> plan(std::make_shared<const ConvWeights<double>>(exponentiate(wide)), 4, {.block = 1024});
  EXPECT_FALSE(plan.apply(view(gaussian<double>(size, 4, rng)), mutable_view(wide_output)).second_try);
}

TEST(SecondTry, SeveralThreadsMeetWhileItIsMade) {
  Rng rng(3);
  const ConvBasis<float> scores = growing(60.0);
  const Matrix<float> value = gaussian<float>(size, 5, rng);
  Matrix<float> expected(size, 5);
  ASSERT_TRUE(plan_of(scores, 5).apply(view(value), mutable_view(expected), {.threads = 1}).second_try);
  const ConvAttentionPlan<float> plan = plan_of(scores, 5);
  std::vector<Matrix<float>> results(6, Matrix<float>(size, 5));
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < results.size(); ++t) {
      threads.emplace_back(
          [&, t] { plan.apply(view(value), mutable_view(results[t]), {.threads = 1 + static_cast<int>(t % 3)}); });
    }
  }
  for (const auto& result : results) EXPECT_EQ(result, expected);
  // From inside a loop, where helpers wait for each other.
  for (auto& result : results) result.setZero();
  const ConvAttentionPlan<float> other = plan_of(scores, 5);
  parallel_for({.threads = 3}, std::ssize(results), [&](Index item, int) {
    other.apply(view(value), mutable_view(results[static_cast<std::size_t>(item)]), {.threads = 3});
  });
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(SecondTry, CancelledAtAnyMomentThePlanStaysGood) {
  Rng rng(4);
  const ConvBasis<float> scores = growing(60.0);
  const Matrix<float> value = gaussian<float>(size, 5, rng);
  Matrix<float> expected(size, 5);
  ASSERT_TRUE(plan_of(scores, 5).apply(view(value), mutable_view(expected)).second_try);
  const ConvAttentionPlan<float> plan = plan_of(scores, 5);
  for (int wait = 0; wait < 40; ++wait) {  // up to 8 ms: before, during and after the making of the second plan
    std::stop_source source;
    Matrix<float> output(size, 5);
    const std::jthread stopper([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(200 * wait));
      source.request_stop();
    });
    try {
      plan.apply(view(value), mutable_view(output), {.threads = 2, .stop = source.get_token()});
      EXPECT_EQ(output, expected) << "not cancelled, so complete";
    } catch (const Cancelled&) {  // as good
    }
  }
  Matrix<float> after(size, 5);
  EXPECT_TRUE(plan.apply(view(value), mutable_view(after)).second_try);
  EXPECT_EQ(after, expected);
}

}  // namespace
}  // namespace convbasis
