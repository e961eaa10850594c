// Attention by features against the dense masked sums of its own weights, and against exact attention.
#include "lowrank/lowrank_attention.h"

#include "core/errors.h"
#include "lowrank/masks_of_tests.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

/// A head whose scores have a standard deviation of about `sigma`.
template <Real T>
HeadTensors<T> head_of(Index n, Index d, Index value_width, double sigma, std::uint64_t seed) {
  HeadTensors<T> head = gaussian_head<T>(n, d, value_width, seed);
  head.scale *= sigma;
  return head;
}

struct Dense {
  Matrix<double> output;
  std::vector<double> row_sum;
  double cancellation = 1.0;  ///< the largest (sum of what the features' terms are) / D_i
};

/// The same weights, entry by entry in double.
template <Real T>
Dense dense_attention(const LowRankResult<T>& result) {
  const HeadView<T>& head = result.scores.head();
  const Matrix<double> query = head.query.template cast<double>();
  const Matrix<double> key = result.scores.key().template cast<double>();
  const Matrix<double> value = head.value.template cast<double>();
  const ExpPolynomial& polynomial = result.scores.polynomial();
  Dense dense{Matrix<double>::Zero(value.rows(), value.cols()), {}};
  for (Index i = 0; i < value.rows(); ++i) {
    double mass = 0.0, terms = 0.0;
    RowVector<double> sum = RowVector<double>::Zero(value.cols());
    for (Index j = 0; j < value.rows(); ++j) {
      if (!contains(result.mask, i, j)) continue;
      const double weight = polynomial(head.scale * query.row(i).dot(key.row(j)));
      mass += weight;
      sum += weight * value.row(j);
      const double size = std::abs(head.scale) * query.row(i).cwiseAbs().dot(key.row(j).cwiseAbs());
      for (std::size_t p = 0; p < polynomial.coefficients.size(); ++p) {
        terms += std::abs(polynomial.coefficients[p]) * std::pow(size, static_cast<double>(p));
      }
    }
    dense.row_sum.push_back(mass);
    if (mass > 0.0) {
      dense.output.row(i) = sum / mass;
      dense.cancellation = std::max(dense.cancellation, terms / mass);
    }
  }
  return dense;
}

/// Rounding is relative to the terms of the features: 40 roundings cover the features, the products and the running sums at these
/// sizes.
template <Real T>
void expect_dense(const LowRankResult<T>& result) {
  const Dense dense = dense_attention(result);
  const HeadView<T>& head = result.scores.head();
  const double unit = 40.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * dense.cancellation;
  const double largest = head.value.template cast<double>().cwiseAbs().maxCoeff();
  ASSERT_EQ(std::ssize(result.row_sum), head.size());
  for (Index i = 0; i < head.size(); ++i) {
    const auto r = static_cast<std::size_t>(i);
    ASSERT_LE(std::abs(result.row_sum[r] - dense.row_sum[r]), unit * std::abs(dense.row_sum[r])) << "row " << i;
    const double error = (result.output.row(i).template cast<double>() - dense.output.row(i)).cwiseAbs().maxCoeff();
    ASSERT_LE(error, 2.0 * unit * largest) << "row " << i;
  }
}

template <class T>
class LowRankAttention : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(LowRankAttention, Precisions);

TYPED_TEST(LowRankAttention, IsTheSumOfItsWeights) {
  for (const Index n : {1, 2, 23, 24, 25, 47, 48, 49, 97, 191, 193, 400}) {
    for (const auto& [d, g] : std::vector<std::pair<Index, Index>>{{1, 0}, {1, 2}, {3, 4}, {8, 2}, {20, 2}}) {
      SCOPED_TRACE("n " + std::to_string(n) + ", d " + std::to_string(d) + ", g " + std::to_string(g));
      const auto head = head_of<TypeParam>(n, d, 1 + n % 7, 0.5, static_cast<std::uint64_t>(n));
      const auto result = lowrank_attention(head.view(), {.degree = g, .fit = ExpFit::taylor});
      expect_dense(result);
      EXPECT_EQ(result.features, feature_count(d, g));
      EXPECT_TRUE(result.by_features);
    }
  }
}

