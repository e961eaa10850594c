// The product with a conv basis where it is hard: huge dynamic range, rescued rows, several threads, bad arguments.
#include "basis/apply.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

constexpr double infinity = std::numeric_limits<double>::infinity();

template <Real T>
std::shared_ptr<const ConvWeights<T>> weights_of(const ConvBasis<T>& scores) {
  return std::make_shared<const ConvWeights<T>>(exponentiate(scores));
}

template <Real T>
struct Applied {
  Matrix<T> output;
  ApplyReport report;
};

template <Real T>
Applied<T> apply_plan(const ConvBasis<T>& scores, const Matrix<T>& value, const ApplyOptions& options = {}) {
  Applied<T> applied{Matrix<T>::Constant(value.rows(), value.cols(), std::numeric_limits<T>::quiet_NaN()), {}};
  const ConvAttentionPlan<T> plan(weights_of(scores), value.cols(), options);
  applied.report = plan.apply(view(value), mutable_view(applied.output));
  return applied;
}

/// The largest error of any row, relative to the root mean square of that row or of the median row, whichever is larger: what
/// row_tolerance promises, and the rounding of the row itself.
template <Real T>
double worst_row(const Matrix<T>& output, const reference::Dense& expected) {
  const Eigen::VectorXd size = expected.rowwise().norm() / std::sqrt(static_cast<double>(expected.cols()));
  std::vector<double> sorted(size.begin(), size.end());
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[sorted.size() / 2];
  const Eigen::VectorXd error = (output.template cast<double>() - expected).rowwise().template lpNorm<Eigen::Infinity>();
  return error.cwiseQuotient(size.cwiseMax(median)).maxCoeff<Eigen::PropagateNaN>();
}

/// Twenty times the default row tolerance, because the estimate behind it is a typical rounding error, seen to be up to four
/// times too small, and the largest of all entries is looked at; and scores of size `range` are rounded in T before exp.
template <Real T>
double promised(double range) {
  return (std::same_as<T, float> ? 2e-4 : 2e-12) + 4.0 * range * static_cast<double>(std::numeric_limits<T>::epsilon());
}

template <class T>
class ApplyEdge : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(ApplyEdge, Precisions);

/// Bases whose rows differ in mass by up to e^range.
template <Real T>
std::vector<ConvBasis<T>> wide_bases(Index n, double range, Rng& rng) {
  std::vector<ConvBasis<T>> bases;
  // Independent scores: a few weights dominate everything.
  bases.push_back(uniform_basis<T>(n, random_starts(n, 12, rng), rng, range / 2));
  // A decay along the lags: far columns weigh nothing, and beside a strong first segment later rows weigh little.
  std::vector<T> decay(static_cast<std::size_t>(n));
  for (Index t = 0; t < n; ++t) {
    decay[static_cast<std::size_t>(t)] = static_cast<T>(-range * static_cast<double>(t) / static_cast<double>(n));
  }
  std::vector<T> flat(static_cast<std::size_t>(n - n / 3), static_cast<T>(-range));
  bases.emplace_back(n, std::vector<Index>{0, n / 3}, std::vector<std::vector<T>>{decay, flat});
  // A growth along the lags: early rows weigh nothing beside late ones.
  std::vector<T> growth(decay.rbegin(), decay.rend());
  bases.emplace_back(n, std::vector<Index>{0}, std::vector<std::vector<T>>{growth});
  // Log-normal weights, as in the mathematics page.
  bases.push_back(basis_with<T>(n, random_starts(n, 16, rng), rng, std::normal_distribution<double>(0.0, range / 8)));
  return bases;
}

TYPED_TEST(ApplyEdge, RowsOfHugeDynamicRangeAreRescued) {
  using T = TypeParam;
  Rng rng(1);
  for (const Index n : {100, 700}) {
    for (const double range : {20.0, 48.0, 80.0, 170.0, 400.0, 1600.0}) {
      const Matrix<T> value = gaussian<T>(n, 5, rng);
      int which = 0;
      for (const ConvBasis<T>& scores : wide_bases<T>(n, range, rng)) {
        const reference::Dense expected = reference::segment_sum(scores, value.template cast<double>());
        for (const Index block : {0, 16, 128}) {
          const Applied<T> applied = apply_plan(scores, value, {.block = block});
          EXPECT_LE(worst_row(applied.output, expected), promised<T>(range))
              << "n " << n << ", range " << range << ", basis " << which << ", block " << block << ", rescued "
              << applied.report.rescued_rows() << ", " << applied.report.path;
          EXPECT_GE(applied.report.rescued_rows(), 0);
          EXPECT_LE(applied.report.rescued_rows(), n);
        }
        ++which;
      }
    }
  }
}

