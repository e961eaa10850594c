// Which way attention is computed, by models that force each, and what comes out. Timing decides nothing here.
#include "analysis/planned_attention.h"

#include "attention/exact_attention.h"
#include "basis/apply_layout.h"
#include "data/planted.h"
#include "support/expect_error.h"
#include "support/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>

namespace convbasis {
namespace {

using testing::HasSubstr;
using testing_inputs::message_of;

/// Sets a model and puts the defaults back.
class WithModel {
 public:
  explicit WithModel(const CostModel& model) { set_cost_model(model); }
  ~WithModel() { set_cost_model({}); }
  WithModel(const WithModel&) = delete;
  WithModel& operator=(const WithModel&) = delete;
};

CostModel dear_exact() {
  CostModel model;
  model.exact_call = 1e9;
  return model;
}

CostModel dear_conv() {
  CostModel model;
  model.conv_call = 1e9;
  return model;
}

template <Real T>
Matrix<T> exact_output(const HeadView<T>& head, const RunContext& context = {}) {
  Matrix<T> output(head.size(), head.value_width());
  std::vector<double> lse(static_cast<std::size_t>(head.size()));
  exact_attention<T>(head, mutable_view(output), lse, context);
  return output;
}

template <Real T>
double relative_error(const Matrix<T>& found, const Matrix<T>& expected) {
  return static_cast<double>((found - expected).norm() / expected.norm());
}

template <Real T>
void takes_the_forced_way() {
  for (const Index n : {17, 64, 257}) {
    const Planted<T> planted = make_planted<T>({.n = n, .d = 8, .k = 3, .T = 4});
    const RecoverOptions options{.k = 3, .T = 4, .delta = planted.delta, .eps = 0.0};
    const HeadView<T> head = planted.head.view();
    const Matrix<T> exact = exact_output(head);
    Matrix<T> output = Matrix<T>::Constant(n, 8, std::numeric_limits<T>::quiet_NaN());
    {
      const WithModel model(dear_conv());
      const PlannedReport report = planned_attention<T>(head, options, mutable_view(output));
      EXPECT_FALSE(report.before.conv());
      EXPECT_FALSE(report.after.has_value());
      EXPECT_FALSE(report.apply.has_value());
      EXPECT_EQ(output, exact) << "bit for bit";
      EXPECT_THAT(report.path, HasSubstr("exact attention (conv is expected to take"));
    }
    output.setConstant(std::numeric_limits<T>::quiet_NaN());
    const WithModel model(dear_exact());
    const PlannedReport report = planned_attention<T>(head, options, mutable_view(output));
    EXPECT_TRUE(report.before.conv());
    ASSERT_TRUE(report.after.has_value());
    EXPECT_TRUE(report.after->conv());
    ASSERT_TRUE(report.apply.has_value());
    EXPECT_THAT(report.path, HasSubstr(report.apply->path));
    // Planted scores are Toeplitz up to rounding of scores of some tens.
    const double tolerance = std::same_as<T, float> ? 1e-4 : 1e-12;
    EXPECT_FALSE(!(relative_error<T>(output, exact) <= tolerance)) << n << ": " << relative_error<T>(output, exact);
  }
}

TEST(PlannedAttention, TakesTheForcedWayInFloat) { takes_the_forced_way<float>(); }
TEST(PlannedAttention, TakesTheForcedWayInDouble) { takes_the_forced_way<double>(); }

/// Evenly spread segments are expected, but all that are found start at the left, where lag vectors are longest.
TEST(PlannedAttention, FallsBackToExactWhenTheSegmentsFoundAreTooDear) {
  const Index n = 192;
  const RecoverOptions options{.k = 6, .T = 4, .delta = 1e-9, .eps = 0.0, .search = Search::scan};
  const AttentionShape shape{n, 8, 8, 1, true};
  // A lag vector's numbers are all that costs anything.
  CostModel model;
  model.transform.fill(1e-6);
  model.spectral.fill(1e-6);
  model.direct = model.recover = model.conv_value = 1e-6;
  model.conv_call = model.exact_call = 1e-3;
  model.conv_double = model.exact_double = 1.0;
  model.exponential = 1.0;
  std::vector<Index> early(6);
  for (Index r = 0; r < 6; ++r) early[static_cast<std::size_t>(r)] = r;
  const double cheap = choose_attention(shape, options, model).conv_ns;
  const double dear = choose_attention(shape, early, model).conv_ns;
  ASSERT_LT(cheap, dear);
  // Exact attention in between the two.
  const double wanted = conv_advantage * std::sqrt(cheap * dear);
  model.exact_score = 1e-6;
  model.exact *= wanted / expected_exact_ns(shape, model);
  EXPECT_TRUE(choose_attention(shape, options, model).conv());
  EXPECT_FALSE(choose_attention(shape, early, model).conv());
  // The same through the call: only the first columns' scores differ from 0.
  HeadTensors<double> left = make_random_head<double>(n, 8, 8, 3);
  for (Index j = 6; j < n; ++j) left.key.row(j).setZero();
  Matrix<double> output(n, 8);
  const WithModel set(model);
  const PlannedReport report = planned_attention<double>(left.view(), options, mutable_view(output), {.threads = 1});
  EXPECT_TRUE(report.before.conv());
  ASSERT_TRUE(report.after.has_value());
  EXPECT_FALSE(report.after->conv());
  EXPECT_FALSE(report.apply.has_value());
  EXPECT_EQ(output, exact_output(left.view())) << "bit for bit";
  EXPECT_THAT(report.path, HasSubstr("segments found are expected to take"));
}

RC_GTEST_PROP(PlannedAttention, ChoiceIsTheCheaperPrediction, ()) {
  const Index n = *rc::gen::inRange<Index>(1, 5000);
  const Index k = *rc::gen::inRange<Index>(1, std::min<Index>(n, 70) + 1);
  const AttentionShape shape{n, *rc::gen::inRange<Index>(1, 300), *rc::gen::inRange<Index>(1, 300), *rc::gen::inRange(1, 9),
                             *rc::gen::arbitrary<bool>()};
  const RecoverOptions options{.k = k, .T = 1};
  const std::vector<Index> starts = expected_starts(n, k);
  const AttentionChoice choice = choose_attention(shape, options);
  RC_ASSERT(choice.exact_ns == expected_exact_ns(shape));
  RC_ASSERT(choice.conv_ns == expected_recover_ns(shape, starts, 1) + expected_apply_ns(shape, starts));
  RC_ASSERT(choice.conv() == (conv_advantage * choice.conv_ns <= choice.exact_ns));
  RC_ASSERT(std::isfinite(choice.conv_ns) && choice.conv_ns > 0.0 && choice.exact_ns > 0.0);
  const AttentionChoice after = choose_attention(shape, starts);
  RC_ASSERT(after.conv_ns < choice.conv_ns);
}

RC_GTEST_PROP(PlannedAttention, CostGrowsWithTheTokens, ()) {
  const Index n = *rc::gen::inRange<Index>(64, 100000);
  const Index k = *rc::gen::inRange<Index>(1, 33);
  const AttentionShape one{n, 64, 64, 1, false};
  AttentionShape two = one;
  two.n = 2 * n;
  const RecoverOptions options{.k = k};
  const AttentionChoice small = choose_attention(one, options);
  const AttentionChoice large = choose_attention(two, options);
  RC_ASSERT(small.exact_ns < large.exact_ns);
  RC_ASSERT(small.conv_ns < large.conv_ns);
  AttentionShape more_threads = one;
  more_threads.threads = 4;
  RC_ASSERT(choose_attention(more_threads, options).exact_ns <= small.exact_ns);
  RC_ASSERT(choose_attention(more_threads, options).conv_ns <= small.conv_ns);
}

RC_GTEST_PROP(PlannedAttention, ExpectedStartsAreDifferentAndAscend, ()) {
  const Index n = *rc::gen::inRange<Index>(1, 1000);
  const Index k = *rc::gen::inRange<Index>(1, n + 1);
  const std::vector<Index> starts = expected_starts(n, k);
  RC_ASSERT(std::ssize(starts) == k);
  RC_ASSERT(starts.front() == 0);
  RC_ASSERT(starts.back() < n);
  RC_ASSERT(std::adjacent_find(starts.begin(), starts.end(), std::greater_equal<>()) == starts.end());
}

/// Every column goes one way: in one piece, or in a segment that is done directly.
RC_GTEST_PROP(ApplyLayout, CoversEveryColumnOnceWhateverTheModel, ()) {
  const Index n = *rc::gen::inRange<Index>(1, 3000);
  const Index k = *rc::gen::inRange<Index>(1, std::min<Index>(n, 40) + 1);
  testing_inputs::Rng rng(*rc::gen::arbitrary<std::uint64_t>());
  const std::vector<Index> starts = testing_inputs::random_starts(n, k, rng);
  CostModel model;
  model.direct *= std::exp2(*rc::gen::inRange(-10, 11));
  for (double& ns : model.transform) ns *= std::exp2(*rc::gen::inRange(-4, 5));
  for (double& ns : model.spectral) ns *= std::exp2(*rc::gen::inRange(-4, 5));
  const ApplyLayout layout = choose_layout(n, starts, 64, 0, model);
  RC_ASSERT(layout.cost == layout_cost(n, starts, 64, model));
  RC_ASSERT((layout.block == 0) == layout.pieces.empty());
  std::vector<int> covered(static_cast<std::size_t>(n), 0);
  const auto cover = [&](Index first, Index last) {
    for (Index j = first; j < last; ++j) ++covered[static_cast<std::size_t>(j)];
  };
  for (const Index r : layout.direct_segments)
    cover(starts[static_cast<std::size_t>(r)], r + 1 < k ? starts[static_cast<std::size_t>(r + 1)] : n);
  for (const Piece& piece : layout.pieces) {
    RC_ASSERT(piece.first >= piece.block * layout.block && piece.last <= (piece.block + 1) * layout.block);
    cover(piece.first, piece.last);
  }
  RC_ASSERT(std::all_of(covered.begin(), covered.end(), [](int times) { return times == 1; }));
  for (Index block = 32; block <= 65536 && block < 2 * n; block *= 2) {
    RC_ASSERT(layout.cost <= choose_layout(n, starts, 64, block, model).cost);
  }
}

TEST(ApplyLayout, ExtremeModelsForceEachWay) {
  const std::vector<Index> starts = {0, 100, 101, 700};
  CostModel model;
  model.direct = 1e-6;
  EXPECT_TRUE(choose_layout(1000, starts, 64, 0, model).pieces.empty());
  model.direct = 1e6;
  EXPECT_TRUE(choose_layout(1000, starts, 64, 0, model).direct_segments.empty());
  model.transform.fill(1e3);
  model.transform[4] = 1e-3;
  EXPECT_EQ(choose_layout(1000, starts, 64, 0, model).block, 512);
}

TEST(PlannedAttention, BadArgumentsAndCancellation) {
  const HeadTensors<float> head = make_random_head<float>(20, 8, 8, 1);
  Matrix<float> output(20, 8);
  EXPECT_THAT(message_of<InvalidArgument>([&] { planned_attention<float>(head.view(), {.k = 0}, mutable_view(output)); }),
              HasSubstr("k is 0"));
  Matrix<float> wrong(19, 8);
  for (const CostModel& model : {dear_conv(), dear_exact()}) {
    const WithModel set(model);
    message_of<InvalidArgument>([&] { planned_attention<float>(head.view(), {.k = 2}, mutable_view(wrong)); });
    std::stop_source stop;
    stop.request_stop();
    EXPECT_THROW(planned_attention<float>(head.view(), {.k = 2}, mutable_view(output), {.stop = stop.get_token()}), Cancelled);
  }
}

}  // namespace
}  // namespace convbasis
