#include "analysis/head_analysis.h"

#include "data/planted.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class AnalyzeHead : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(AnalyzeHead, Precisions);

template <Real T>
std::vector<Index> starts_of(const HeadAnalysis<T>& analysis) {
  return {analysis.recovery.basis.starts().begin(), analysis.recovery.basis.starts().end()};
}

/// All that an analysis says, recomputed densely from its head and its starts.
template <Real T>
void expect_true(const HeadAnalysis<T>& analysis) {
  const HeadView<T> head = analysis.head();
  const Index n = head.size();
  const double tolerance = 4.0 * score_tolerance(head);
  const reference::Dense value = analysis.head().value.template cast<double>();
  const reference::Dense scores = reference::scores(head);
  const reference::Softmax exact = reference::softmax(scores);
  const reference::Dense exact_output = exact.probability * value;
  EXPECT_LE(reference::max_error(analysis.exact->output.template cast<double>(), exact_output), tolerance * 4.0);
  ASSERT_TRUE(analysis.exact->complete());
  ASSERT_EQ(analysis.exact->normalisers->size(), n);
  for (Index i = 0; i < n; ++i) ASSERT_NEAR((*analysis.exact->normalisers)[i], exact.lse[static_cast<std::size_t>(i)], tolerance);

  reference::Dense basis_scores = reference::Dense::Zero(n, n);
  for (const Index start : starts_of(analysis)) {
    for (Index j = start; j < n; ++j) {
      for (Index i = j; i < n; ++i) basis_scores(i, j) = scores(i - j + start, start);
    }
  }
  const reference::Softmax approximate = reference::softmax(basis_scores);
  const reference::Dense output = approximate.probability * value;
  EXPECT_LE(reference::max_error(analysis.output.template cast<double>(), output), tolerance * 4.0);

  const ErrorReport& error = analysis.error;
  EXPECT_NEAR(error.relative_error, reference::relative_error(output, exact_output), 10.0 * tolerance);
  EXPECT_NEAR(error.max_abs_error, reference::max_error(output, exact_output), 10.0 * tolerance);
  EXPECT_NEAR(error.max_score_error, reference::max_error(basis_scores, scores), 2.0 * tolerance);
  ASSERT_EQ(error.row_error.size(), static_cast<std::size_t>(n));
  const double row_rms = exact_output.norm() / std::sqrt(static_cast<double>(n));
  ASSERT_EQ(error.total_variation_rows, n) << "n <= 4096: every row";
  ASSERT_EQ(error.row_total_variation.size(), static_cast<std::size_t>(n));
  ASSERT_EQ(error.row_total_variation_index.size(), static_cast<std::size_t>(n));
  double variation_sum = 0.0;
  for (Index i = 0; i < n; ++i) {
    const auto row = static_cast<std::size_t>(i);
    EXPECT_NEAR(error.row_error[row], (output.row(i) - exact_output.row(i)).norm() / row_rms, 10.0 * tolerance) << "row " << i;
    const double variation = 0.5 * (approximate.probability.row(i) - exact.probability.row(i)).cwiseAbs().sum();
    EXPECT_EQ(error.row_total_variation_index[row], i);
    EXPECT_NEAR(error.row_total_variation[row], variation, 2.0 * tolerance) << "row " << i;
    variation_sum += variation;
  }
  EXPECT_NEAR(error.mean_total_variation, variation_sum / static_cast<double>(n), 2.0 * tolerance);

  EXPECT_GE(analysis.seconds.exact, 0.0);
  EXPECT_GE(analysis.seconds.recover, 0.0);
  EXPECT_GE(analysis.seconds.apply, 0.0);
  EXPECT_FALSE(analysis.apply.path.empty());
  ASSERT_NE(analysis.weights, nullptr);
}

