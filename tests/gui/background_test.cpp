// Work that can wait: steps, pauses and replacements; runtime curves from a measuring function of the test's; errors against k.
#include "state/error_curve.h"
#include "state/idle_worker.h"
#include "state/runtime_measurer.h"

#include "attention/accelerator.h"
#include "core/errors.h"
#include "data/planted.h"
#include "gui/support/wait_until.h"
#include "view/error_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

namespace convscope {
namespace {

using namespace std::chrono_literals;
using convbasis::CurveRequest;
using convbasis::RunContext;

void hold_until_stopped(const std::stop_token& stop) {
  while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
  throw convbasis::Cancelled();
}

TEST(IdleWorker, TakesStepsUntilTheLast) {
  std::atomic<int> steps{0};
  std::atomic<int> wakes{0};
  IdleWorker worker([&] { ++wakes; });
  EXPECT_EQ(worker.state(), IdleWorker::State::idle);
  worker.start([&](const std::stop_token&) { return ++steps < 5; });
  wait_until([&] { return worker.state() == IdleWorker::State::idle && wakes >= 5; });
  EXPECT_EQ(steps, 5);
}

TEST(IdleWorker, PauseGivesUpTheStepAndBeginsItAgain) {
  std::atomic<int> begun{0};
  std::atomic<bool> hold{true};
  IdleWorker worker({});
  worker.start([&](const std::stop_token& stop) {
    ++begun;
    if (hold) hold_until_stopped(stop);
    return false;
  });
  wait_until([&] { return begun == 1; });
  worker.pause(true);
  EXPECT_EQ(worker.state(), IdleWorker::State::paused);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(begun, 1);
  hold = false;
  worker.pause(false);
  wait_until([&] { return worker.state() == IdleWorker::State::idle; });
  EXPECT_EQ(begun, 2);
}

TEST(IdleWorker, ANewTaskStopsTheOld) {
  std::atomic<int> old_steps{0};
  std::atomic<bool> done{false};
  IdleWorker worker({});
  worker.start([&](const std::stop_token& stop) {
    ++old_steps;
    hold_until_stopped(stop);
    return true;
  });
  wait_until([&] { return old_steps == 1; });
  worker.start([&](const std::stop_token&) {
    done = true;
    return false;
  });
  wait_until([&] { return done && worker.state() == IdleWorker::State::idle; });
  EXPECT_EQ(old_steps, 1);
}

TEST(IdleWorker, AFailureEndsTheTaskAndIsKept) {
  IdleWorker worker({});
  worker.start([](const std::stop_token&) -> bool { throw std::runtime_error("it broke"); });
  wait_until([&] { return worker.state() == IdleWorker::State::idle; });
  EXPECT_EQ(worker.failure(), "it broke");
  worker.drop();
  EXPECT_EQ(worker.failure(), "");
}

TEST(IdleWorker, EndsInTheMiddleOfAStep) {
  std::atomic<bool> begun{false};
  IdleWorker worker({});
  worker.start([&](const std::stop_token& stop) {
    begun = true;
    hold_until_stopped(stop);
    return true;
  });
  wait_until([&] { return begun.load(); });
}

/// Times that follow a law instead of a clock. `exact` is quadratic and takes 0.5 s at 8192.
CurvePoint made_up(const std::string& method, Index n, Index k) {
  CurvePoint point;
  point.method = method;
  point.n = n;
  point.k = method == "exact" ? 0 : k;
  const double share = static_cast<double>(n) / 8192.0;
  point.seconds = method == "exact" ? 0.5 * share * share : 0.01 * share;
  point.seconds_min = point.seconds_max = point.seconds;
  point.repeats = 1;
  return point;
}

class Runtime : public testing::Test {
 protected:
  RuntimeMeasurer::Measure measure() {
    return [this](const CurveRequest& request, const RunContext& context) {
      ++calls_;
      if (hold_at_ == request.n.front()) hold_until_stopped(context.stop);
      std::vector<CurvePoint> points;
      for (const std::string& method : request.methods) points.push_back(made_up(method, request.n.front(), request.k.front()));
      return points;
    };
  }
  static void finish(const RuntimeMeasurer& measurer) {
    wait_until([&] { return measurer.view().state == RuntimeView::State::done; });
  }

