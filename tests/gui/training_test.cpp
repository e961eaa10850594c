// Training in the background, without a window: the numbers are the engine's, and it begins, stops and goes on as told.
#include "state/gradient_picture.h"
#include "state/head_gradients.h"
#include "state/training_runner.h"
#include "state/training_times.h"

#include "cli/process.h"
#include "data/planted.h"
#include "training/curves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <thread>

namespace convscope {
namespace {

using namespace std::chrono_literals;
using State = TrainingView::State;
using convbasis::TrainingStep;

TrainingRequest small_request() {
  TrainingRequest request;
  request.problem.n = 96;
  request.problem.d = 8;
  request.problem.k = 3;
  request.problem.seed = 7;
  request.steps = 12;
  return request;
}

/// So many steps that no test waits for the last.
TrainingRequest endless_request() {
  TrainingRequest request = small_request();
  request.steps = 10000;
  return request;
}

/// All that does not depend on the clock.
void expect_same(const TrainingStep& a, const TrainingStep& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.exact_loss, b.exact_loss);
  EXPECT_EQ(a.gradient_norm, b.gradient_norm);
  EXPECT_EQ(a.gradient_error, b.gradient_error);
  EXPECT_EQ(a.recovered, b.recovered);
  EXPECT_EQ(a.k_found, b.k_found);
}

class TrainingRunnerTest : public ::testing::Test {
 protected:
  template <class Condition>
  bool becomes(const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (!condition(runner_.view())) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }
  bool becomes(State state) {
    return becomes([state](const TrainingView& view) { return view.state == state; });
  }
  bool gets_beyond(int steps) {
    return becomes([steps](const TrainingView& view) { return view.result.steps() > steps; });
  }