TYPED_TEST(AnalyzeHead, AgreesWithTheDenseComputation) {
  using T = TypeParam;
  for (const Index n : {1, 2, 65, 200}) {
    for (const Index k : {1, 5}) {
      if (k > n) continue;
      const Index probe_length = std::min<Index>(n, 4);
      expect_true(analyze_head(gaussian_head<T>(n, 16, 7, 3), {.k = k, .T = probe_length, .delta = 2.0, .eps = 0.01}));
    }
  }
}

TYPED_TEST(AnalyzeHead, ColumnsBeforeTheFirstStartHaveScoreZero) {
  using T = TypeParam;
  HeadTensors<T> head = gaussian_head<T>(120, 8, 5, 4);
  head.key.topRows(30).setZero();
  const HeadAnalysis<T> analysis = analyze_head(head, {.k = 4, .T = 4, .delta = 1.0, .eps = 0.0, .search = Search::scan});
  ASSERT_GE(analysis.recovery.basis.count(), 1);
  ASSERT_GE(analysis.recovery.basis.start(0), 30);
  expect_true(analysis);
}

TYPED_TEST(AnalyzeHead, OfAHeadWithAPositionBiasOrGivenByItsScores) {
  using T = TypeParam;
  const RecoverOptions options{.k = 7, .T = 4, .delta = 2.0, .eps = 0.01};
  for (const Index n : {7, 90, 300}) {
    HeadTensors<T> head = gaussian_head<T>(n, 16, 7, 3);
    for (Index t = 0; t < n; ++t) head.bias.push_back(static_cast<T>(-0.05 * static_cast<double>(t)));
    const HeadAnalysis<T> biased = analyze_head(head, options);
    expect_true(biased);
    const HeadTensors<T> given = head_of_scores<T>(reference::scores(head.view()).template cast<T>(), head.value);
    const HeadAnalysis<T> same = analyze_head(given, options);
    expect_true(same);
    EXPECT_EQ(starts_of(same), starts_of(biased));
    EXPECT_NEAR(same.error.relative_error, biased.error.relative_error, 10.0 * score_tolerance(head.view()));
  }
}

TYPED_TEST(AnalyzeHead, NothingFoundIsUniformAttention) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = analyze_head(gaussian_head<T>(60, 8, 5, 5), {.k = 4, .T = 4, .delta = 1e6, .eps = 0.0});
  EXPECT_EQ(analysis.recovery.basis.count(), 0);
  expect_true(analysis);
}

TYPED_TEST(AnalyzeHead, PlantedHeadHasNoError) {
  using T = TypeParam;
  const Planted<T> planted = make_planted<T>({.n = 400, .d = 16, .k = 4, .seed = 9});
  const HeadAnalysis<T> analysis = analyze_head(planted.head, {.k = 4, .T = 8, .delta = planted.delta, .eps = 0.0});
  EXPECT_EQ(starts_of(analysis), planted.starts);
  EXPECT_LE(analysis.error.relative_error, (std::same_as<T, float> ? 1e-5 : 1e-11));
  EXPECT_LE(analysis.error.mean_total_variation, (std::same_as<T, float> ? 1e-5 : 1e-11));
  expect_true(analysis);
}

TYPED_TEST(AnalyzeHead, KeepsWhatItWasAskedAndTheHead) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(50, 8, 5, 6);
  const HeadAnalysis<T> analysis = analyze_head(head, {.k = 3, .T = 2, .delta = 1.5, .eps = 0.125, .search = Search::scan});
  EXPECT_EQ(analysis.options.k, 3);
  EXPECT_EQ(analysis.options.T, 2);
  EXPECT_EQ(analysis.options.delta, 1.5);
  EXPECT_EQ(analysis.options.eps, 0.125);
  EXPECT_EQ(analysis.options.search, Search::scan);
  EXPECT_EQ(analysis.head().query, head.query);
  EXPECT_EQ(analysis.head().scale, head.scale);
}