  std::atomic<int> calls_{0};
  std::atomic<Index> hold_at_{0};
};

std::vector<Index> sizes_of(const RuntimeView& view, const std::string& method) {
  std::vector<Index> sizes;
  for (const CurvePoint& point : view.points) {
    if (point.method == method) sizes.push_back(point.n);
  }
  return sizes;
}

TEST_F(Runtime, MeasuresNothingUnasked) {
  RuntimeMeasurer measurer({}, measure());
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls_, 0);
  EXPECT_EQ(measurer.view().state, RuntimeView::State::unasked);
  measurer.again();
  EXPECT_EQ(measurer.view().state, RuntimeView::State::unasked);
}

TEST_F(Runtime, MeasuresEverySizeOnceAndCarriesOnWhatTakesTooLong) {
  RuntimeMeasurer measurer({}, measure());
  measurer.want({.d = 32, .k = 4, .threads = 1});
  finish(measurer);
  const RuntimeView view = measurer.view();
  EXPECT_EQ(calls_, 8);
  for (const char* method : {"exact", "conv_partitioned"})
    EXPECT_THAT(sizes_of(view, method), testing::ElementsAre(256, 512, 1024, 2048, 4096, 8192, 16384, 32768)) << method;
  for (const CurvePoint& point : view.points) {
    // 2 s at 16384 is over a second, so it is not run; nor is what follows.
    const bool too_long = point.method == "exact" && point.n > 8192;
    EXPECT_EQ(point.extrapolated, too_long) << point.method << " " << point.n;
    if (point.method != "exact") continue;
    EXPECT_DOUBLE_EQ(point.seconds, made_up("exact", point.n, 0).seconds);
  }
  measurer.want({.d = 32, .k = 4, .threads = 1});
  EXPECT_EQ(measurer.view().state, RuntimeView::State::done);
  EXPECT_EQ(calls_, 8);
}

TEST_F(Runtime, PauseDiscardsWhatWasBeingMeasured) {
  hold_at_ = 1024;
  RuntimeMeasurer measurer({}, measure());
  measurer.want({.d = 32, .k = 4, .threads = 1});
  wait_until([&] { return calls_ == 3; });
  EXPECT_EQ(measurer.view().n, 1024);
  measurer.pause(true);
  EXPECT_EQ(measurer.view().state, RuntimeView::State::paused);
  EXPECT_THAT(sizes_of(measurer.view(), "exact"), testing::ElementsAre(256, 512));
  hold_at_ = 0;
  measurer.pause(false);
  finish(measurer);
  EXPECT_THAT(sizes_of(measurer.view(), "exact"), testing::ElementsAre(256, 512, 1024, 2048, 4096, 8192, 16384, 32768));
}

TEST_F(Runtime, TimesTakenWhileStoppedAreNotKept) {
  std::atomic<bool> measuring{false};
  // Does not look at the stop token, as a short run would not.
  RuntimeMeasurer measurer({}, [&](const CurveRequest& request, const RunContext& context) {
    measuring = true;
    while (!context.stop.stop_requested()) std::this_thread::sleep_for(1ms);
    return std::vector{made_up("exact", request.n.front(), 4)};
  });
  measurer.want({.d = 32, .k = 4, .threads = 1});
  wait_until([&] { return measuring.load(); });
  measurer.pause(true);
  std::this_thread::sleep_for(20ms);
  EXPECT_TRUE(measurer.view().points.empty());
}

TEST_F(Runtime, EarlierCurvesStayUntilReplaced) {
  RuntimeMeasurer measurer({}, measure());
  measurer.want({.d = 32, .k = 4, .threads = 1});
  finish(measurer);
  hold_at_ = 512;
  measurer.want({.d = 32, .k = 5, .threads = 1});
  wait_until([&] { return calls_ == 10; });
  RuntimeView view = measurer.view();
  EXPECT_EQ(view.setting.k, 5);
  EXPECT_EQ(view.earlier_setting.k, 4);
  EXPECT_FALSE(view.earlier.empty());
  EXPECT_THAT(sizes_of(view, "exact"), testing::ElementsAre(256));
  // Back to what is known: no work.
  measurer.want({.d = 32, .k = 4, .threads = 1});
  view = measurer.view();
  EXPECT_EQ(view.state, RuntimeView::State::done);
  EXPECT_TRUE(view.earlier.empty());
  EXPECT_EQ(calls_, 10);
}

TEST_F(Runtime, StopsUntilAskedAgain) {
  hold_at_ = 512;
  RuntimeMeasurer measurer({}, measure());
  measurer.want({.d = 32, .k = 4, .threads = 1});
  wait_until([&] { return calls_ == 2; });
  measurer.stop();
  EXPECT_EQ(measurer.view().state, RuntimeView::State::stopped);
  measurer.want({.d = 32, .k = 6, .threads = 1});
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls_, 2);
  hold_at_ = 0;
  measurer.again();
  finish(measurer);
  EXPECT_EQ(measurer.view().setting.k, 6);
}