template <Real T>
void under_any_mask() {
  const auto n = *rc::gen::inRange<Index>(1, 260);
  const auto d = *rc::gen::inRange<Index>(1, 6);
  const auto degree = *rc::gen::inRange<Index>(0, 4);
  const auto seed = static_cast<std::uint64_t>(*rc::gen::inRange(0, 100000));
  Rng rng(seed);
  const auto head = head_of<T>(n, d, *rc::gen::inRange<Index>(1, 20), 0.4, seed);
  const auto width = *rc::gen::inRange<Index>(1, 300);
  const auto sets = random_sets(n, 3, rng);
  const std::vector<Mask> masks{IntervalMask::causal(n),
                                IntervalMask::sliding_window(n, width),
                                IntervalMask::shifted_groups(n, width, width / 2),
                                random_sliding(n, rng),
                                random_intervals(n, rng),
                                RowChangeMask(IntervalMask::sliding_window(n, width)),
                                std::make_from_tuple<DistinctRowsMask>(sets),
                                std::make_from_tuple<DistinctColumnsMask>(sets)};
  const auto& mask = masks[static_cast<std::size_t>(*rc::gen::inRange<int>(0, static_cast<int>(masks.size())))];
  const LowRankOptions options{.degree = degree, .fit = ExpFit::relative, .centre_keys = *rc::gen::arbitrary<bool>()};
  const auto result = lowrank_attention<T>(head.view(), mask, options);
  expect_dense(result);
  RC_ASSERT(!testing::Test::HasFatalFailure());
}

RC_GTEST_PROP(LowRankAttentionProperty, IsTheSumOfItsWeightsUnderAnyMask, ()) { under_any_mask<double>(); }
RC_GTEST_PROP(LowRankAttentionProperty, IsTheSumOfItsWeightsUnderAnyMaskInFloat, ()) { under_any_mask<float>(); }

TYPED_TEST(LowRankAttention, WindowsOverManyBlocksSlideWithoutSubtraction) {
  // Blocks of 24 or so rows: windows of several blocks, one, and less.
  const Index n = 900;
  const auto head = head_of<TypeParam>(n, 3, 2, 0.5, 7);
  for (const Index width : {10, 100, 333, 500}) {
    SCOPED_TRACE(width);
    for (const IntervalMask& mask : {IntervalMask::sliding_window(n, width), IntervalMask::shifted_groups(n, width, width / 2)}) {
      expect_dense(lowrank_attention<TypeParam>(head.view(), mask, {.degree = 2, .fit = ExpFit::taylor}));
    }
  }
}

TYPED_TEST(LowRankAttention, ScoresGiveTheSameAsFeatures) {
  const Index n = 300;
  const auto head = head_of<TypeParam>(n, 5, 4, 0.5, 3);
  for (const IntervalMask& mask : {IntervalMask::causal(n), IntervalMask::sliding_window(n, 120)}) {
    const auto features = lowrank_attention<TypeParam>(head.view(), mask, {.degree = 3});
    const auto scores = lowrank_attention<TypeParam>(head.view(), mask, {.degree = 3, .way = LowRankWay::scores});
    EXPECT_TRUE(features.by_features);
    EXPECT_FALSE(scores.by_features);
    expect_dense(scores);
    const double tolerance = std::same_as<TypeParam, float> ? 1e-4 : 1e-12;  // of features, see expect_dense()
    EXPECT_LE((features.output - scores.output).norm() / scores.output.norm(), tolerance);
    EXPECT_NE(features.operations, scores.operations);
  }
}

TEST(LowRank, DegreesConvergeToExactAttention) {
  const Index n = 200;
  const auto head = head_of<double>(n, 4, 3, 0.4, 5);
  const reference::Dense exact = reference::softmax(reference::scores(head.view())).probability * head.value;
  for (const ExpFit fit : {ExpFit::taylor, ExpFit::chebyshev, ExpFit::relative, ExpFit::sampled}) {
    for (const bool centred : {false, true}) {
      double before = 1.0;
      for (const Index degree : {0, 2, 4, 6, 8, 10}) {
        const LowRankOptions options{.degree = degree, .fit = fit, .centre_keys = centred, .way = LowRankWay::cheaper};
        const double error = reference::relative_error(lowrank_attention(head.view(), options).output, exact);
        EXPECT_LE(error, before) << name_of(fit) << ", degree " << degree;
        before = error;
      }
      EXPECT_LE(before, 1e-5) << name_of(fit);  // the scores lie within 3 of the middle: 3^11 / 11! of exp, and less of most
    }
  }
}

