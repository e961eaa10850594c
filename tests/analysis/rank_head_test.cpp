// Analyses by a matrix of low rank against dense linear algebra in double.
#include "analysis/error_by_k.h"
#include "analysis/head_analysis.h"
#include "analysis/ladder.h"
#include "analysis/region.h"

#include "support/expect_error.h"
#include "support/expect_maps.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <Eigen/SVD>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::HasSubstr;
using testing_maps::cell_tolerance;
using testing_maps::expect_maps;

template <class T>
class RankHead : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(RankHead, Precisions);

RankOptions svd(Index k) { return {.kind = RankKind::svd, .k = k}; }
RankOptions features(Index degree) { return {.kind = RankKind::features, .degree = degree}; }

template <Real T>
Dense probabilities(const HeadView<T>& head) {
  return reference::softmax(reference::scores(head)).probability;
}

template <Real T>
Dense whole_product(const MatrixFactors<T>& factors) {
  return factors.left.template cast<double>() * factors.right.transpose().template cast<double>();
}

Dense causal_part(const Dense& matrix) { return matrix.triangularView<Eigen::Lower>(); }

/// Sums over up to n products of factors whose largest is about sqrt(n).
template <Real T>
double product_tolerance(const HeadAnalysis<T>& analysis) {
  return cell_tolerance(analysis) + 64.0 * static_cast<double>(std::numeric_limits<T>::epsilon());
}

/// Output, error and maps are those of the dense matrix `approximate`.
template <Real T>
void expect_true(const HeadAnalysis<T>& analysis, const Dense& approximate) {
  const Dense exact = probabilities(analysis.head());
  const Dense value = analysis.head().value.template cast<double>();
  const double tolerance = product_tolerance(analysis);
  EXPECT_LE(reference::max_error(analysis.output.template cast<double>(), approximate * value), 16.0 * tolerance);
  EXPECT_NEAR(analysis.error.relative_error, reference::relative_error(approximate * value, exact * value), 16.0 * tolerance);
  EXPECT_NEAR(analysis.error.mean_total_variation, 0.5 * (approximate - exact).cwiseAbs().sum() / static_cast<double>(analysis.n),
              4.0 * tolerance);
  EXPECT_TRUE(std::isnan(analysis.error.max_score_error)) << "low rank stands for weights";
  EXPECT_FALSE(analysis.bound.has_value());
  EXPECT_EQ(analysis.recovery.basis.count(), 0);
  expect_maps(analysis, exact, approximate, 1e-2);
}

TYPED_TEST(RankHead, IsWhatTheFactorsSay) {
  using T = TypeParam;
  for (const Index n : {1, 2, 37, 300}) {
    for (const Index k : {Index{1}, std::min<Index>(n, 5), std::min<Index>(n, 40)}) {
      SCOPED_TRACE("n " + std::to_string(n) + ", k " + std::to_string(k));
      const HeadAnalysis<T> analysis = analyze_head_by_rank(gaussian_head<T>(n, 8, 5, 21), svd(k));
      ASSERT_NE(analysis.rank, nullptr);
      EXPECT_EQ(analysis.rank->rank, k);
      EXPECT_EQ(analysis.options.k, k);
      EXPECT_TRUE(analysis.assessed());
      expect_true(analysis, causal_part(whole_product(analysis.rank->factors)));
    }
  }
}

TYPED_TEST(RankHead, NoMatrixOfThatRankIsNearer) {
  using T = TypeParam;
  for (const Index n : {37, 128, 200}) {
    const HeadTensors<T> head = gaussian_head<T>(n, 8, 5, 22);
    const Dense exact = probabilities(head.view());
    const Eigen::BDCSVD<Eigen::MatrixXd> reference(exact);
    for (const Index k : {1, 4, 16}) {
      const auto analysis = analyze_head_by_rank(head, svd(k));
      const auto& sigma = reference.singularValues();
      const double least = sigma.tail(n - k).norm();
      const Dense whole = whole_product(analysis.rank->factors);
      // Subspace iteration from random vectors: within a hundredth of the least distance, and never below it.
      EXPECT_LE((whole - exact).norm(), 1.01 * least);
      EXPECT_GE((whole - exact).norm(), (1.0 - 1e-5) * least);
      EXPECT_LE((causal_part(whole) - exact).norm(), (whole - exact).norm());
      for (Index r = 0; r < k; ++r) EXPECT_NEAR(analysis.rank->singular[static_cast<std::size_t>(r)], sigma[r], 0.03 * sigma[0]);
      EXPECT_NEAR(analysis.rank->singular[0], sigma[0], 1e-4 * sigma[0]);
      EXPECT_TRUE(std::ranges::is_sorted(analysis.rank->singular, std::greater()));
      EXPECT_GE(analysis.rank->factors.right.colwise().sum().minCoeff(), T{0}) << "of both signs always the same one";
    }
  }
}