TEST_F(Runtime, AsksForWhatCanBePlanted) {
  RuntimeMeasurer measurer({}, measure());
  measurer.want({.d = 33, .k = 3000, .threads = 1});
  finish(measurer);
  EXPECT_EQ(measurer.view().setting.d, 34);
  EXPECT_THAT(sizes_of(measurer.view(), "exact"), testing::ElementsAre(8192, 16384, 32768));
  measurer.want({.d = 32, .k = 1 << 20, .threads = 1});
  EXPECT_EQ(measurer.view().state, RuntimeView::State::done);
  EXPECT_TRUE(measurer.view().points.empty());
}

TEST_F(Runtime, AFailureIsSaid) {
  RuntimeMeasurer measurer({}, [](const CurveRequest&, const RunContext&) -> std::vector<CurvePoint> {
    throw convbasis::InvalidArgument("cannot be measured");
  });
  measurer.want({.d = 32, .k = 4, .threads = 1});
  wait_until([&] { return measurer.view().state == RuntimeView::State::failed; });
  EXPECT_EQ(measurer.view().failure, "cannot be measured");
}

TEST_F(Runtime, LeavesFeaturesOutThatTakeTooMuchMemory) {
  RuntimeMeasurer measurer({}, measure());
  measurer.want({.d = 64, .k = 4, .degree = 6, .threads = 1});
  finish(measurer);
  EXPECT_TRUE(sizes_of(measurer.view(), "rank").empty());
  EXPECT_EQ(sizes_of(measurer.view(), "planned").size(), 8U);
  measurer.want({.d = 64, .k = 4, .degree = 1, .threads = 1});
  finish(measurer);
  EXPECT_EQ(sizes_of(measurer.view(), "rank").size(), 8U);
}

/// One that is only handed on: the measuring function is the test's.
class NamedGpu final : public convbasis::Accelerator {
 public:
  std::string name() const override { return "GPU 0 (made up)"; }
  bool exact_attention(const convbasis::HeadView<float>&, convbasis::MutableMatrixView<float>, std::span<double>,
                       const RunContext&) const override {
    return false;
  }
  bool exact_backward(const convbasis::HeadView<float>&, const convbasis::BackwardInput<float>&,
                      const convbasis::HeadGradients<float>&, const RunContext&) const override {
    return false;
  }
  std::unique_ptr<convbasis::AcceleratedProduct> product(const convbasis::AcceleratedWeights&, const RunContext&) const override {
    return nullptr;
  }
};

TEST_F(Runtime, WithAGpuItsLinesAreMeasuredToo) {
  const auto gpu = std::make_shared<const NamedGpu>();
  std::atomic<const convbasis::Accelerator*> seen{nullptr};
  RuntimeMeasurer measurer({}, [&](const CurveRequest& request, const RunContext& context) {
    seen = context.accelerator;
    std::vector<CurvePoint> points = measure()(request, context);
    // Twice as fast as the CPU's: quadratic, and 1 s at 16384.
    for (CurvePoint& point : points) {
      if (point.method == "cuda_exact") point.seconds = made_up("exact", point.n, 0).seconds / 2.0;
    }
    return points;
  });
  measurer.want({.d = 32, .k = 4, .threads = 1});
  finish(measurer);
  EXPECT_TRUE(sizes_of(measurer.view(), "cuda_exact").empty());
  EXPECT_TRUE(sizes_of(measurer.view(), "cuda_conv").empty());
  EXPECT_EQ(seen, nullptr);
  measurer.want({.d = 32, .k = 4, .threads = 1, .gpu = gpu});
  EXPECT_NE(measurer.view().state, RuntimeView::State::done) << "another device is another setting";
  finish(measurer);
  EXPECT_EQ(seen, gpu.get());
  const RuntimeView view = measurer.view();
  EXPECT_EQ(view.setting.gpu, gpu);
  for (const char* method : {"cuda_exact", "cuda_conv", "exact"}) {
    EXPECT_THAT(sizes_of(view, method), testing::ElementsAre(256, 512, 1024, 2048, 4096, 8192, 16384, 32768)) << method;
  }
  for (const CurvePoint& point : view.points) {
    if (point.method != "cuda_exact") continue;
    EXPECT_EQ(point.extrapolated, point.n > 16384) << point.n;
    EXPECT_DOUBLE_EQ(point.seconds, made_up("exact", point.n, 0).seconds / 2.0) << "carried on by the square";
  }
  measurer.want({.d = 32, .k = 4, .threads = 1});
  EXPECT_EQ(measurer.view().state, RuntimeView::State::done) << "the CPU's curves are still known";
  EXPECT_TRUE(sizes_of(measurer.view(), "cuda_exact").empty());
}