TYPED_TEST(ApplyEdge, RescueIsWhatKeepsSuchRowsRight) {
  using T = TypeParam;
  // The mass grows along the rows, so the first rows drown in the rounding of the last ones; not so far that they underflow.
  Rng rng(2);
  const double range = std::same_as<T, float> ? 40.0 : 100.0;
  const ConvBasis<T> scores = wide_bases<T>(700, range, rng)[2];
  const Matrix<T> value = gaussian<T>(700, 3, rng);
  const reference::Dense expected = reference::segment_sum(scores, value.template cast<double>());
  const Applied<T> rescued = apply_plan(scores, value, {.block = 512});
  EXPECT_GT(rescued.report.rescued_rows(), 0);
  EXPECT_LE(worst_row(rescued.output, expected), promised<T>(range));
  const Applied<T> left_alone = apply_plan(scores, value, {.block = 512, .row_tolerance = infinity});
  EXPECT_EQ(left_alone.report.rescued_rows(), 0);
  // Not <=: NaN is as bad.
  EXPECT_FALSE(worst_row(left_alone.output, expected) <= 10.0 * promised<T>(range));
}

TYPED_TEST(ApplyEdge, MildInputsAreHardlyRescued) {
  using T = TypeParam;
  // Rescuing costs O(n) a row: if many rows were rescued on easy inputs, the product would not be fast.
  Rng rng(3);
  const ConvBasis<T> scores = uniform_basis<T>(3000, {0, 100, 1555}, rng, 1.0);
  EXPECT_LE(apply_plan(scores, gaussian<T>(3000, 4, rng)).report.rescued_rows(), 1000);
}

TYPED_TEST(ApplyEdge, ToleranceZeroRescuesEveryRow) {
  using T = TypeParam;
  Rng rng(4);
  for (const Index n : {1, 65, 300}) {
    const ConvBasis<T> scores = uniform_basis<T>(n, random_starts(n, std::min<Index>(n, 4), rng), rng, 3.0);
    const Matrix<T> value = gaussian<T>(n, 3, rng);
    const Applied<T> applied = apply_plan(scores, value, {.block = 16, .row_tolerance = 0.0});
    EXPECT_EQ(applied.report.rescued_rows(), n);
    // Direct sums in double: only the rounding of the result and of the scores is left.
    EXPECT_LE(worst_row(applied.output, reference::segment_sum(scores, value.template cast<double>())),
              40.0 * static_cast<double>(std::numeric_limits<T>::epsilon()));
  }
}

TYPED_TEST(ApplyEdge, UnequalRowsOfValueStayWithinTheToleranceOfTheWhole) {
  using T = TypeParam;
  Rng rng(5);
  const ConvBasis<T> scores = uniform_basis<T>(500, random_starts(500, 5, rng), rng, 4.0);
  Matrix<T> value = gaussian<T>(500, 3, rng);
  value.row(300) *= T(1e4);
  const reference::Dense expected = reference::segment_sum(scores, value.template cast<double>());
  EXPECT_LE(worst_row(apply_plan(scores, value).output, expected), promised<T>(8.0));
}

TYPED_TEST(ApplyEdge, ScalingValueScalesTheOutput) {
  using T = TypeParam;
  Rng rng(6);
  const ConvBasis<T> scores = uniform_basis<T>(300, random_starts(300, 5, rng), rng, 4.0);
  const Matrix<T> value = gaussian<T>(300, 3, rng);
  const Applied<T> plain = apply_plan(scores, value);
  for (const T factor : {T(0x1p-30), T(0x1p30)}) {
    const Applied<T> scaled = apply_plan<T>(scores, value * factor);
    EXPECT_EQ(scaled.report.rescued_rows(), plain.report.rescued_rows()) << "the tolerance is relative to V";
    EXPECT_LE(reference::max_error((scaled.output / factor).template cast<double>(), plain.output.template cast<double>()),
              promised<T>(8.0));
  }
}

TYPED_TEST(ApplyEdge, ValueOfZerosGivesZeros) {
  using T = TypeParam;
  Rng rng(7);
  for (const double range : {1.0, 300.0}) {
    const ConvBasis<T> scores = uniform_basis<T>(200, random_starts(200, 5, rng), rng, range);
    const Matrix<T> zeros = Matrix<T>::Zero(200, 3);
    EXPECT_EQ(apply_plan(scores, zeros).output, zeros);
  }
}

