// The ladder of a head, rung by rung, against dense fits; and the analysis of one head by a fit.
#include "analysis/ladder.h"

#include "analysis/head_analysis.h"
#include "basis/structured.h"
#include "data/planted.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"
#include "support/structured.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stop_token>
#include <string>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> keys_of(const Ladder& ladder) {
  std::vector<std::string> keys;
  for (const LadderRung& rung : ladder.rungs) keys.push_back(rung.key);
  return keys;
}

template <Real T>
std::vector<double> normalisers(const ExactPart<T>& exact) {
  std::vector<double> lse;
  for (Index i = 0; i < exact.normalisers->size(); ++i) lse.push_back((*exact.normalisers)[i]);
  return lse;
}

/// The relative error of a dense model, over all rows or over odd ones.
double dense_error(const Dense& model, const Dense& probability, const Dense& value, bool odd_only = false) {
  const Dense difference = (model - probability) * value;
  const Dense exact = probability * value;
  double squares = 0.0, size = 0.0;
  for (Index i = odd_only ? 1 : 0; i < exact.rows(); i += odd_only ? 2 : 1) {
    squares += difference.row(i).squaredNorm();
    size += exact.row(i).squaredNorm();
  }
  return std::sqrt(squares / size);
}

TEST(Ladder, RungsAreTheErrorsOfTheirDenseModels) {
  const HeadTensors<double> tensors = gaussian_head<double>(120, 6, 5, 3);
  const HeadView<double> head = tensors.view();
  const ExactPart<double> exact = exact_part(head);
  const LadderOptions options{.band = 8, .columns = 3, .k = 4};
  const Ladder ladder = make_ladder(head, exact, options, {.threads = 2});
  EXPECT_THAT(keys_of(ladder), ElementsAre("columns", "band", "rest_mass", "rank_one", "one_lag_vector", "lag_vectors",
                                           "wider_band", "nonnegative_rank", "truncated_svd"));
  EXPECT_TRUE(ladder.monotone);
  const Dense probability = reference::softmax(reference::scores(head)).probability;
  const std::vector<double> lse = normalisers(exact);
  struct Wanted {
    std::string_view key;
    StructuredOptions options;
  };
  const std::vector<Wanted> all = {{rung::columns, {.band = 0, .columns = 3, .k = 0, .rest = RestKind::dropped}},
                                   {rung::band, {.band = 8, .columns = 3, .k = 0, .rest = RestKind::dropped}},
                                   {rung::rest_mass, {.band = 8, .columns = 3, .k = 0, .rest = RestKind::uniform}},
                                   {rung::rank_one, {.band = 8, .columns = 3, .k = 0}},
                                   {rung::one_lag_vector, {.band = 8, .columns = 3, .k = 1}},
                                   {rung::lag_vectors, {.band = 8, .columns = 3, .k = 4}},
                                   {rung::wider_band, {.band = ladder.find(rung::wider_band)->band, .columns = 3, .k = 0}}};
  for (const auto& [key, fit_options] : all) {
    SCOPED_TRACE(key);
    const LadderRung* rung = ladder.find(key);
    ASSERT_NE(rung, nullptr);
    const StructuredFit fit = fit_structured(head, std::span<const double>(lse), fit_options);
    Matrix<double> model(120, 120);
    fit.probability_tile<double>(head, 0, 0, mutable_view(model));
    EXPECT_NEAR(rung->error, dense_error(model, probability, tensors.value), 1e-10);
    EXPECT_EQ(rung->band, fit_options.band);
    EXPECT_EQ(rung->columns, 3);
    EXPECT_EQ(rung->k, fit_options.k);
    EXPECT_GE(rung->seconds, 0.0);
    const Structure structure = choose_structure(head, WeightedRows::every(lse, 0, 1), fit_options);
    const HeadSums sums = gather_sums(head, std::span<const double>(lse), structure, true);
    fit_heldout(head, std::span<const double>(lse), sums, fit_options).probability_tile<double>(head, 0, 0, mutable_view(model));
    EXPECT_NEAR(rung->heldout_error, dense_error(model, probability, tensors.value, true), 1e-10);
  }
  // Each ingredient of the fit explains something of a head without structure, too.
  const auto error = [&](std::string_view key) { return ladder.find(key)->error; };
  EXPECT_LT(error(rung::band), error(rung::columns));
  EXPECT_LT(error(rung::rest_mass), error(rung::band));
  EXPECT_LT(error(rung::rank_one), error(rung::rest_mass));
  EXPECT_LT(error(rung::lag_vectors), error(rung::rank_one));
  EXPECT_EQ(ladder.find("no such rung"), nullptr);
}