TEST_F(Runtime, AGpuThatFailsIsLeftOutAndTheRestGoesOn) {
  std::atomic<int> tries{0};
  RuntimeMeasurer measurer({}, [&](const CurveRequest& request, const RunContext& context) {
    const bool on_gpu = std::ranges::find(request.methods, "cuda_conv") != request.methods.end();
    if (on_gpu && request.n.front() >= 1024) {
      ++tries;
      throw convbasis::Error("cuda_conv failed on the GPU");
    }
    return measure()(request, context);
  });
  measurer.want({.d = 32, .k = 4, .threads = 1, .gpu = std::make_shared<const NamedGpu>()});
  finish(measurer);
  EXPECT_EQ(tries, 1);
  EXPECT_EQ(measurer.view().failure, "");
  EXPECT_THAT(sizes_of(measurer.view(), "cuda_conv"), testing::ElementsAre(256, 512));
  EXPECT_THAT(sizes_of(measurer.view(), "cuda_exact"), testing::ElementsAre(256, 512));
  EXPECT_EQ(sizes_of(measurer.view(), "conv_partitioned").size(), 8U);
}

TEST(RuntimeReal, TakesRealTimesOfSmallSizes) {
  // Only the first sizes: what the engine gives is what the measurer shows.
  RuntimeMeasurer measurer({});
  measurer.want({.d = 8, .k = 2, .threads = 1});
  wait_until([&] { return sizes_of(measurer.view(), "planned").size() >= 2; });
  measurer.stop();
  for (const CurvePoint& point : measurer.view().points) {
    EXPECT_GT(point.seconds, 0.0);
    EXPECT_EQ(point.d, 8);
  }
}

class Curve : public testing::Test {
 protected:
  using Analysis = ErrorCurve::Analysis;

  void analyse(Index n, Index planted_k) {
    auto planted = convbasis::make_planted<float>({.n = n, .d = 16, .k = planted_k, .T = 4, .seed = 5});
    request_.n = n;
    request_.T = 4;
    request_.delta = planted.delta;
    request_.eps = 0.0;
    request_.k = std::min<Index>(n, 16);
    analysis_ = std::make_shared<Analysis>(convbasis::analyze_head(std::move(planted.head), request_.options()));
  }
  static void finish(const ErrorCurve& curve) {
    wait_until([&] { return curve.view().complete; });
  }

  AnalysisRequest request_;
  std::shared_ptr<const Analysis> analysis_;
};

TEST_F(Curve, OfNothingIsEmpty) {
  ErrorCurve curve({});
  curve.want(nullptr, {});
  EXPECT_TRUE(curve.view().points.empty());
  EXPECT_EQ(curve.view().largest, 0);
}

TEST_F(Curve, FindsThePlantedK) {
  analyse(300, 7);
  std::atomic<int> wakes{0};
  ErrorCurve curve([&] { ++wakes; });
  curve.set_target(0.001);
  curve.want(analysis_, request_);
  finish(curve);
  const ErrorCurveView view = curve.view();
  EXPECT_EQ(view.failure, "");
  EXPECT_TRUE(std::ranges::is_sorted(view.points, {}, &KError::k));
  EXPECT_EQ(view.points.back().found, 7);  // no more segments are there
  const KError* smallest = smallest_k_below(view.points, 0.001);
  ASSERT_TRUE(smallest);
  EXPECT_EQ(smallest->k, 7);
  EXPECT_LE(smallest->error, 1e-5);
  EXPECT_GE(wakes, static_cast<int>(view.points.size()));
}