  std::atomic<int> wakes_ = 0;
  TrainingRunner runner_{[this] { ++wakes_; }};
};

TEST_F(TrainingRunnerTest, NumbersAreThoseOfTheTrainer) {
  TrainingRequest request = small_request();
  request.optimiser = convbasis::Optimiser::adam;
  request.recover_every = 5;
  request.between = convbasis::Between::basis;
  runner_.run(request);
  ASSERT_TRUE(becomes(State::done));
  EXPECT_GT(wakes_, 0);
  const TrainingResult& result = runner_.view().result;
  ASSERT_EQ(result.runs.size(), convbasis::all_backwards.size());
  const auto problem =
      std::make_shared<const convbasis::OneLayerProblem<double>>(convbasis::plant_one_layer<double>(request.problem));
  for (const TrainingRun& run : result.runs) {
    SCOPED_TRACE(title_of(run.backward));
    convbasis::Trainer<double> trainer(problem, request.options(run.backward));
    ASSERT_EQ(std::ssize(run.steps), request.steps);
    for (const TrainingStep& step : run.steps) expect_same(step, trainer.step());
    EXPECT_EQ(run.gradient, trainer.gradient());
    EXPECT_EQ(run.exact_gradient, trainer.exact_gradient());
  }
  EXPECT_LT(result.runs.back().steps.back().loss, result.runs.back().steps.front().loss) << "nothing was learnt";
}

TEST_F(TrainingRunnerTest, NumbersAreThoseOfTheCommandLine) {
  const testing::TemporaryFolder folder;
  const auto printed = testing::run_convscope(
      {"train",     "--n",   "96",           "--d",  "8",      "--k",  "3",      "--seed",      "7",    "--steps",         "12",
       "--T",       "6",     "--noise",      "1e-5", "--rate", "0.02", "--json", "--optimizer", "adam", "--recover-every", "4",
       "--between", "basis", "--parameters", "free"},
      folder.path());
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  const auto runs = nlohmann::json::parse(printed.out)["runs"];
  TrainingRequest request = small_request();
  request.problem.T = 6;
  request.problem.noise = 1e-5;
  request.optimiser = convbasis::Optimiser::adam;
  request.rate = 0.02;
  request.parameters = convbasis::Parameters::free;
  request.recover_every = 4;
  request.between = convbasis::Between::basis;
  runner_.run(request);
  ASSERT_TRUE(becomes(State::done));
  const TrainingResult& result = runner_.view().result;
  ASSERT_EQ(runs.size(), result.runs.size());
  for (std::size_t run = 0; run < runs.size(); ++run) {
    EXPECT_EQ(runs[run]["backward"], convbasis::name_of(result.runs[run].backward));
    const std::vector<TrainingStep>& steps = result.runs[run].steps;
    ASSERT_EQ(runs[run]["loss"].size(), steps.size());
    for (std::size_t step = 0; step < steps.size(); ++step) {
      EXPECT_EQ(runs[run]["loss"][step], steps[step].loss);
      EXPECT_EQ(runs[run]["exact_loss"][step], steps[step].exact_loss);
      EXPECT_EQ(runs[run]["gradient_norm"][step], steps[step].gradient_norm);
      EXPECT_EQ(runs[run]["gradient_error"][step], steps[step].gradient_error);
    }
  }
}

TEST_F(TrainingRunnerTest, StepTakesOneOfEach) {
  TrainingRequest request = small_request();
  request.wanted = {true, false, true};
  for (int steps = 1; steps <= 3; ++steps) {
    runner_.step(request);
    ASSERT_TRUE(becomes(State::stopped));
    ASSERT_EQ(runner_.view().result.runs.size(), 2U);
    for (const TrainingRun& run : runner_.view().result.runs) EXPECT_EQ(std::ssize(run.steps), steps);
  }
}

TEST_F(TrainingRunnerTest, RunGoesOnWhereStepsEndedAndFurtherWhenMoreAreWanted) {
  TrainingRequest request = small_request();
  runner_.step(request);
  ASSERT_TRUE(becomes(State::stopped));
  runner_.run(request);
  ASSERT_TRUE(becomes(State::done));
  const std::vector<TrainingStep> twelve = runner_.view().result.runs.back().steps;
  request.steps = 20;
  runner_.run(request);
  ASSERT_TRUE(becomes(State::done));
  const TrainingRun& run = runner_.view().result.runs.back();
  ASSERT_EQ(run.steps.size(), 20U);
  for (std::size_t step = 0; step < twelve.size(); ++step) expect_same(run.steps[step], twelve[step]);
  EXPECT_EQ(run.steps.back().step, 19);
  EXPECT_FALSE(runner_.view().earlier) << "it is the same experiment";
}

TEST_F(TrainingRunnerTest, StopStopsAndRunGoesOn) {
  runner_.run(endless_request());
  ASSERT_TRUE(gets_beyond(3));
  runner_.stop();
  EXPECT_FALSE(runner_.busy());
  EXPECT_EQ(runner_.view().state, State::stopped);
  std::this_thread::sleep_for(300ms);  // a step that was already done when the stop came may still arrive
  const int steps = runner_.view().result.steps();
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(runner_.view().result.steps(), steps);
  EXPECT_LT(steps, 10000);
  runner_.run(endless_request());
  ASSERT_TRUE(gets_beyond(steps + 3));
  const auto& run = runner_.view().result.runs.front();
  for (std::size_t step = 0; step < run.steps.size(); ++step) ASSERT_EQ(run.steps[step].step, static_cast<int>(step));
}

TEST_F(TrainingRunnerTest, NewerRequestReplacesTheOneThatRunsAndKeepsItsCurves) {
  runner_.run(endless_request());
  ASSERT_TRUE(gets_beyond(3));
  TrainingRequest other = endless_request();
  other.problem.seed = 8;
  runner_.want(endless_request());
  EXPECT_FALSE(runner_.view().earlier) << "nothing else was wanted";
  runner_.want(other);
  ASSERT_TRUE(runner_.view().earlier);
  EXPECT_GT(runner_.view().earlier->steps(), 3);
  EXPECT_TRUE(same_experiment(runner_.view().earlier->request, endless_request()));
  ASSERT_TRUE(gets_beyond(1));
  EXPECT_TRUE(same_experiment(runner_.view().result.request, other));
  EXPECT_NE(runner_.view().result.runs.front().steps.front().loss, runner_.view().earlier->runs.front().steps.front().loss);
}

TEST_F(TrainingRunnerTest, NothingBeginsByItself) {
  runner_.want(small_request());
  EXPECT_FALSE(runner_.busy());
  EXPECT_EQ(runner_.view().state, State::empty);
  runner_.run(small_request());
  ASSERT_TRUE(becomes(State::done));
  TrainingRequest other = small_request();
  other.problem.n = 100;
  runner_.want(other);
  EXPECT_FALSE(runner_.busy()) << "a finished experiment stays until Run or Step";
}

TEST_F(TrainingRunnerTest, ResetForgetsWhatRan) {
  runner_.run(endless_request());
  ASSERT_TRUE(gets_beyond(1));
  const std::uint64_t version = runner_.view().version;
  runner_.reset();
  EXPECT_EQ(runner_.view().state, State::empty);
  EXPECT_NE(runner_.view().version, version);
  EXPECT_TRUE(runner_.view().result.runs.empty());
  runner_.step(small_request());
  ASSERT_TRUE(becomes(State::stopped));
  EXPECT_EQ(runner_.view().result.steps(), 1);
  EXPECT_FALSE(runner_.view().earlier);
}

TEST_F(TrainingRunnerTest, SaysWhatIsWrong) {
  TrainingRequest request = small_request();
  request.problem.noise = 1e6;
  runner_.run(request);
  ASSERT_TRUE(becomes(State::failed));
  EXPECT_THAT(runner_.view().failure, ::testing::HasSubstr("noise"));
  runner_.run(small_request());
  ASSERT_TRUE(becomes(State::done));
  EXPECT_EQ(runner_.view().failure, "");
}

TEST_F(TrainingRunnerTest, VersionStaysWhileNothingHappens) {
  runner_.run(small_request());
  ASSERT_TRUE(becomes(State::done));
  const std::uint64_t version = runner_.view().version;
  EXPECT_EQ(runner_.view().version, version);
}

RC_GTEST_PROP(TrainingRequests, ClampedOnesCanBePlanted, ()) {
  TrainingRequest wild;
  wild.problem.n = *rc::gen::inRange<Index>(-5, 70);
  wild.problem.d = *rc::gen::inRange<Index>(-5, 12);
  wild.problem.k = *rc::gen::inRange<Index>(-5, 70);
  wild.problem.T = *rc::gen::inRange<Index>(-5, 70);
  wild.problem.noise = *rc::gen::element(0.0, -1.0, std::numeric_limits<double>::quiet_NaN());
  wild.rate = *rc::gen::element(0.0, -1.0, std::numeric_limits<double>::infinity());
  wild.steps = *rc::gen::inRange(-5, 20000);
  wild.recover_every = *rc::gen::inRange(-5, 20000);
  wild.wanted = {*rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<bool>()};
  const TrainingRequest request = clamped(wild);
  RC_ASSERT(request == clamped(request));
  const auto problem =
      std::make_shared<const convbasis::OneLayerProblem<double>>(convbasis::plant_one_layer<double>(request.problem));
  for (const Backward backward : convbasis::all_backwards) {
    convbasis::Trainer<double>(problem, request.options(backward)).step();  // must not throw
  }
}

TEST(TrainingTimes, MeasuresOnDemandUntilStopped) {
  std::atomic<int> wakes = 0;
  TrainingTimes times([&] { ++wakes; });
  EXPECT_EQ(times.view().state, StepTimesView::State::unasked);
  TrainingRequest request = small_request();
  request.wanted = {true, false, true};
  times.measure(request);
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (times.view().points.size() < 2 && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(1ms);
  times.stop();
  const StepTimesView view = times.view();
  ASSERT_GE(view.points.size(), 2U);
  EXPECT_EQ(view.points[0].n, 256);
  EXPECT_EQ(view.points[0].backward, Backward::exact);
  EXPECT_EQ(view.points[1].backward, Backward::conv);
  for (const StepTime& point : view.points) {
    EXPECT_GT(point.seconds_min, 0.0);
    EXPECT_LE(point.seconds_min, point.seconds);
    EXPECT_LE(point.seconds, point.seconds_max);
  }
  EXPECT_EQ(view.state, StepTimesView::State::stopped);
  EXPECT_GT(wakes, 0);
}

TEST(TrainingTimes, PausedMeasuresNothing) {
  TrainingTimes times({});
  times.pause(true);
  times.measure(small_request());
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(times.view().state, StepTimesView::State::paused);
  EXPECT_TRUE(times.view().points.empty());
  EXPECT_FALSE(times.busy());
}

class HeadGradientsTest : public ::testing::Test {
 protected:
  using Analysis = HeadGradients::Analysis;

  static std::shared_ptr<const Analysis> analysis_of(Index n) {
    const auto planted = convbasis::make_planted<float>({.n = n, .d = 8, .k = 3, .seed = 5});
    return std::make_shared<const Analysis>(convbasis::analyze_head<float>(planted.head, {.k = 3}));
  }
  static AnalysisRequest request_of(const Analysis& analysis) {
    AnalysisRequest request;
    request.source = 1;
    request.n = analysis.n;
    request.k = 3;
    return request;
  }
  bool becomes_settled() {
    const auto end = std::chrono::steady_clock::now() + 60s;
    do {
      gradients_.poll();
      if (!gradients_.pending()) return true;
      std::this_thread::sleep_for(1ms);
    } while (std::chrono::steady_clock::now() < end);
    return false;
  }

  HeadGradients gradients_{[] {}};
};

TEST_F(HeadGradientsTest, AreThoseOfTheEngine) {
  const auto analysis = analysis_of(90);
  const AnalysisRequest request = request_of(*analysis);
  gradients_.want(analysis, request, 3);
  gradients_.show(true);
  ASSERT_TRUE(becomes_settled());
  ASSERT_TRUE(gradients_.comparison()) << gradients_.failure();
  convbasis::HeadTensors<double> head;
  head.query = analysis->head().query.cast<double>();
  head.key = analysis->head().key.cast<double>();
  head.value = analysis->head().value.cast<double>();
  head.scale = analysis->head().scale;
  const auto output = convbasis::random_output_gradient<double>(90, 8, 3);
  const auto expected =
      convbasis::compare_gradients<double>(head.view(), request.options(), convbasis::view(output), convbasis::all_backwards);
  ASSERT_EQ(gradients_.comparison()->ways.size(), expected.ways.size());
  for (std::size_t way = 0; way < expected.ways.size(); ++way) {
    const auto& found = gradients_.comparison()->ways[way];
    EXPECT_EQ(found.backward, expected.ways[way].backward);
    EXPECT_EQ(found.query, expected.ways[way].query);
    EXPECT_EQ(found.query_error, expected.ways[way].query_error);
    EXPECT_EQ(found.key_error, expected.ways[way].key_error);
    EXPECT_EQ(found.value_error, expected.ways[way].value_error);
  }
  EXPECT_EQ(gradients_.n(), 90);
}

TEST_F(HeadGradientsTest, WaitUntilSomebodyLooksAndFollowTheRequest) {
  const auto analysis = analysis_of(60);
  AnalysisRequest request = request_of(*analysis);
  gradients_.want(analysis, request, 1);
  gradients_.poll();
  EXPECT_FALSE(gradients_.busy());
  EXPECT_FALSE(gradients_.comparison());
  gradients_.show(true);
  ASSERT_TRUE(becomes_settled());
  const auto first = gradients_.comparison();
  request.band = 5;
  gradients_.want(analysis, request, 1);
  ASSERT_TRUE(becomes_settled());
  EXPECT_EQ(gradients_.comparison(), first) << "Recover does not read the band";
  gradients_.want(analysis, request, 2);
  EXPECT_TRUE(gradients_.stale());
  EXPECT_EQ(gradients_.comparison(), first) << "stays until the next is there";
  ASSERT_TRUE(becomes_settled());
  EXPECT_NE(gradients_.comparison(), first);
  request.k = 1;
  gradients_.want(analysis, request, 2);
  ASSERT_TRUE(becomes_settled());
  EXPECT_EQ(gradients_.comparison()->k_found, 1);
}

TEST(GradientPicture, PoolsToTheLargestMagnitude) {
  convbasis::Matrix<double> values(3, 2);
  values << 1.0, -5.0, -2.0, 4.0, std::nan(""), 0.5;
  const auto same = pooled_peaks(values, 8);
  EXPECT_EQ(same.rows(), 3);
  EXPECT_EQ(same(0, 1), -5.0F);
  const auto small = pooled_peaks(values, 2);
  ASSERT_EQ(small.rows(), 2);
  EXPECT_EQ(small(0, 0), -2.0F);
  EXPECT_EQ(small(0, 1), -5.0F);
  EXPECT_TRUE(std::isnan(small(1, 0)));
  EXPECT_EQ(largest_magnitude(small), 5.0);
}

RC_GTEST_PROP(GradientPicture, NothingIsLostByPooling, ()) {
  const auto rows = *rc::gen::inRange<Index>(1, 40);
  const auto columns = *rc::gen::inRange<Index>(1, 40);
  const auto most = *rc::gen::inRange<Index>(1, 40);
  std::srand(*rc::gen::arbitrary<unsigned>());
  const convbasis::Matrix<float> values = convbasis::Matrix<float>::Random(rows, columns);
  const auto cells = pooled_peaks(values, most);
  RC_ASSERT(cells.rows() == std::min(rows, most));
  RC_ASSERT(cells.cols() == std::min(columns, most));
  RC_ASSERT(largest_magnitude(cells) == static_cast<double>(values.cwiseAbs().maxCoeff()));
  for (const float cell : cells.reshaped()) RC_ASSERT((values.array() == cell).any());
}

TEST(GradientPicture, IsWhiteAtZeroAndLoudAtNaN) {
  convbasis::Matrix<float> cells(1, 3);
  cells << -1.0F, 0.0F, std::nanf("");
  const ColourTable table = colour_table(ColourMap::diverging);
  const auto pixels = coloured_cells(cells, 6, 1.0, table, {1.0F, 0.0F, 1.0F});
  ASSERT_EQ(pixels.size(), 6U * 6U * 4U);
  const auto pixel = [&](std::size_t x) { return std::vector<int>(pixels.begin() + 4 * x, pixels.begin() + 4 * x + 3); };
  const auto expected = [](Rgb c) {
    return std::vector<int>{static_cast<int>(std::lround(255 * c.r)), static_cast<int>(std::lround(255 * c.g)),
                            static_cast<int>(std::lround(255 * c.b))};
  };
  EXPECT_EQ(pixel(0), expected(colour_at(table, 0.0)));
  EXPECT_EQ(pixel(1), pixel(0)) << "a cell is stretched over its pixels";
  EXPECT_EQ(pixel(2), expected(colour_at(table, 0.5)));
  EXPECT_EQ(pixel(5), (std::vector<int>{255, 0, 255}));
}

}  // namespace
}  // namespace convscope