TEST(Ladder, CostsAreThoseOfTheMathematicsPage) {
  EXPECT_DOUBLE_EQ(ladder_cost(1024, 16, 4, 0, false), 40.0);
  EXPECT_DOUBLE_EQ(ladder_cost(1024, 16, 4, 0, true), 42.0);
  EXPECT_DOUBLE_EQ(ladder_cost(1024, 16, 4, 1, true), 40.0 + 55.0 + 2.0);
  EXPECT_DOUBLE_EQ(ladder_cost(1024, 16, 4, 16, true), 40.0 + 35.0 + 32.0);
  const HeadTensors<float> tensors = gaussian_head<float>(300, 6, 5, 3);
  const Ladder ladder = make_ladder(tensors.view(), exact_part(tensors.view()), {.band = 8, .columns = 3, .k = 4});
  const double top = ladder.find(rung::lag_vectors)->cost;
  for (const auto key : {rung::wider_band, rung::nonnegative_rank, rung::truncated_svd}) {
    EXPECT_NEAR(ladder.find(key)->cost, top, 1.0) << key;
  }
}

TEST(Ladder, OptionsLeaveRungsOut) {
  const HeadTensors<float> tensors = gaussian_head<float>(60, 6, 5, 3);
  const ExactPart<float> exact = exact_part(tensors.view());
  const auto keys = [&](const LadderOptions& options) { return keys_of(make_ladder(tensors.view(), exact, options)); };
  EXPECT_THAT(keys({.band = 4, .columns = 2, .k = 0}),
              ElementsAre("columns", "band", "rest_mass", "rank_one", "nonnegative_rank", "truncated_svd"));
  EXPECT_THAT(keys({.band = 4, .columns = 2, .k = 1, .yardsticks = false}),
              ElementsAre("columns", "band", "rest_mass", "rank_one", "one_lag_vector"));
  const Ladder plain = make_ladder(tensors.view(), exact, {.band = 4, .columns = 2, .k = 2, .heldout = false, .rank = 5});
  for (const LadderRung& rung : plain.rungs) EXPECT_TRUE(std::isnan(rung.heldout_error)) << rung.key;
  EXPECT_EQ(plain.find(rung::nonnegative_rank)->rank, 5);
}

TEST(Ladder, AtTheLimits) {
  for (const Index n : {1, 2, 3, 40}) {
    const HeadTensors<double> tensors = gaussian_head<double>(n, 6, 5, 3);
    const ExactPart<double> exact = exact_part(tensors.view());
    for (const auto& [band, columns] : {std::pair{n, Index{0}}, {Index{0}, n}, {Index{0}, Index{0}}, {n, n}}) {
      for (const Index k : {0, 1, 16}) {
        SCOPED_TRACE(testing::Message() << n << " " << band << " " << columns << " " << k);
        const Ladder ladder = make_ladder(tensors.view(), exact, {.band = band, .columns = columns, .k = k});
        EXPECT_TRUE(ladder.monotone);
        const LadderRung* top = ladder.find(k == 0 ? rung::rank_one : k == 1 ? rung::one_lag_vector : rung::lag_vectors);
        ASSERT_NE(top, nullptr);
        if (band == n || columns == n) {
          EXPECT_LE(top->error, 1e-13);
        }
        for (const LadderRung& rung : ladder.rungs) EXPECT_TRUE(std::isfinite(rung.error)) << rung.key;
        EXPECT_EQ(std::isnan(top->heldout_error), n == 1);
      }
    }
  }
}