TEST(LowRank, SampledIsClosestOnPeakedRows) {
  // What the fit is chosen for: scores of a normal distribution, where the interval's ends are rare. Each error is the sum of
  // six.
  const auto error = [&](ExpFit fit) {
    double sum = 0.0;
    for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
      const auto head = head_of<double>(300, 8, 6, 1.0, seed);
      const reference::Dense exact = reference::softmax(reference::scores(head.view())).probability * head.value;
      const LowRankOptions options{.degree = 4, .fit = fit, .way = LowRankWay::scores};
      sum += reference::relative_error(lowrank_attention(head.view(), options).output, exact);
    }
    return sum;
  };
  const double sampled = error(ExpFit::sampled);
  for (const ExpFit fit : {ExpFit::taylor, ExpFit::chebyshev, ExpFit::relative})
    EXPECT_LT(sampled, 0.8 * error(fit)) << name_of(fit);
}

TYPED_TEST(LowRankAttention, DoesNotDependOnTheNumberOfThreads) {
  const auto head = head_of<TypeParam>(700, 9, 5, 0.5, 8);
  const std::vector<Mask> masks{IntervalMask::causal(700), IntervalMask::sliding_window(700, 300),
                                RowChangeMask(IntervalMask::sliding_window(700, 300))};
  for (const Mask& mask : masks) {
    const auto one = lowrank_attention<TypeParam>(head.view(), mask, {.degree = 3}, {.threads = 1});
    const auto four = lowrank_attention<TypeParam>(head.view(), mask, {.degree = 3}, {.threads = 4});
    EXPECT_EQ(one.output, four.output);
    EXPECT_EQ(one.row_sum, four.row_sum);
  }
}

TYPED_TEST(LowRankAttention, ProbabilitiesMakeTheOutput) {
  using T = TypeParam;
  const Index n = 90;
  const auto head = head_of<T>(n, 4, 3, 0.6, 9);
  for (const Mask& mask : std::vector<Mask>{IntervalMask::causal(n), IntervalMask::sliding_window(n, 20),
                                            RowChangeMask(IntervalMask::shifted_groups(n, 30, 15))}) {
    const auto result = lowrank_attention<T>(head.view(), mask, {.degree = 2});
    Matrix<T> probability = Matrix<T>::Constant(n, n, std::numeric_limits<T>::quiet_NaN());
    result.probability_tile(0, 0, mutable_view(probability));
    const double tolerance =
        std::same_as<T, float> ? 1e-5 : 1e-13;  // some ten additions of weights that are up to 10 roundings off
    EXPECT_LE((probability.rowwise().sum().array() - T{1}).abs().template maxCoeff<Eigen::PropagateNaN>(), tolerance);
    EXPECT_LE(((probability * head.value - result.output).cwiseAbs().template maxCoeff<Eigen::PropagateNaN>()), 4.0 * tolerance);
    EXPECT_TRUE(
        (probability.template cast<double>().cwiseProduct(Matrix<double>::Ones(n, n) - dense(mask)).array() == 0.0).all());
    Matrix<T> part = Matrix<T>::Zero(5, 7);
    result.probability_tile(60, 50, mutable_view(part));
    EXPECT_EQ(part, probability.block(60, 50, 5, 7));
  }
}