TYPED_TEST(RankHead, OfFullRankIsExact) {
  using T = TypeParam;
  for (const Index n : {1, 2, 31, 100}) {
    const auto analysis = analyze_head_by_rank(gaussian_head<T>(n, 6, 4, 23), svd(n));
    const double tolerance = 16.0 * product_tolerance(analysis);
    EXPECT_LE(analysis.error.relative_error, tolerance);
    EXPECT_LE(analysis.rank->unmasked_error, tolerance);
    EXPECT_LE(analysis.error.mean_total_variation, tolerance * std::sqrt(static_cast<double>(n)));
  }
}

TYPED_TEST(RankHead, UnmaskedIsTheRungOfTheLadder) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(150, 8, 5, 24);
  const LadderOptions options{.band = 8, .columns = 4, .k = 2, .heldout = false};
  const auto exact = exact_part(head.view());
  const Ladder ladder = make_ladder<T>(head.view(), exact, options);
  const LadderRung& rung = ladder.rungs.back();
  ASSERT_EQ(rung.key, rung::truncated_svd);
  const auto analysis = analyze_head_by_rank(head, svd(rung.rank));
  EXPECT_NEAR(analysis.rank->unmasked_error, rung.error, 1e-5 * rung.error);
}

TYPED_TEST(RankHead, ErrorsOfAllRanksComeFromOneDecomposition) {
  using T = TypeParam;
  const auto large = analyze_head_by_rank(gaussian_head<T>(90, 8, 5, 25), svd(64));
  const std::vector<Index> ks{1, 2, 7, 30, 64, 100};
  const auto points = error_by_rank<T>(large.head(), large.exact->rows, view(large.exact->output), large.rank->factors, ks);
  ASSERT_EQ(points.size(), ks.size());
  EXPECT_EQ(points.back().found, 64) << "no more than there are";
  for (std::size_t x = 0; x + 1 < ks.size(); ++x) {
    const auto alone = analyze_head_by_rank(*large.tensors, svd(ks[x]));
    EXPECT_EQ(points[x].k, ks[x]);
    // Subspace iteration is a little less sharp where fewer vectors are sought.
    EXPECT_NEAR(points[x].error, alone.error.relative_error, 0.02) << ks[x];
  }
  EXPECT_NEAR(points[4].error, large.error.relative_error, 1e-6);
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                error_by_rank<T>(large.head(), large.exact->rows, view(large.exact->output), large.rank->factors,
                                 std::vector<Index>{0});
              }),
              HasSubstr("k is 0"));
}

TYPED_TEST(RankHead, DoesNotDependOnTheNumberOfThreads) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(200, 8, 20, 26);
  const auto one = analyze_head_by_rank(head, svd(7), {.threads = 1});
  const auto three = analyze_head_by_rank(head, svd(7), {.threads = 3});
  EXPECT_EQ(one.output, three.output);
}

TYPED_TEST(RankHead, KeepsNotANumber) {
  using T = TypeParam;
  HeadTensors<T> head = gaussian_head<T>(40, 8, 5, 27);
  head.value(20, 3) = std::numeric_limits<T>::quiet_NaN();
  const auto analysis = analyze_head_by_rank(head, svd(5));
  EXPECT_TRUE(std::isnan(analysis.error.relative_error));
  EXPECT_TRUE(std::isnan(analysis.error.max_abs_error));
  EXPECT_FALSE(analysis.output.topRows(20).hasNaN()) << "no key is seen before it comes";
  EXPECT_TRUE(std::isnan(analysis.output(20, 3)));
}

TYPED_TEST(RankHead, OfGivenScores) {
  using T = TypeParam;
  Rng rng(28);
  const auto analysis = analyze_head_by_rank(head_of_scores<T>(gaussian<T>(60, 60, rng), gaussian<T>(60, 5, rng)), svd(6));
  expect_true(analysis, causal_part(whole_product(analysis.rank->factors)));
}