TEST(Ladder, FiguresDoNotDependOnTheNumberOfThreads) {
  const HeadTensors<float> tensors = gaussian_head<float>(333, 6, 5, 3);
  const ExactPart<float> exact = exact_part(tensors.view());
  const LadderOptions options{.band = 8, .columns = 3, .k = 4};
  const Ladder one = make_ladder(tensors.view(), exact, options, {.threads = 1});
  const Ladder four = make_ladder(tensors.view(), exact, options, {.threads = 4});
  ASSERT_EQ(keys_of(one), keys_of(four));
  for (std::size_t r = 0; r < one.rungs.size(); ++r) {
    EXPECT_EQ(one.rungs[r].error, four.rungs[r].error) << one.rungs[r].key;
    EXPECT_TRUE(one.rungs[r].heldout_error == four.rungs[r].heldout_error || std::isnan(one.rungs[r].heldout_error));
  }
}

TEST(Ladder, OverSomeRows) {
  const HeadTensors<double> tensors = gaussian_head<double>(200, 6, 5, 3);
  const HeadView<double> head = tensors.view();
  const ExactPart<double> whole = exact_part(head);
  ExactPart<double> some = no_exact_part<double>(200);
  some.rows = {3, 50, 51, 199};
  some.output.resize(4, 5);
  for (Index x = 0; x < 4; ++x) some.output.row(x) = whole.output.row(some.rows[static_cast<std::size_t>(x)]);
  const LadderOptions options{.band = 8, .columns = 3, .k = 4, .yardsticks = false};
  const Ladder ladder = make_ladder(head, some, options);
  const std::vector<double> lse = normalisers(whole);
  const StructuredFit fit =
      fit_structured(head, std::span<const double>(lse), StructuredOptions{.band = 8, .columns = 3, .k = 4});
  Matrix<double> model(200, 200);
  fit.probability_tile<double>(head, 0, 0, mutable_view(model));
  const Dense output = model * tensors.value;
  double squares = 0.0, size = 0.0;
  for (Index x = 0; x < 4; ++x) {
    squares += (output.row(some.rows[static_cast<std::size_t>(x)]) - some.output.row(x)).squaredNorm();
    size += some.output.row(x).squaredNorm();
  }
  EXPECT_NEAR(ladder.find(rung::lag_vectors)->error, std::sqrt(squares / size), 1e-10);
}

TEST(Ladder, FromASampleOfAllRowsIsNearTheFullOne) {
  const HeadTensors<double> tensors = gaussian_head<double>(300, 6, 5, 3);
  const ExactPart<double> exact = exact_part(tensors.view());
  LadderOptions options{.band = 8, .columns = 3, .k = 2, .rank_iterations = 3};
  const Ladder full = make_ladder(tensors.view(), exact, options);
  options.sample_rows = 300;
  const Ladder sampled = make_ladder(tensors.view(), exact, options);
  ASSERT_EQ(keys_of(sampled), keys_of(full));
  for (const LadderRung& rung : sampled.rungs) {
    SCOPED_TRACE(rung.key);
    const double wanted = full.find(rung.key)->error;
    // Rank one knows no lags to smooth.
    EXPECT_NEAR(rung.error, wanted, (rung.k > 0 ? 0.1 : 1e-9) * wanted);
    EXPECT_TRUE(std::isnan(rung.heldout_error));
  }
}

TEST(Ladder, IsCancelledAndReportsProgress) {
  const HeadTensors<float> tensors = gaussian_head<float>(300, 6, 5, 3);
  const ExactPart<float> exact = exact_part(tensors.view());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(make_ladder(tensors.view(), exact, {.band = 4}, {.stop = stop.get_token()}), Cancelled);
  double last = 0.0;
  make_ladder(tensors.view(), exact, {.band = 4}, {.progress = [&](std::string_view stage, double fraction) {
                EXPECT_EQ(stage, "ladder");
                EXPECT_GE(fraction, last);
                last = fraction;
              }});
  EXPECT_EQ(last, 1.0);
}