TYPED_TEST(ApplyEdge, TransposeIsFiniteAndRightWhenRowSumsUnderflow) {
  using T = TypeParam;
  Rng rng(8);
  // Rows before the last weigh e^-2000 beside it: their D is 0 in either precision.
  const Index n = 50;
  std::vector<T> lags(static_cast<std::size_t>(n), T(-2000));
  lags.back() = T(0);
  const ConvBasis<T> scores(n, {0}, {lags});
  const ConvAttentionPlan<T> plan(weights_of(scores), 3);
  const Matrix<T> value = gaussian<T>(n, 3, rng);
  Matrix<T> output(n, 3);
  plan.apply_transpose(view(value), mutable_view(output));
  EXPECT_LE(reference::max_error(output.template cast<double>(),
                                 reference::segment_sum_transposed(scores, value.template cast<double>())),
            promised<T>(2000.0));
}

TYPED_TEST(ApplyEdge, TransposeIsRightForRowsOfHugeDynamicRange) {
  using T = TypeParam;
  Rng rng(16);
  for (const double range : {20.0, 48.0, 170.0, 1600.0}) {
    const Matrix<T> value = gaussian<T>(400, 3, rng);
    int which = 0;
    for (const ConvBasis<T>& scores : wide_bases<T>(400, range, rng)) {
      const reference::Dense expected = reference::segment_sum_transposed(scores, value.template cast<double>());
      for (const Index block : {0, 16, 128}) {
        const ConvAttentionPlan<T> plan(weights_of(scores), 3, {.block = block});
        Matrix<T> output(400, 3);
        plan.apply_transpose(view(value), mutable_view(output));
        // Columns of P sum to more than one: errors of many rows meet in one column.
        EXPECT_LE(reference::max_error(output.template cast<double>(), expected),
                  promised<T>(range) * std::max(1.0, expected.cwiseAbs().maxCoeff()))
            << "range " << range << ", basis " << which << ", block " << block;
      }
      ++which;
    }
  }
}

TYPED_TEST(ApplyEdge, StridedViewsWorkAndGapsStayUntouched) {
  using T = TypeParam;
  Rng rng(9);
  const ConvBasis<T> scores = uniform_basis<T>(150, {0, 20, 77}, rng, 2.0);
  const Matrix<T> value = gaussian<T>(150, 5, rng);
  const Padded<T> padded(value, 3);
  const ConvAttentionPlan<T> plan(weights_of(scores), 5, {.block = 16});
  Matrix<T> plain(150, 5);
  Padded<T> output(Matrix<T>::Zero(150, 5), 2);
  plan.apply(view(value), mutable_view(plain));
  plan.apply(padded.view(), output.mutable_view());
  EXPECT_EQ(Matrix<T>(output.view()), plain);
  EXPECT_TRUE(output.gaps_untouched());
  plan.apply_transpose(view(value), mutable_view(plain));
  plan.apply_transpose(padded.view(), output.mutable_view());
  EXPECT_EQ(Matrix<T>(output.view()), plain);
  EXPECT_TRUE(output.gaps_untouched());
  apply_full_length(exponentiate(scores), view(value), mutable_view(plain));
  apply_full_length(exponentiate(scores), padded.view(), output.mutable_view());
  EXPECT_EQ(Matrix<T>(output.view()), plain);
  EXPECT_TRUE(output.gaps_untouched());
}

TYPED_TEST(ApplyEdge, APlanServesManyValuesOfAnyWidth) {
  using T = TypeParam;
  Rng rng(10);
  const ConvBasis<T> scores = uniform_basis<T>(260, random_starts(260, 7, rng), rng, 2.0);
  const ConvAttentionPlan<T> plan(weights_of(scores), 8);
  EXPECT_EQ(plan.size(), 260);
  for (const Index columns : {8, 1, 20, 8}) {
    const Matrix<T> value = gaussian<T>(260, columns, rng);
    Matrix<T> output(260, columns);
    plan.apply(view(value), mutable_view(output));
    EXPECT_LE(worst_row(output, reference::segment_sum(scores, value.template cast<double>())), promised<T>(4.0));
  }
}

