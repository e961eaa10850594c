// Runs by blocks of columns, forced at sizes where the ordinary analysis can be made of the very same tensors.
#include "analysis/streamed_analysis.h"

#include "analysis/head_analysis.h"
#include "core/errors.h"
#include "data/planted_values.h"
#include "support/expect_error.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace convbasis {
namespace {

using ::testing::HasSubstr;
using testing_inputs::message_of;

constexpr StreamedOptions unmeasured = {.exact_seconds = 0.0};

StreamedOptions with_recover(Index n, Index k = 16) {
  StreamedOptions options = unmeasured;
  options.recover = {.k = std::min(k, n), .T = std::min<Index>(8, n)};
  return options;
}

template <Real T>
struct Streamed {
  StreamedAnalysis analysis;
  Matrix<T> output;
};

/// Runs the plan and puts the blocks side by side.
template <Real T>
Streamed<T> run(const PlantedOptions& input, const StreamedOptions& options, const RunContext& context = {}) {
  const StreamedPlan plan = plan_streamed<T>(input, options);
  Streamed<T> streamed;
  streamed.output.setZero(input.n, plan.value_width);
  Index first = 0;
  const ColumnSink<T> sink = [&](MatrixView<T> block, const RunContext&) {
    streamed.output.middleCols(first, block.cols()) = block;
    first += block.cols();
  };
  streamed.analysis = analyze_streamed<T>(plan, sink, context);
  EXPECT_EQ(first, plan.value_width);
  return streamed;
}

/// The tensors that a plan stands for, made at once.
template <Real T>
HeadTensors<T> tensors_of(const StreamedPlan& plan) {
  HeadTensors<T> head = make_planted_scores<T>(plan.scores).head;
  head.value.resize(plan.scores.n, plan.value_width);
  make_values<T>(plan.scores.seed, 0, 0, mutable_view(head.value));
  return head;
}

/// What both products may be from the true one, relative: the tolerance of rescue is 1e-5 and 1e-13 of a typical row, for each.
template <Real T>
constexpr double product_tolerance = std::same_as<T, float> ? 2e-5 : 1e-12;

template <Real T>
void expect_equal_to_ordinary(const PlantedOptions& input, Index block_columns) {
  StreamedOptions options = with_recover(input.n);
  options.block_columns = block_columns;
  options.sampled_rows = input.n;
  const Streamed<T> streamed = run<T>(input, options);
  const StreamedPlan& plan = streamed.analysis.plan;
  const HeadAnalysis<T> ordinary = analyze_head<T>(tensors_of<T>(plan), options.recover);
  EXPECT_LE(reference::relative_error(streamed.output.template cast<double>(), ordinary.output.template cast<double>()),
            product_tolerance<T>);
  const auto starts = ordinary.recovery.basis.starts();
  EXPECT_EQ(streamed.analysis.starts, std::vector<Index>(starts.begin(), starts.end()));
  EXPECT_EQ(streamed.analysis.monotone, ordinary.recovery.monotone);
  EXPECT_EQ(streamed.analysis.scale, ordinary.head().scale);
  EXPECT_EQ(streamed.analysis.planted_starts, make_planted_scores<T>(plan.scores).starts);
  // All rows were looked at, so the errors are those of the whole output, from sums in double.
  const reference::Dense exact =
      reference::softmax(reference::scores(ordinary.head())).probability * ordinary.head().value.template cast<double>();
  const double error = reference::relative_error(streamed.output.template cast<double>(), exact);
  EXPECT_NEAR(streamed.analysis.relative_error, error, 1e-13 + 1e-6 * error);
  EXPECT_LE(error, (std::same_as<T, float> ? 1e-5 : 1e-11));  // the planted basis is exact
  EXPECT_GE(streamed.analysis.worst_row_error, streamed.analysis.relative_error * (1.0 - 1e-12));
}

TEST(AnalyzeStreamed, EqualsTheOrdinaryAnalysisForAnyBlock) {
  const PlantedOptions input{.n = 700, .d = 22, .k = 5, .seed = 3};
  for (const Index block : {1, 7, 11, 16, 22, 0, 100}) {
    SCOPED_TRACE(block);
    expect_equal_to_ordinary<float>(input, block);
    expect_equal_to_ordinary<double>(input, block);
  }
}

TEST(AnalyzeStreamed, WideValuesHaveScoresOfWidth64) {
  const PlantedOptions input{.n = 300, .d = 130, .k = 4, .seed = 4};
  const StreamedPlan plan = plan_streamed<float>(input, with_recover(300));
  EXPECT_EQ(plan.width, 130);
  EXPECT_EQ(plan.value_width, 130);
  EXPECT_EQ(plan.scores.d, 64);
  EXPECT_EQ(plan.block_columns, 64);
  EXPECT_EQ(plan.blocks(), 3);
  EXPECT_EQ(plan.columns(2), 2);
  expect_equal_to_ordinary<float>(input, 0);
  expect_equal_to_ordinary<double>(input, 50);
}

template <Real T>
void random_shapes_agree() {
  PlantedOptions input;
  input.n = *rc::gen::element<Index>(1, 2, 3, 17, 64, 65, 127, 128, 251, 400);
  input.d = 2 * *rc::gen::inRange<Index>(1, 20);
  input.value_width = *rc::gen::inRange<Index>(1, 40);
  input.T = std::min<Index>(8, input.n);
  input.k = std::min<Index>(input.n - input.T + 1, *rc::gen::inRange<Index>(1, 6));
  input.seed = *rc::gen::inRange<std::uint64_t>(0, 1000);
  StreamedOptions options = with_recover(input.n);
  options.block_columns = *rc::gen::inRange<Index>(1, input.value_width + 1);
  const Streamed<T> streamed = run<T>(input, options);
  const HeadAnalysis<T> ordinary = analyze_head<T>(tensors_of<T>(streamed.analysis.plan), options.recover);
  RC_ASSERT(reference::relative_error(streamed.output.template cast<double>(), ordinary.output.template cast<double>()) <=
            product_tolerance<T>);
  RC_ASSERT(static_cast<Index>(streamed.analysis.rows.size()) == std::min<Index>(64, input.n));
}

RC_GTEST_PROP(AnalyzeStreamedProperty, RandomShapesAgreeInFloat, ()) { random_shapes_agree<float>(); }
RC_GTEST_PROP(AnalyzeStreamedProperty, RandomShapesAgreeInDouble, ()) { random_shapes_agree<double>(); }

TEST(AnalyzeStreamed, RescuedRowsAreThoseOfAnyBlock) {
  // Scores of a large dynamic range, so that float32 needs rescue.
  const PlantedOptions input{.n = 3000, .d = 32, .value_width = 12, .k = 6, .spread = 3.0, .seed = 5};
  StreamedOptions options = with_recover(input.n);
  options.block_columns = 5;
  const Streamed<float> streamed = run<float>(input, options);
  const auto& rescued = streamed.analysis.rescued;
  EXPECT_GT(rescued.size(), 0U);
  EXPECT_EQ(std::adjacent_find(rescued.begin(), rescued.end(), std::greater_equal<>()), rescued.end()) << "ascending, once each";
  EXPECT_LE(streamed.analysis.relative_error, 1e-5);  // the limit
  EXPECT_THAT(streamed.analysis.path, HasSubstr("float32"));
}

TEST(AnalyzeStreamed, AnotherScaleIsUsedThroughout) {
  StreamedOptions options = with_recover(200);
  options.scale = 0.03;
  const Streamed<double> streamed = run<double>({.n = 200, .d = 8, .k = 3}, options);
  HeadTensors<double> head = tensors_of<double>(streamed.analysis.plan);
  head.scale = 0.03;
  EXPECT_EQ(streamed.analysis.scale, 0.03);
  const HeadAnalysis<double> ordinary = analyze_head<double>(head, options.recover);
  EXPECT_LE(reference::relative_error(streamed.output, ordinary.output), 1e-12);
  EXPECT_LE(streamed.analysis.relative_error, 1e-11);
}

TEST(AnalyzeStreamed, SecondsAndRatesFitEachOther) {
  const StreamedAnalysis analysis = run<float>({.n = 500, .d = 80, .k = 3}, with_recover(500)).analysis;
  const StreamedSeconds& seconds = analysis.seconds;
  const double parts = seconds.plant + seconds.recover + seconds.plan + seconds.values + seconds.apply + seconds.check +
                       seconds.exact + seconds.write;
  EXPECT_GT(seconds.apply, 0.0);
  EXPECT_LE(parts, seconds.total * (1.0 + 1e-9));
  EXPECT_DOUBLE_EQ(analysis.conv_seconds(), seconds.recover + seconds.plan + seconds.apply);
  EXPECT_DOUBLE_EQ(analysis.tokens_per_second() * analysis.conv_seconds(), 500.0);
  EXPECT_DOUBLE_EQ(analysis.equivalent_operations_per_second() * analysis.conv_seconds(), 500.0 * 500.0 * (64 + 80));
  EXPECT_DOUBLE_EQ(analysis.speed_up() * analysis.conv_seconds(), analysis.exact.seconds);
}

TEST(AnalyzeStreamed, ExactTimeIsExtrapolatedByOperationsAndSaysSo) {
  const ExactEstimate wide = run<float>({.n = 3000, .d = 128, .k = 3}, with_recover(3000)).analysis.exact;
  EXPECT_TRUE(wide.extrapolated);
  EXPECT_EQ(wide.measured_n, 2048) << "nothing more was asked for";
  EXPECT_EQ(wide.measured_width, 64);
  EXPECT_GT(wide.measured_seconds, 0.0);
  const double length = 3000.0 / 2048.0;
  EXPECT_DOUBLE_EQ(wide.seconds, wide.measured_seconds * length * length * (64.0 + 128.0) / (64.0 + 64.0));
  const ExactEstimate whole = run<float>({.n = 300, .d = 16, .k = 3}, with_recover(300)).analysis.exact;
  EXPECT_FALSE(whole.extrapolated);
  EXPECT_EQ(whole.measured_n, 300);
  EXPECT_EQ(whole.seconds, whole.measured_seconds);
  StreamedOptions longer = with_recover(3000);
  longer.exact_seconds = 1e9;
  EXPECT_EQ(run<float>({.n = 3000, .d = 8, .k = 3}, longer).analysis.exact.measured_n, 3000);
}

TEST(AnalyzeStreamed, ProgressOverTheBlocksOnlyGrows) {
  std::vector<std::string> stages;
  double last = 0.0;
  const RunContext context{.threads = 2, .progress = [&](std::string_view stage, double fraction) {
                             EXPECT_GE(fraction, 0.0);
                             EXPECT_LE(fraction, 1.0);
                             if (stage.find("column blocks") == std::string_view::npos) return;
                             EXPECT_GE(fraction, last);
                             last = fraction;
                             if (stages.empty() || stages.back() != stage) stages.emplace_back(stage);
                           }};
  StreamedOptions options = with_recover(400);
  options.block_columns = 4;
  run<float>({.n = 400, .d = 10, .k = 3}, options, context);
  EXPECT_EQ(stages, (std::vector<std::string>{"0 of 3 column blocks", "1 of 3 column blocks", "2 of 3 column blocks",
                                              "3 of 3 column blocks"}));
  EXPECT_EQ(last, 1.0);
}

TEST(AnalyzeStreamed, AStopAtAnyMomentEndsInCancelled) {
  const PlantedOptions input{.n = 600, .d = 12, .k = 3};
  StreamedOptions options = with_recover(600);
  options.block_columns = 5;
  const StreamedPlan plan = plan_streamed<float>(input, options);
  int reports = 0;
  analyze_streamed<float>(plan, {}, {.threads = 1, .progress = [&](std::string_view, double) { ++reports; }});
  ASSERT_GT(reports, 8);
  // The last report is that all is done; a stop then is too late.
  for (int wanted = 1; wanted < reports; wanted += 1 + reports / 15) {
    std::stop_source stop;
    int seen = 0;
    const RunContext context{.threads = 1, .stop = stop.get_token(), .progress = [&](std::string_view, double) {
                               if (++seen == wanted) stop.request_stop();
                             }};
    EXPECT_THROW(analyze_streamed<float>(plan, {}, context), Cancelled) << "report " << wanted << " of " << reports;
  }
}

TEST(AnalyzeStreamed, ErrorsOfTheSinkArePassedOn) {
  const StreamedPlan plan = plan_streamed<float>({.n = 100, .d = 8, .k = 2}, with_recover(100));
  const ColumnSink<float> full = [](MatrixView<float>, const RunContext&) { throw FileError("y.npy", "the disk is full"); };
  EXPECT_THAT(message_of<FileError>([&] { analyze_streamed<float>(plan, full); }), HasSubstr("the disk is full"));
}

TEST(PlanStreamed, BlocksGiveWayToMemoryAndThenTheRunIsRefused) {
  const PlantedOptions million{.n = 1'000'000, .d = 3072, .k = 16};
  StreamedOptions options = with_recover(million.n);
  options.memory_limit = std::uint64_t{16} << 30;
  const StreamedPlan roomy = plan_streamed<float>(million, options);
  EXPECT_EQ(roomy.block_columns, 64);
  EXPECT_EQ(roomy.blocks(), 48);
  EXPECT_LE(roomy.memory, options.memory_limit);
  EXPECT_EQ(roomy.available, options.memory_limit);
  EXPECT_GT(plan_streamed<double>(million, options).memory, roomy.memory);
  options.memory_limit = roomy.memory - 1;
  const StreamedPlan narrow = plan_streamed<float>(million, options);
  EXPECT_EQ(narrow.block_columns, 32);
  EXPECT_LT(narrow.memory, roomy.memory);
  options.memory_limit = 1'000'000;
  const std::string message = message_of<Error>([&] { plan_streamed<float>(million, options); });
  EXPECT_THAT(message, HasSubstr("GB of memory and 0.001 GB are available; choose a smaller n or k"));
  options.block_columns = 64;  // asked for, so kept
  options.memory_limit = roomy.memory - 1;
  EXPECT_THROW(plan_streamed<float>(million, options), Error);
}

TEST(PlanStreamed, BadOptionsAreErrors) {
  const PlantedOptions input{.n = 100, .d = 8, .k = 2};
  const auto message = [&](const StreamedOptions& options) {
    return message_of<InvalidArgument>([&] { plan_streamed<float>(input, options); });
  };
  EXPECT_THAT(message({.recover = {.k = 101}}), HasSubstr("k is 101"));
  EXPECT_THAT(message({.scale = std::numeric_limits<double>::quiet_NaN()}), HasSubstr("scale"));
  EXPECT_THAT(message({.block_columns = -1}), HasSubstr("block_columns is -1"));
  EXPECT_THAT(message({.sampled_rows = 0}), HasSubstr("sampled_rows is 0"));
  EXPECT_THAT(message({.exact_seconds = -1.0}), HasSubstr("exact_seconds is -1"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { plan_streamed<float>({.d = 65}, unmeasured); }), HasSubstr("d is 65"));
}

TEST(NeedsStreaming, GoesByMultiplyAddsAndByBytes) {
  EXPECT_TRUE(needs_streaming({.n = 1'000'000, .d = 3072}, sizeof(float)));
  EXPECT_TRUE(needs_streaming({.n = 1'000'000, .d = 64}, sizeof(float)));
  EXPECT_FALSE(needs_streaming({.n = 262'144, .d = 64}, sizeof(double)));
  EXPECT_FALSE(needs_streaming({.n = 1'000'000, .d = 2}, sizeof(float)));
  EXPECT_TRUE(needs_streaming({.n = 1'000'000, .d = 2, .value_width = 64}, sizeof(float)));
  EXPECT_TRUE(needs_streaming({.n = 1000, .d = 1'000'000}, sizeof(float))) << "20 GB of tensors";
  EXPECT_FALSE(needs_streaming({.n = 1000, .d = 200'000}, sizeof(float))) << "4.0e9 bytes";
  EXPECT_TRUE(needs_streaming({.n = 1000, .d = 200'000}, sizeof(double)));
}

}  // namespace
}  // namespace convbasis