/// phi(q) . phi(k) as the polynomial of the score against the keys that it was fitted to, row by row in double.
template <Real T>
Dense dense_features(const HeadAnalysis<T>& analysis) {
  const LowRankScores<T>& scores = analysis.rank->features->scores;
  const Dense key = scores.key().template cast<double>();
  const Dense query = analysis.head().query.template cast<double>();
  Dense weights = Dense::Zero(analysis.n, analysis.n);
  for (Index i = 0; i < analysis.n; ++i) {
    for (Index j = 0; j <= i; ++j) weights(i, j) = scores.polynomial()(analysis.head().scale * query.row(i).dot(key.row(j)));
    const double mass = weights.row(i).sum();
    weights.row(i) *= mass > 0.0 ? 1.0 / mass : 0.0;
  }
  return weights;
}

/// A head whose scores are small, for which a polynomial of a low degree is near to exp and its row sums are positive.
template <Real T>
HeadTensors<T> mild_head(Index n, Index d, Index value_width, std::uint64_t seed) {
  HeadTensors<T> head = gaussian_head<T>(n, d, value_width, seed);
  head.scale *= 0.4;
  return head;
}

TYPED_TEST(RankHead, FeaturesAreWhatTheirPolynomialSays) {
  using T = TypeParam;
  for (const Index n : {1, 2, 37, 300}) {
    for (const Index degree : {0, 1, 2, 4}) {
      SCOPED_TRACE("n " + std::to_string(n) + ", degree " + std::to_string(degree));
      const auto analysis = analyze_head_by_rank(mild_head<T>(n, 5, 4, 31), features(degree));
      ASSERT_NE(analysis.rank->features, nullptr);
      EXPECT_EQ(analysis.rank->rank, feature_count(5, degree));
      EXPECT_EQ(analysis.rank->features->not_positive, 0);
      EXPECT_TRUE(analysis.rank->singular.empty());
      const Dense approximate = dense_features(analysis);
      const Dense exact = probabilities(analysis.head());
      const Dense value = analysis.head().value.template cast<double>();
      const double tolerance = 8.0 * product_tolerance(analysis);  // powers of scores, and sums of them
      EXPECT_LE(reference::max_error(analysis.output.template cast<double>(), approximate * value), 16.0 * tolerance);
      EXPECT_NEAR(analysis.error.relative_error, reference::relative_error(approximate * value, exact * value), 16.0 * tolerance);
      EXPECT_NEAR(analysis.error.mean_total_variation, 0.5 * (approximate - exact).cwiseAbs().sum() / static_cast<double>(n),
                  16.0 * tolerance);
      for (Index i = 0; i < n; i += 5) {
        for (Index j = 0; j <= i; j += 3) {
          const MapCell cell = map_cell(analysis, i, j);
          EXPECT_NEAR(cell.approximate_probability, approximate(i, j), tolerance);
        }
      }
    }
  }
}

TYPED_TEST(RankHead, TheScoreOfAFeatureWeightIsItsLogarithm) {
  using T = TypeParam;
  // Of degree 8 the polynomial is exp to some digits, so S~ is S, though the keys have a mean that features leave out.
  HeadTensors<T> head = mild_head<T>(60, 4, 3, 32);
  head.key.rowwise() += RowVector<T>::Constant(4, T(1.5));
  const auto analysis = analyze_head_by_rank(head, features(8));
  const Dense scores = reference::scores(analysis.head());
  const auto difference = [&](Index i, Index j) { return map_cell(analysis, i, j).approximate_score - scores(i, j); };
  for (Index i = 0; i < 60; i += 7) {
    for (Index j = 0; j <= i; ++j) EXPECT_NEAR(difference(i, j), 0.0, 2e-2) << i << ", " << j;
  }
}

TYPED_TEST(RankHead, MoreFeaturesAreNearer) {
  using T = TypeParam;
  const HeadTensors<T> head = mild_head<T>(200, 4, 5, 33);
  double last = std::numeric_limits<double>::infinity();
  for (const Index degree : {0, 1, 2, 3, 5}) {
    const double error = analyze_head_by_rank(head, features(degree)).error.relative_error;
    EXPECT_LT(error, 0.7 * last) << degree;
    last = error;
  }
  EXPECT_LT(last, 1e-2);
}