TYPED_TEST(AnalyzeHead, GivesTheBoundOnlyWhereItIsProved) {
  using T = TypeParam;
  const Planted<T> planted = make_planted<T>({.n = 120, .d = 8, .k = 3, .T = 4, .noise = 0.01, .seed = 3});
  const double largest = static_cast<double>(planted.head.value.cwiseAbs().maxCoeff());
  const double delta = planted.delta;
  const auto bound = [&](const HeadTensors<T>& head, double eps) {
    return analyze_head(head, {.k = 3, .T = 4, .delta = delta, .eps = eps}).bound;
  };
  const double eps = planted.noise;
  ASSERT_GT(delta / 20.0, eps) << "the case must leave room for the paper's condition";
  ASSERT_TRUE(bound(planted.head, eps).has_value());
  EXPECT_NEAR(*bound(planted.head, eps), 2.0 * std::expm1(2.0 * eps) * largest, 1e-12);
  EXPECT_TRUE(bound(planted.head, delta / 20.0).has_value()) << "eps = delta / (5 T) itself is allowed";
  EXPECT_FALSE(bound(planted.head, delta / 19.0).has_value());
  EXPECT_FALSE(bound(planted.head, eps / 100.0).has_value()) << "the scores are further apart than 2 eps";
  EXPECT_FALSE(bound(gaussian_head<T>(120, 8, 5, 7), eps).has_value()) << "no conv basis";
}

TYPED_TEST(AnalyzeHead, LongInputsSampleTheRowsOfTotalVariationEvenly) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis =
      analyze_head(gaussian_head<T>(4200, 4, 2, 8), {.k = 3, .T = 4, .delta = 3.0, .eps = 0.0, .search = Search::scan});
  const ErrorReport& error = analysis.error;
  ASSERT_GT(error.total_variation_rows, 0);
  ASSERT_LE(error.total_variation_rows, 4200);
  ASSERT_EQ(error.row_total_variation.size(), static_cast<std::size_t>(error.total_variation_rows));
  ASSERT_EQ(error.row_total_variation_index.size(), error.row_total_variation.size());
  const std::vector<Index>& rows = error.row_total_variation_index;
  Index smallest_gap = 4200;
  Index largest_gap = 0;
  for (std::size_t p = 1; p < rows.size(); ++p) {
    smallest_gap = std::min(smallest_gap, rows[p] - rows[p - 1]);
    largest_gap = std::max(largest_gap, rows[p] - rows[p - 1]);
  }
  EXPECT_GE(smallest_gap, 1);
  EXPECT_LE(largest_gap - smallest_gap, 1);
  EXPECT_GE(rows.front(), 0);
  EXPECT_LE(rows.front(), largest_gap);
  EXPECT_LT(rows.back(), 4200);
  EXPECT_GE(rows.back(), 4200 - 1 - largest_gap);
  EXPECT_NEAR(error.mean_total_variation,
              std::accumulate(error.row_total_variation.begin(), error.row_total_variation.end(), 0.0) /
                  static_cast<double>(error.total_variation_rows),
              1e-12);
  for (std::size_t p = 0; p < rows.size(); p += rows.size() / 10) {
    const Index i = rows[p];
    Eigen::VectorXd exact(i + 1);
    Eigen::VectorXd approximate(i + 1);
    for (Index j = 0; j <= i; ++j) {
      exact[j] = analysis.head().scale *
                 analysis.head().query.row(i).template cast<double>().dot(analysis.head().key.row(j).template cast<double>());
      approximate[j] = static_cast<double>(analysis.recovery.basis.entry(i, j));
    }
    for (Eigen::VectorXd* row : {&exact, &approximate}) {
      *row = (row->array() - row->maxCoeff()).exp();
      *row /= row->sum();
    }
    EXPECT_NEAR(error.row_total_variation[p], 0.5 * (exact - approximate).cwiseAbs().sum(),
                2.0 * score_tolerance(analysis.head()));
  }
}

TYPED_TEST(AnalyzeHead, NanInTheValuesReachesTheReport) {
  using T = TypeParam;
  HeadTensors<T> head = gaussian_head<T>(80, 8, 5, 10);
  head.value(40, 2) = std::numeric_limits<T>::quiet_NaN();
  const HeadAnalysis<T> analysis = analyze_head(head, {.k = 3, .T = 4, .delta = 2.0, .eps = 0.0});
  EXPECT_TRUE(std::isnan(analysis.error.relative_error));
  EXPECT_TRUE(std::isnan(analysis.error.max_abs_error));
}

