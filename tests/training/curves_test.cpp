// Whole runs and the times of their steps. How fast anything is, is never asserted.
#include "training/curves.h"

#include "support/expect_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

std::vector<TrainingStep> losses(const std::vector<double>& values) {
  std::vector<TrainingStep> steps;
  for (const double value : values) steps.emplace_back().loss = value;
  return steps;
}

TEST(LargestLossDifference, IsRelativeToTheReference) {
  EXPECT_EQ(largest_loss_difference(losses({4.0, 1.5, 3.0}), losses({4.0, 2.0, 4.0})), 0.25);
  EXPECT_EQ(largest_loss_difference(losses({4.0, 1.0}), losses({4.0})), 0.0) << "the steps that both have";
  EXPECT_EQ(largest_loss_difference(losses({0.0}), losses({0.0})), 0.0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(largest_loss_difference(losses({nan, 9.0}), losses({1.0, 1.0}))));
  EXPECT_TRUE(std::isnan(largest_loss_difference(losses({9.0, 1.0}), losses({1.0, nan}))));
}

TEST(Train, IsItsTrainersSteps) {
  const auto problem = std::make_shared<const OneLayerProblem<double>>(plant_one_layer<double>({.n = 60, .d = 4}));
  const TrainingOptions options{.backward = Backward::conv, .optimiser = Optimiser::adam, .recover_every = 3};
  std::vector<double> seen, fractions;
  const RunContext context{.progress = [&](std::string_view, double fraction) { fractions.push_back(fraction); }};
  const auto run = train<double>(problem, options, 7, context, [&](const TrainingStep& step) { seen.push_back(step.loss); });
  Trainer<double> trainer(problem, options);
  ASSERT_EQ(run.size(), 7U);
  for (int t = 0; t < 7; ++t) {
    const TrainingStep step = trainer.step();
    const TrainingStep& got = run[static_cast<std::size_t>(t)];
    EXPECT_EQ(got.step, t);
    EXPECT_EQ(got.loss, step.loss);
    EXPECT_EQ(got.exact_loss, step.exact_loss);
    EXPECT_EQ(got.gradient_norm, step.gradient_norm);
    EXPECT_EQ(got.recovered, t % 3 == 0);
    EXPECT_EQ(seen[static_cast<std::size_t>(t)], step.loss);
  }
  ASSERT_EQ(fractions.size(), 7U) << "one for each step";
  EXPECT_EQ(fractions.back(), 1.0);
  EXPECT_THAT(message_of<InvalidArgument>([&] { train<double>(problem, options, 0); }), HasSubstr("steps is 0"));
}

TEST(Train, StopsOnRequest) {
  const auto problem = std::make_shared<const OneLayerProblem<double>>(plant_one_layer<double>({.n = 60, .d = 4}));
  std::stop_source stop;
  int steps = 0;
  EXPECT_THROW(train<double>(problem, {}, 100, {.stop = stop.get_token()},
                             [&](const TrainingStep&) {
                               if (++steps == 3) stop.request_stop();
                             }),
               Cancelled);
  EXPECT_EQ(steps, 3);
}

StepTimesRequest tiny_request() {
  StepTimesRequest request;
  request.n = {64, 32};
  request.problem = {.d = 4, .k = 2};
  request.max_repeats = 3;
  request.seconds_per_point = 100.0;
  return request;
}

TEST(StepTimes, HoldEveryPointOnce) {
  std::vector<StepTime> seen;
  const auto times = measure_step_times<float>(tiny_request(), {}, [&](const StepTime& time) { seen.push_back(time); });
  ASSERT_EQ(times.size(), 6U);
  ASSERT_EQ(seen.size(), 6U);
  for (std::size_t i = 0; i < times.size(); ++i) {
    EXPECT_EQ(times[i].n, i < 3 ? 32 : 64);
    EXPECT_EQ(times[i].backward, all_backwards[i % 3]);
    EXPECT_EQ(times[i].repeats, 3);
    EXPECT_GT(times[i].seconds_min, 0.0);
    EXPECT_LE(times[i].seconds_min, times[i].seconds);
    EXPECT_LE(times[i].seconds, times[i].seconds_max);
    EXPECT_EQ(seen[i].seconds, times[i].seconds);
  }
}

TEST(StepTimes, OneStepIsEnoughWhenTimeIsShort) {
  StepTimesRequest request = tiny_request();
  request.seconds_per_point = 0.0;
  for (const StepTime& time : measure_step_times<double>(request)) EXPECT_EQ(time.repeats, 1);
}

TEST(StepTimes, BadRequestsAreErrors) {
  const auto message = [](auto change) {
    StepTimesRequest request = tiny_request();
    change(request);
    return message_of<InvalidArgument>([&] { measure_step_times<double>(request); });
  };
  EXPECT_THAT(message([](StepTimesRequest& request) { request.n = {}; }), HasSubstr("at least one n"));
  EXPECT_THAT(message([](StepTimesRequest& request) { request.backwards = {}; }), HasSubstr("one backward"));
  EXPECT_THAT(message([](StepTimesRequest& request) { request.max_repeats = 0; }), HasSubstr("max_repeats is 0"));
  EXPECT_THAT(message([](StepTimesRequest& request) { request.n = {64, 0}; }), HasSubstr("n is 0"));
  EXPECT_THAT(message([](StepTimesRequest& request) { request.problem.k = 40; }), HasSubstr("k is 40"));
}

}  // namespace
}  // namespace convbasis