TEST(Ladder, BadOptionsAreRefusedByName) {
  const HeadTensors<float> tensors = gaussian_head<float>(30, 6, 5, 3);
  const ExactPart<float> exact = exact_part(tensors.view());
  const auto message = [&](const LadderOptions& options) {
    return message_of<InvalidArgument>([&] { make_ladder(tensors.view(), exact, options); });
  };
  EXPECT_THAT(message({.band = 31}), HasSubstr("band is 31; it must be in [0, 30]"));
  EXPECT_THAT(message({.band = 3, .columns = 31}), HasSubstr("columns is 31"));
  EXPECT_THAT(message({.band = 3, .columns = 3, .k = -1}), HasSubstr("k is -1"));
  EXPECT_THAT(message({.band = 3, .columns = 3, .rounds = 0}), HasSubstr("rounds is 0"));
  EXPECT_THAT(message({.band = 3, .columns = 3, .rank = -1}), HasSubstr("rank is -1"));
  EXPECT_THAT(message({.band = 3, .columns = 3, .rank_iterations = 0}), HasSubstr("rank_iterations is 0"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { make_ladder(tensors.view(20), exact, {.band = 3, .columns = 3}); }),
              HasSubstr("not of this head"));
}

template <class T>
class FitOfAHead : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(FitOfAHead, Precisions);

TYPED_TEST(FitOfAHead, FiguresAreThoseOfTheDenseModel) {
  using T = TypeParam;
  for (const RestKind rest : {RestKind::fitted, RestKind::dropped}) {
    const HeadTensors<T> tensors = make_random_head<T>(150, 8, 5, 3);
    const StructuredOptions options{.band = 6, .columns = 4, .k = 3, .rest = rest};
    const HeadAnalysis<T> analysis = analyze_head_by_fit<T>(tensors, options, {}, {.threads = 2});
    const Dense probability = reference::softmax(reference::scores(tensors.view())).probability;
    Matrix<T> model(150, 150);
    analysis.fit->template probability_tile<T>(tensors.view(), 0, 0, mutable_view(model));
    const Dense dense = model.template cast<double>();
    const double tolerance = 16.0 * score_tolerance(tensors.view());
    EXPECT_NEAR(analysis.error.relative_error, dense_error(dense, probability, tensors.value.template cast<double>()), tolerance);
    EXPECT_NEAR(analysis.error.mean_total_variation, (dense - probability).cwiseAbs().sum() / 300.0, tolerance);
    EXPECT_EQ(analysis.error.total_variation_rows, 150);
    EXPECT_TRUE(std::isnan(analysis.error.max_score_error));
    const Dense difference = (dense - probability) * tensors.value.template cast<double>();
    EXPECT_NEAR(analysis.error.max_abs_error, difference.cwiseAbs().maxCoeff(), 4.0 * tolerance);
    EXPECT_GT(analysis.heldout_error, 0.0);
  }
}

TYPED_TEST(FitOfAHead, FromASample) {
  using T = TypeParam;
  const HeadTensors<T> tensors = make_random_head<T>(150, 8, 5, 3);
  const HeadAnalysis<T> analysis =
      analyze_head_by_fit<T>(tensors, StructuredOptions{.band = 6, .columns = 4, .k = 3}, SampleOptions{.rows = 50});
  const Dense probability = reference::softmax(reference::scores(tensors.view())).probability;
  Matrix<T> model(150, 150);
  analysis.fit->template probability_tile<T>(tensors.view(), 0, 0, mutable_view(model));
  const double tolerance = 16.0 * score_tolerance(tensors.view());
  const Dense dense = model.template cast<double>();
  EXPECT_TRUE(analysis.fit->sampled);
  EXPECT_NEAR(analysis.error.relative_error, dense_error(dense, probability, tensors.value.template cast<double>()), tolerance);
  // Exact entries differ too: their normalisers are estimates.
  EXPECT_NEAR(analysis.error.mean_total_variation, (dense - probability).cwiseAbs().sum() / 300.0, tolerance);
  EXPECT_TRUE(std::isnan(analysis.heldout_error));
}

TYPED_TEST(FitOfAHead, OfOneToken) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis =
      analyze_head_by_fit<T>(make_random_head<T>(1, 8, 5, 3), StructuredOptions{.band = 0, .columns = 0, .k = 2});
  EXPECT_LE(analysis.error.relative_error, 1e-6);
  EXPECT_TRUE(std::isnan(analysis.heldout_error));
}

}  // namespace
}  // namespace convbasis