TYPED_TEST(LowRankAttention, RowsThatAreNotPositiveAreZeroAndCounted) {
  using T = TypeParam;
  // Scores -3 and 1 by turns of the query; 1 + x about 0 makes -2 and 2 of them.
  HeadTensors<T> head;
  head.query = Matrix<T>::Ones(40, 1);
  for (Index i = 1; i < 40; i += 2) head.query(i, 0) = T{-3};
  head.key = Matrix<T>::Ones(40, 1);
  head.value = Matrix<T>::Ones(40, 2);
  LowRankOptions options{.degree = 1, .fit = ExpFit::taylor, .interval = {{-3.0, 3.0}}, .centre_keys = false};
  for (const LowRankWay way : {LowRankWay::features, LowRankWay::scores}) {
    options.way = way;
    const auto result = lowrank_attention<T>(head.view(), options);
    EXPECT_EQ(result.not_positive, 20);
    for (Index i = 0; i < 40; ++i) {
      EXPECT_EQ(result.row_sum[static_cast<std::size_t>(i)] > 0.0, i % 2 == 0) << i;
      EXPECT_NEAR(static_cast<double>(result.output(i, 1)), i % 2 == 0 ? 1.0 : 0.0, 1e-5) << i;
    }
    std::vector<T> row(40, T{7});
    result.probability_row(3, 0, row);
    EXPECT_EQ(row, std::vector<T>(40, T{0}));
  }
}

TYPED_TEST(LowRankAttention, RowsThatSeeNothingAreZeroAndCounted) {
  const auto head = head_of<TypeParam>(3, 2, 2, 0.5, 1);
  const IntervalMask mask({{0, 0}, {0, 2}, {3, 3}});
  const auto result = lowrank_attention<TypeParam>(head.view(), mask, {.degree = 2});
  EXPECT_EQ(result.not_positive, 2);
  EXPECT_TRUE((result.output.row(0).array() == 0).all());
  EXPECT_TRUE((result.output.row(2).array() == 0).all());
  expect_dense(result);
}

TEST(LowRank, CentredKeysMakeLargeOffsetsHarmless) {
  auto head = head_of<double>(150, 4, 3, 0.4, 12);
  const reference::Dense exact = reference::softmax(reference::scores(head.view())).probability * head.value;
  head.key.rowwise() += RowVector<double>::Constant(4, 20.0);  // moves the scores of a row by one number
  const auto error = [&](bool centred) {
    return reference::relative_error(lowrank_attention(head.view(), {.degree = 4, .centre_keys = centred}).output, exact);
  };
  EXPECT_LT(error(true), 1e-3);
  EXPECT_GT(error(false), 0.1);
}

TEST(LowRank, MemoryDoesNotGrowWithTheRows) {
  const auto bytes = [](Index n, const auto& mask) {
    return lowrank_attention<float>(head_of<float>(n, 6, 4, 0.5, 2).view(), mask, {.degree = 2}).bytes;
  };
  EXPECT_EQ(bytes(100, IntervalMask::causal(100)), bytes(2000, IntervalMask::causal(2000)));
  EXPECT_EQ(bytes(100, IntervalMask::causal(100)), lowrank_bytes<float>(6, 4, 2));
  EXPECT_EQ(bytes(1000, IntervalMask::sliding_window(1000, 400)), bytes(2000, IntervalMask::sliding_window(2000, 400)));
  EXPECT_GT(bytes(2000, IntervalMask::sliding_window(2000, 400)), bytes(2000, IntervalMask::causal(2000)));
}

TEST(LowRank, WorkGrowsAsStated) {
  const auto work = [](Index n, const auto& mask, LowRankWay way) {
    const LowRankOptions options{.degree = 3, .way = way};
    return static_cast<double>(
        lowrank_attention<float>(head_of<float>(n, 12, 4, 0.5, 2).view(), mask, options).operations.multiply_adds);
  };
  const auto causal = [&](Index n, LowRankWay way) { return work(n, IntervalMask::causal(n), way); };
  // Through features, the stated cost and single weights within a block; from scores, quadratic.
  EXPECT_NEAR(causal(4000, LowRankWay::features) / lowrank_cost(4000, 12, 4, 3), 1.0, 0.5);
  EXPECT_NEAR(causal(4000, LowRankWay::features) / causal(2000, LowRankWay::features), 2.0, 0.1);
  EXPECT_NEAR(causal(4000, LowRankWay::scores) / causal(2000, LowRankWay::scores), 4.0, 0.1);
  EXPECT_NEAR(work(4000, IntervalMask::sliding_window(4000, 1000), LowRankWay::features) /
                  work(4000, IntervalMask::sliding_window(4000, 2000), LowRankWay::features),
              1.0, 0.3);
  EXPECT_EQ(causal(4000, LowRankWay::cheaper), causal(4000, LowRankWay::features));
  EXPECT_EQ(causal(60, LowRankWay::cheaper), causal(60, LowRankWay::scores));
}