TYPED_TEST(ApplyEdge, AMovedPlanWorksAfterItsWeightsAreGone) {
  using T = TypeParam;
  Rng rng(11);
  const ConvBasis<T> scores = uniform_basis<T>(100, {0, 9}, rng, 2.0);
  auto weights = weights_of(scores);
  ConvAttentionPlan<T> first(weights, 2);
  weights.reset();
  ConvAttentionPlan<T> plan(std::move(first));
  ConvAttentionPlan<T> assigned(weights_of(ConvBasis<T>(3)), 1);
  assigned = std::move(plan);
  const Matrix<T> value = gaussian<T>(100, 2, rng);
  Matrix<T> output(100, 2);
  assigned.apply(view(value), mutable_view(output));
  EXPECT_LE(worst_row(output, reference::segment_sum(scores, value.template cast<double>())), promised<T>(4.0));
}

TYPED_TEST(ApplyEdge, OnePlanServesSeveralThreadsAtOnce) {
  using T = TypeParam;
  Rng rng(12);
  const ConvBasis<T> scores = uniform_basis<T>(600, random_starts(600, 9, rng), rng, 6.0);
  const ConvAttentionPlan<T> plan(weights_of(scores), 4, {.block = 64});
  const Matrix<T> value = gaussian<T>(600, 4, rng);
  Matrix<T> forward(600, 4);
  Matrix<T> transposed(600, 4);
  plan.apply(view(value), mutable_view(forward), {.threads = 1});
  plan.apply_transpose(view(value), mutable_view(transposed), {.threads = 1});
  std::vector<Matrix<T>> results(6, Matrix<T>(600, 4));
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < results.size(); ++t) {
      threads.emplace_back([&, t] {
        for (int repeat = 0; repeat < 3; ++repeat) {
          const RunContext context{.threads = 1 + static_cast<int>(t % 3)};
          if (t % 2 == 0) {
            plan.apply(view(value), mutable_view(results[t]), context);
          } else {
            plan.apply_transpose(view(value), mutable_view(results[t]), context);
          }
        }
      });
    }
  }
  for (std::size_t t = 0; t < results.size(); ++t) EXPECT_EQ(results[t], t % 2 == 0 ? forward : transposed) << t;
}

TYPED_TEST(ApplyEdge, TheReportSaysWhatWasDone) {
  using T = TypeParam;
  Rng rng(13);
  const Matrix<T> value = gaussian<T>(500, 2, rng);
  const Applied<T> blocks = apply_plan(uniform_basis<T>(5000, {0}, rng, 1.0), gaussian<T>(5000, 2, rng), {.block = 256});
  EXPECT_EQ(blocks.report.block, 256);
  EXPECT_EQ(blocks.report.direct_columns, 0);
  EXPECT_THAT(blocks.report.path, HasSubstr("256"));
  const Applied<T> chosen = apply_plan(uniform_basis<T>(500, {0, 250}, rng, 1.0), value);
  EXPECT_GE(chosen.report.block, 0);
  EXPECT_EQ(chosen.report.block & (chosen.report.block - 1), 0) << "a power of two";
  EXPECT_LE(chosen.report.direct_columns, 500);
  EXPECT_FALSE(chosen.report.path.empty());
  std::vector<Index> every_column(500);
  for (Index j = 0; j < 500; ++j) every_column[static_cast<std::size_t>(j)] = j;
  EXPECT_GT(apply_plan(uniform_basis<T>(500, every_column, rng, 1.0), value, {.block = 64}).report.direct_columns, 0)
      << "segments of one column are not worth an FFT";
}

