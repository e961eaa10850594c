// Training, its times and the gradients of a head in f32, with something that helps the CPU: it does its share and is named, and
// what is in f64 never goes there.

#include "cli/process.h"
#include "data/planted.h"
#include "gui/support/counting_accelerator.h"
#include "gui/support/wait_until.h"
#include "state/head_gradients.h"
#include "state/training_runner.h"
#include "state/training_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <memory>
#include <thread>

namespace convscope {
namespace {

using namespace std::chrono_literals;
using State = TrainingView::State;

TrainingRequest small_request(Precision precision) {
  TrainingRequest request;
  request.problem.n = 96;
  request.problem.d = 8;
  request.problem.k = 3;
  request.problem.seed = 7;
  request.steps = 6;
  request.precision = precision;
  return request;
}

class OnDevice : public ::testing::Test {
 protected:
  ChosenDevice device(Index smallest = 1) const { return {{DeviceWish::Kind::gpu, 0}, helper_, smallest, true}; }
  void finish() {
    wait_until([&] { return runner_.view().state == State::done; });
  }

  std::shared_ptr<CountingAccelerator> helper_ = std::make_shared<CountingAccelerator>("GPU 0 (helper)");
  TrainingRunner runner_{[] {}};
};

TEST_F(OnDevice, TrainingInF32GivesTheNumbersOfTheCommandLine) {
  const testing::TemporaryFolder folder;
  const auto printed = testing::run_convscope({"train", "--n", "96", "--d", "8", "--k", "3", "--seed", "7", "--steps", "6",
                                               "--precision", "f32", "--device", "cpu", "--json"},
                                              folder.path());
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  const auto runs = nlohmann::json::parse(printed.out)["runs"];
  for (const bool helped : {false, true}) {
    SCOPED_TRACE(helped);
    runner_.run(small_request(Precision::f32), helped ? device() : ChosenDevice{});
    finish();
    const TrainingResult& result = runner_.view().result;
    EXPECT_EQ(result.device, helped ? "GPU 0 (helper)" : "CPU");
    EXPECT_EQ(helper_->asked_backward > 0, helped);
    ASSERT_EQ(runs.size(), result.runs.size());
    for (std::size_t run = 0; run < runs.size(); ++run) {
      const auto& steps = result.runs[run].steps;
      ASSERT_EQ(runs[run]["loss"].size(), steps.size());
      for (std::size_t step = 0; step < steps.size(); ++step) {
        EXPECT_EQ(runs[run]["loss"][step], steps[step].loss);
        EXPECT_EQ(runs[run]["gradient_norm"][step], steps[step].gradient_norm);
      }
      EXPECT_EQ(result.runs[run].gradient.rows(), 8);
    }
  }
}

TEST_F(OnDevice, TrainingInF64IsTheCpus) {
  runner_.run(small_request(Precision::f64), device());
  finish();
  EXPECT_EQ(runner_.view().result.device, "CPU");
  EXPECT_EQ(helper_->asked + helper_->asked_backward, 0);
  EXPECT_TRUE(runner_.view().result.is_of(small_request(Precision::f64), {})) << "another device is nothing to it";
  const auto f64 = runner_.view().result.runs.front().steps.back().loss;
  runner_.run(small_request(Precision::f32), device(97));
  finish();
  EXPECT_EQ(helper_->asked + helper_->asked_backward, 0) << "fewer tokens than are its own";
  EXPECT_NE(runner_.view().result.runs.front().steps.back().loss, f64) << "other numbers";
  ASSERT_TRUE(runner_.view().earlier) << "another precision is another experiment";
}

TEST_F(OnDevice, AnotherDeviceBeginsTheExperimentAnew) {
  TrainingRequest endless = small_request(Precision::f32);
  endless.steps = 10000;
  runner_.run(endless);
  wait_until([&] { return runner_.view().result.steps() > 2; });
  EXPECT_EQ(helper_->asked_backward, 0);
  runner_.want(endless, {{}, nullptr, 1, false});
  EXPECT_TRUE(runner_.view().result.is_of(endless, {{}, nullptr, 1, false})) << "what is not known yet changes nothing";
  EXPECT_FALSE(runner_.view().result.is_of(endless, device()));
  runner_.want(endless, device());
  wait_until([&] { return helper_->asked_backward > 0 && runner_.view().result.device == "GPU 0 (helper)"; });
  EXPECT_TRUE(runner_.view().result.is_of(endless, device()));
  runner_.stop();
}

TEST_F(OnDevice, TimesOfAStepNameIt) {
  for (const Precision precision : {Precision::f64, Precision::f32}) {
    TrainingTimes times([] {});
    times.measure(small_request(precision), device());
    wait_until([&] { return !times.view().points.empty(); });
    times.stop();
    const bool helped = precision == Precision::f32;
    EXPECT_EQ(times.view().device, helped ? "GPU 0 (helper)" : "CPU");
    EXPECT_EQ(helper_->asked_backward > 0, helped);
  }
}

TEST_F(OnDevice, GradientsOfAHeadInF32AreTheEnginesOnEither) {
  const auto planted = convbasis::make_planted<float>({.n = 90, .d = 8, .k = 3, .seed = 5});
  const auto analysis = std::make_shared<const HeadGradients::Analysis>(convbasis::analyze_head<float>(planted.head, {.k = 3}));
  AnalysisRequest request;
  request.n = 90;
  request.k = 3;
  const auto output = convbasis::random_output_gradient<float>(90, 8, 3);
  const auto expected =
      convbasis::compare_gradients<float>(analysis->head(), request.options(), convbasis::view(output), convbasis::all_backwards);
  HeadGradients gradients([] {});
  gradients.show(true);
  const auto settle = [&] {
    wait_until([&] {
      gradients.poll();
      return !gradients.pending();
    });
  };
  for (const bool helped : {false, true}) {
    SCOPED_TRACE(helped);
    gradients.want(analysis, request, 3, Precision::f32, helped ? device() : ChosenDevice{});
    EXPECT_TRUE(gradients.stale());
    settle();
    ASSERT_TRUE(gradients.comparison()) << gradients.failure();
    EXPECT_EQ(gradients.comparison()->device, helped ? "GPU 0 (helper)" : "CPU");
    EXPECT_EQ(helper_->asked_backward, helped ? 1 : 0);
    ASSERT_EQ(gradients.comparison()->ways.size(), expected.ways.size());
    for (std::size_t way = 0; way < expected.ways.size(); ++way) {
      EXPECT_EQ(gradients.comparison()->ways[way].key, expected.ways[way].key.cast<double>());
      EXPECT_EQ(gradients.comparison()->ways[way].query_error, expected.ways[way].query_error);
    }
    EXPECT_EQ(gradients.comparison()->k_found, expected.k_found);
    EXPECT_EQ(gradients.comparison()->starts, expected.starts);
  }
  gradients.want(analysis, request, 3, Precision::f64, device());
  settle();
  EXPECT_EQ(gradients.comparison()->device, "CPU");
  EXPECT_EQ(helper_->asked_backward, 1);
  const auto before = gradients.comparison();
  gradients.want(analysis, request, 3, Precision::f32, {{}, nullptr, 1, false});
  settle();
  EXPECT_EQ(gradients.comparison(), before) << "nothing is begun while the device is looked for";
}

}  // namespace
}  // namespace convscope