TEST(LowRank, TooManyFeaturesAreRefusedBeforeAnyWork) {
  const auto head = gaussian_head<float>(3, 64, 4, 1);
  const auto message = [&](const Mask& mask, const LowRankOptions& options) {
    return message_of<InvalidArgument>([&] { lowrank_attention<float>(head.view(), mask, options); });
  };
  const std::string refused = message(IntervalMask::causal(3), {.degree = 4, .memory_limit = 50e6});
  EXPECT_THAT(refused, HasSubstr("degree 4 in width 64 makes 814385 features"));
  EXPECT_THAT(refused, HasSubstr("MiB; the limit is 47.7 MiB"));
  EXPECT_THAT(refused, HasSubstr("degree 3 would fit (47905 features"));
  EXPECT_THAT(message(IntervalMask::causal(3), {.degree = 16}), HasSubstr("would fit"));
  EXPECT_THAT(message(IntervalMask::causal(3), {.degree = 1, .memory_limit = 10.0}), HasSubstr("no degree would fit"));
  EXPECT_THAT(message(RowChangeMask(IntervalMask::causal(3)), {.degree = 9}), HasSubstr("would fit"));
  const auto cheaper = lowrank_attention<float>(head.view(), {.degree = 9, .way = LowRankWay::cheaper, .memory_limit = 50e6});
  EXPECT_FALSE(cheaper.by_features);
}

TEST(LowRank, BadArgumentsAreErrors) {
  auto head = gaussian_head<double>(10, 2, 3, 6);
  const auto message = [&](const LowRankOptions& options = {}) {
    return message_of<InvalidArgument>([&] { lowrank_attention(head.view(), options); });
  };
  EXPECT_THAT(message({.degree = -1}), HasSubstr("degree -1 of the rank basis"));
  EXPECT_THAT(message({.degree = 17}), HasSubstr("between 0 and 16"));
  EXPECT_THAT(message({.fit = ExpFit::taylor, .interval = {{1.0, -1.0}}}), HasSubstr("between 1 and -1"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { lowrank_attention<double>(head.view(), IntervalMask::causal(9)); }),
              HasSubstr("a mask of 9 rows for 10 tokens"));
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                lowrank_attention<double>(head.view(), RowChangeMask(IntervalMask::causal(10)), {.way = LowRankWay::scores});
              }),
              HasSubstr("only continuous rows"));
  head.bias.assign(10, 0.5);
  EXPECT_THAT(message(), HasSubstr("has a position bias"));
  head.bias.clear();
  head.key(3, 1) = std::numeric_limits<double>::infinity();
  EXPECT_THAT(message(), HasSubstr("not finite"));
  head = head_of_scores<double>(Matrix<double>::Zero(10, 10), Matrix<double>::Ones(10, 2));
  EXPECT_THAT(message(), HasSubstr("given by its scores"));
}

TEST(LowRank, StopsOnRequest) {
  const auto head = gaussian_head<float>(300, 4, 3, 6);
  std::stop_source source;
  source.request_stop();
  for (const Mask& mask : std::vector<Mask>{IntervalMask::causal(300), RowChangeMask(IntervalMask::causal(300))}) {
    EXPECT_THROW(lowrank_attention<float>(head.view(), mask, {}, {.stop = source.get_token()}), Cancelled);
  }
}

TYPED_TEST(LowRankAttention, ReadsInsideItsRowsOnly) {
  using T = TypeParam;
  const auto head = head_of<T>(100, 3, 5, 0.5, 10);
  const Padded<T> query(head.query, 3), key(head.key, 1), value(head.value, 4);
  const HeadView<T> padded{query.view(), key.view(), value.view(), head.scale};
  EXPECT_EQ(lowrank_attention(padded, {.degree = 3}).output, lowrank_attention(head.view(), {.degree = 3}).output);
}

}  // namespace
}  // namespace convbasis