TYPED_TEST(AnalyzeHead, ReanalyzeEqualsAnalyze) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(150, 16, 6, 11);
  const HeadAnalysis<T> earlier = analyze_head(head, {.k = 2, .T = 8, .delta = 1.0, .eps = 0.01});
  for (const RecoverOptions& options :
       {RecoverOptions{.k = 9, .T = 3, .delta = 2.5, .eps = 0.0}, RecoverOptions{.k = 150, .T = 1, .delta = 0.0, .eps = 0.0},
        RecoverOptions{.k = 4, .T = 4, .delta = 1.0, .eps = 0.01, .search = Search::scan}}) {
    const HeadAnalysis<T> again = reanalyze_head(earlier, options);
    const HeadAnalysis<T> fresh = analyze_head(head, options);
    EXPECT_EQ(again.exact->output, fresh.exact->output);
    EXPECT_EQ(again.exact, earlier.exact);
    EXPECT_EQ(again.seconds.exact, earlier.seconds.exact);
    EXPECT_EQ(starts_of(again), starts_of(fresh));
    EXPECT_EQ(again.output, fresh.output);
    EXPECT_EQ(again.options.k, options.k);
    EXPECT_EQ(again.error.relative_error, fresh.error.relative_error);
    EXPECT_EQ(again.error.max_abs_error, fresh.error.max_abs_error);
    EXPECT_EQ(again.error.mean_total_variation, fresh.error.mean_total_variation);
    EXPECT_EQ(again.error.row_error, fresh.error.row_error);
    EXPECT_EQ(again.bound, fresh.bound);
    EXPECT_EQ(again.tensors->key, head.key);
    expect_true(again);
  }
}

TYPED_TEST(AnalyzeHead, BadOptionsAndHeadsAreErrors) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(30, 8, 5, 12);
  message_of<InvalidArgument>([&] { analyze_head(head, {.k = 0}); });
  message_of<InvalidArgument>([&] { analyze_head(head, {.k = 31}); });
  message_of<InvalidArgument>([&] { analyze_head(head, {.k = 4, .T = 31}); });
  message_of<InvalidArgument>([&] { analyze_head(head, {.k = 4, .eps = -1.0}); });
  HeadTensors<T> bad = head;
  bad.key = Matrix<T>::Zero(29, 8);
  message_of<InvalidArgument>([&] { analyze_head(bad, {.k = 4}); });
  const HeadAnalysis<T> earlier = analyze_head(head, {.k = 4});
  message_of<InvalidArgument>([&] { reanalyze_head(earlier, {.k = 31}); });
}

TYPED_TEST(AnalyzeHead, StopsOnRequest) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(300, 8, 5, 13);
  std::stop_source source;
  source.request_stop();
  EXPECT_THROW(analyze_head(head, {.k = 4}, {.stop = source.get_token()}), Cancelled);
  EXPECT_THROW(reanalyze_head(analyze_head(head, {.k = 4}), {.k = 5}, {.stop = source.get_token()}), Cancelled);
  // A stop at any moment: whichever report is the last one seen, the work ends in Cancelled, not in a result.
  int reports = 0;
  analyze_head(head, {.k = 4}, {.threads = 1, .progress = [&](std::string_view, double) { ++reports; }});
  ASSERT_GT(reports, 0);
  for (int wanted = 1; wanted < reports; wanted += 1 + reports / 10) {
    std::stop_source during;
    int seen = 0;
    const RunContext context{.threads = 1, .stop = during.get_token(), .progress = [&](std::string_view, double) {
                               if (++seen == wanted) during.request_stop();
                             }};
    EXPECT_THROW(analyze_head(head, {.k = 4}, context), Cancelled) << "report " << wanted << " of " << reports;
  }
}

}  // namespace
}  // namespace convbasis