TYPED_TEST(RankHead, FeaturesNeedNoExactRows) {
  using T = TypeParam;
  const auto tensors = std::make_shared<const HeadTensors<T>>(mild_head<T>(300, 4, 5, 34));
  const auto none = std::make_shared<const ExactPart<T>>(no_exact_part<T>(300));
  HeadAnalysis<T> analysis = rank_head<T>(tensors, none, features(2));
  EXPECT_FALSE(analysis.assessed());
  assess_head<T>(analysis, std::make_shared<const ExactPart<T>>(exact_part(tensors->view())));
  EXPECT_TRUE(analysis.assessed());
  EXPECT_EQ(analysis.error.relative_error, analyze_head_by_rank<T>(*tensors, features(2)).error.relative_error);
}

TYPED_TEST(RankHead, RefusesFeaturesThatCannotBe) {
  using T = TypeParam;
  const auto message = [](const HeadTensors<T>& head, Index degree) {
    return message_of<InvalidArgument>([&] { analyze_head_by_rank(head, features(degree)); });
  };
  EXPECT_THAT(message(gaussian_head<T>(12, 2, 1, 29), -1), HasSubstr("degree is -1; the degree of features must be in [0, 16]"));
  EXPECT_THAT(message(gaussian_head<T>(12, 2, 1, 29), 17), HasSubstr("degree is 17"));
  EXPECT_THAT(message(gaussian_head<T>(12, 64, 64, 29), 6),
              testing::AllOf(HasSubstr("degree 6 in width 64 makes 131115985 features"), HasSubstr("take degree 4 or less")));
  EXPECT_EQ(feature_problem(4, 64, 64), "");
  HeadTensors<T> biased = gaussian_head<T>(12, 2, 1, 29);
  biased.bias.assign(12, T(0.5));
  EXPECT_THAT(message(biased, 2), HasSubstr("has a position bias"));
  Rng rng(28);
  EXPECT_THAT(message(head_of_scores<T>(gaussian<T>(6, 6, rng), gaussian<T>(6, 5, rng)), 2), HasSubstr("given by its scores"));
}

TYPED_TEST(RankHead, RefusesWhatCannotBe) {
  using T = TypeParam;
  const auto message = [](Index n, const RankOptions& options) {
    return message_of<InvalidArgument>([&] { analyze_head_by_rank(gaussian_head<T>(n, 2, 1, 29), options); });
  };
  EXPECT_THAT(message(12, svd(0)), HasSubstr("k is 0; the rank of an SVD must be in [1, 12]"));
  EXPECT_THAT(message(12, svd(13)), HasSubstr("k is 13; the rank of an SVD must be in [1, 12]"));
  EXPECT_THAT(message(2000, svd(1025)), HasSubstr("k is 1025; the rank of an SVD must be at most 1024"));
  EXPECT_THAT(message(yardstick_limit + 1, svd(4)), HasSubstr("at most 4096 tokens; this head has 4097"));
  const auto tensors = std::make_shared<const HeadTensors<T>>(gaussian_head<T>(50, 8, 5, 14));
  const auto none = std::make_shared<const ExactPart<T>>(no_exact_part<T>(50));
  EXPECT_THAT(message_of<InvalidArgument>([&] { rank_head<T>(tensors, none, svd(3)); }),
              HasSubstr("needs exact attention of all 50 rows; 0 are known"));
}

RC_GTEST_PROP(RankHeadProperty, TheOutputIsThatOfTheCausalPartOfTheFactors, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 150);
  const auto k = *rc::gen::inRange<Index>(1, n + 1);
  const auto d = *rc::gen::inRange<Index>(1, 20);
  const auto value_width = *rc::gen::inRange<Index>(1, 40);
  const auto head = gaussian_head<double>(n, d, value_width, *rc::gen::inRange<std::uint64_t>(0, 1'000'000));
  const auto analysis = analyze_head_by_rank(head, svd(k), {.threads = *rc::gen::inRange(1, 4)});
  const Dense whole = whole_product(analysis.rank->factors);
  const Dense exact = probabilities(head.view()) * head.value;
  // Sums of at most n products in double.
  RC_ASSERT(reference::max_error(analysis.output, causal_part(whole) * head.value) <= 1e-11);
  RC_ASSERT(std::abs(analysis.rank->unmasked_error - reference::relative_error(whole * head.value, exact)) <= 1e-10);
  RC_ASSERT(std::abs(analysis.error.relative_error - reference::relative_error(causal_part(whole) * head.value, exact)) <= 1e-10);
}

}  // namespace
}  // namespace convbasis