TYPED_TEST(ApplyEdge, ErrorsNameWhatDoesNotFit) {
  using T = TypeParam;
  Rng rng(14);
  const auto weights = weights_of(uniform_basis<T>(20, {0, 5}, rng, 1.0));
  for (const Index block : {-1, -16, 1, 3, 48, 100}) {
    EXPECT_THAT(message_of<InvalidArgument>([&] { ConvAttentionPlan<T>(weights, 4, {.block = block}); }),
                AllOf(HasSubstr("block"), HasSubstr(std::to_string(block))));
  }
  for (const double row_tolerance : {-1.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(message_of<InvalidArgument>([&] { ConvAttentionPlan<T>(weights, 4, {.row_tolerance = row_tolerance}); }),
                HasSubstr("tolerance"));
  }
  message_of<InvalidArgument>([&] { ConvAttentionPlan<T>(nullptr, 4); });

  const ConvAttentionPlan<T> plan(weights, 4);
  const auto rejected = [&](Index rows, Index columns, Index output_rows, Index output_columns) {
    const Matrix<T> value = Matrix<T>::Zero(rows, columns);
    Matrix<T> output(output_rows, output_columns);
    const std::string message = message_of<InvalidArgument>([&] { plan.apply(view(value), mutable_view(output)); });
    message_of<InvalidArgument>([&] { plan.apply_transpose(view(value), mutable_view(output)); });
    message_of<InvalidArgument>([&] { apply_full_length(*weights, view(value), mutable_view(output)); });
    return message;
  };
  EXPECT_THAT(rejected(19, 4, 19, 4), HasSubstr("20"));
  EXPECT_THAT(rejected(21, 4, 20, 4), HasSubstr("20"));
  EXPECT_THAT(rejected(20, 4, 19, 4), HasSubstr("20"));
  EXPECT_THAT(rejected(20, 4, 20, 3), HasSubstr("output"));
}

TYPED_TEST(ApplyEdge, AValueInStepWithTheLagsIsGuardedToo) {
  using T = TypeParam;
  // Slow waves through weights that change slowly: the products of a block add up, where those of a random V cancel.
  constexpr Index n = 1500;
  std::vector<std::vector<T>> lags;
  const std::vector<Index> starts{0, 300, 800};
  for (const Index start : starts) {
    std::vector<T> lag;
    for (Index t = 0; t < n - start; ++t) lag.push_back(static_cast<T>(20.0 * static_cast<double>(t) / n - 10.0));
    lags.push_back(std::move(lag));
  }
  const ConvBasis<T> scores(n, starts, std::move(lags));
  const Matrix<T> value = Matrix<T>::NullaryExpr(
      n, 4, [](Index i, Index c) { return static_cast<T>(std::cos(0.01 * static_cast<double>((c + 1) * i))); });
  const reference::Dense expected = reference::segment_sum(scores, value.template cast<double>());
  for (const Index block : {64, 256, 1024}) {
    const Applied<T> applied = apply_plan(scores, value, {.block = block});
    const Eigen::VectorXd error = (applied.output.template cast<double>() - expected).rowwise().norm();
    const double worst = error.cwiseQuotient(expected.rowwise().norm()).template maxCoeff<Eigen::PropagateNaN>();
    // The tolerance three times over, and the rounding of the scores.
    EXPECT_LE(worst, (std::same_as<T, float> ? 3e-5 : 3e-13) + 20.0 * static_cast<double>(std::numeric_limits<T>::epsilon()))
        << "block " << block << ", rescued " << applied.report.rescued_rows();
  }
}

TYPED_TEST(ApplyEdge, InfiniteToleranceKeepsEveryRowOfAValueWithZeroRows) {
  using T = TypeParam;
  Rng rng(17);
  Matrix<T> value = gaussian<T>(300, 3, rng);
  value.topRows(100).setZero();
  const ConvBasis<T> scores = uniform_basis<T>(300, {0, 50}, rng, 2.0);
  EXPECT_EQ(apply_plan(scores, value, {.block = 64, .row_tolerance = infinity}).report.rescued_rows(), 0);
  const Applied<T> guarded = apply_plan(scores, value, {.block = 64});
  EXPECT_LE(
      reference::max_error(guarded.output.template cast<double>(), reference::segment_sum(scores, value.template cast<double>())),
      promised<T>(4.0));
  EXPECT_EQ(guarded.output.topRows(100), Matrix<T>::Zero(100, 3)) << "rows that see only zeros are zero";
}

TYPED_TEST(ApplyEdge, StopsOnRequest) {
  using T = TypeParam;
  Rng rng(15);
  const auto weights = weights_of(uniform_basis<T>(2000, random_starts(2000, 8, rng), rng, 1.0));
  std::stop_source source;
  const ConvAttentionPlan<T> plan(weights, 4);
  source.request_stop();
  const RunContext stopped{.stop = source.get_token()};
  const Matrix<T> value = gaussian<T>(2000, 4, rng);
  Matrix<T> output(2000, 4);
  EXPECT_THROW(plan.apply(view(value), mutable_view(output), stopped), Cancelled);
  EXPECT_THROW(plan.apply_transpose(view(value), mutable_view(output), stopped), Cancelled);
  EXPECT_THROW(apply_full_length(*weights, view(value), mutable_view(output), stopped), Cancelled);
  EXPECT_THROW(ConvAttentionPlan<T>(weights, 4, {}, stopped), Cancelled);
}

}  // namespace
}  // namespace convbasis