TEST_F(Curve, OfAnSvdFallsWithTheRank) {
  analyse(200, 4);
  auto planted = convbasis::make_planted<float>({.n = 200, .d = 16, .k = 4, .T = 4, .seed = 5});
  request_.method = Method::rank;
  request_.k = 6;
  analysis_ = std::make_shared<Analysis>(convbasis::analyze_head_by_rank(std::move(planted.head), request_.rank_options()));
  ErrorCurve curve({});
  curve.set_target(0.05);
  curve.want(analysis_, request_);
  finish(curve);
  const ErrorCurveView view = curve.view();
  EXPECT_EQ(view.failure, "");
  EXPECT_EQ(view.points.back().k, 200);
  EXPECT_LE(view.points.back().error, 1e-4) << "of full rank it is exact";
  const KError* smallest = smallest_k_below(view.points, 0.05);
  ASSERT_TRUE(smallest);
  AnalysisRequest at = request_;
  at.k = smallest->k;
  EXPECT_TRUE(curve.is_of(at));
  const auto alone = convbasis::analyze_head_by_rank<float>(*analysis_->tensors, at.rank_options());
  EXPECT_NEAR(alone.error.relative_error, smallest->error, 0.01);
}

TEST_F(Curve, AnotherKIsTheSameCurve) {
  analyse(200, 4);
  ErrorCurve curve({});
  curve.want(analysis_, request_);
  finish(curve);
  AnalysisRequest other = request_;
  other.k = 3;
  EXPECT_TRUE(curve.is_of(other));
  curve.want(analysis_, other);
  EXPECT_TRUE(curve.view().complete);
  other.delta *= 2.0;
  EXPECT_FALSE(curve.is_of(other));
}

TEST_F(Curve, AnotherTargetLooksCloser) {
  analyse(300, 23);
  ErrorCurve curve({});
  curve.set_target(1e-9);  // float32 does not get there
  curve.want(analysis_, request_);
  finish(curve);
  EXPECT_FALSE(smallest_k_below(curve.view().points, 1e-9));
  EXPECT_EQ(curve.view().points.back().k, 23);
  const auto before = curve.view().points.size();
  curve.set_target(0.5 * (curve.view().points[before - 2].error + curve.view().points[before - 1].error));
  finish(curve);
  EXPECT_GT(curve.view().points.size(), before);
}

TEST_F(Curve, PausedItWaits) {
  analyse(200, 4);
  ErrorCurve curve({});
  curve.pause(true);
  curve.want(analysis_, request_);
  std::this_thread::sleep_for(20ms);
  EXPECT_TRUE(curve.view().points.empty());
  EXPECT_EQ(curve.state(), IdleWorker::State::paused);
  curve.pause(false);
  finish(curve);
}

TEST_F(Curve, OldHeadsDoNotMixWithNewOnes) {
  analyse(200, 4);
  const auto first = analysis_;
  AnalysisRequest first_request = request_;
  analyse(120, 3);
  AnalysisRequest second_request = request_;
  second_request.head = 1;
  ErrorCurve curve({});
  for (int turn = 0; turn < 20; ++turn) {
    curve.want(first, first_request);
    curve.want(analysis_, second_request);
  }
  finish(curve);
  EXPECT_EQ(curve.view().points.back().found, 3);
  curve.want(first, first_request);
  finish(curve);
  EXPECT_EQ(curve.view().points.back().found, 4);
}

TEST_F(Curve, OfOneToken) {
  analyse(4, 1);
  auto planted = convbasis::make_random_head<float>(1, 4, 4, 3);
  request_.n = request_.k = request_.T = 1;
  analysis_ = std::make_shared<Analysis>(convbasis::analyze_head(std::move(planted), request_.options()));
  ErrorCurve curve({});
  curve.want(analysis_, request_);
  finish(curve);
  ASSERT_EQ(curve.view().points.size(), 1U);
  EXPECT_EQ(curve.view().points[0].k, 1);
}

}  // namespace
}  // namespace convscope
