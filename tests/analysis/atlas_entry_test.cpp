// Entries of the atlas against the parts that they are made of, and their codes of pictures.

#include "analysis/error_by_k.h"
#include "analysis/head_atlas.h"
#include "analysis/ladder.h"
#include "basis/structured.h"
#include "basis/structured_apply.h"
#include "data/planted.h"
#include "support/expect_error.h"
#include "support/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <Eigen/Eigenvalues>

#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

namespace convbasis {
namespace {

using namespace testing_inputs;
using ::testing::HasSubstr;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

template <class T>
class AtlasEntryTest : public ::testing::Test {};
using Precisions = ::testing::Types<float, double>;
TYPED_TEST_SUITE(AtlasEntryTest, Precisions);

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void expect_same(const std::vector<double>& a, const std::vector<double>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t x = 0; x < a.size(); ++x) EXPECT_TRUE(same(a[x], b[x])) << x << ": " << a[x] << " and " << b[x];
}

/// Of the output by one fit, against `exact`.
template <Real T>
double fit_error(const HeadView<T>& head, const ExactPart<T>& exact, const StructuredOptions& options) {
  std::vector<double> lse;
  for (Index row = 0; row < head.size(); ++row) lse.push_back((*exact.normalisers)[row]);
  auto fit = std::make_shared<const StructuredFit>(fit_structured(head, std::span<const double>(lse), options));
  Matrix<T> output(head.size(), head.value_width());
  StructuredPlan<T>(std::move(fit), head.value_width()).apply(head, mutable_view(output));
  const Eigen::MatrixXd wanted = exact.output.template cast<double>();
  return (output.template cast<double>() - wanted).norm() / wanted.norm();
}

TYPED_TEST(AtlasEntryTest, IsMadeOfItsParts) {
  using T = TypeParam;
  const HeadTensors<T> tensors = gaussian_head<T>(150, 8, 6, 1);
  const AtlasOptions options{.ks = {3, 7, 12}, .band = 9, .columns = 5};
  const HeadAtlasEntry entry = make_atlas_entry(tensors.view(), options);
  HeadSummaryOptions summary_options = options.summary;
  const ExactPart<T> exact = exact_part(tensors.view());
  const LadderOptions ladder_options{.band = 9, .columns = 5, .k = 12};
  const Ladder ladder = make_ladder(tensors.view(), exact, ladder_options);
  // The same product may be summed in another order: some roundings of errors of about 1.
  const double tolerance = 64.0 * static_cast<double>(std::numeric_limits<T>::epsilon());
  ASSERT_EQ(entry.recover_errors.size(), 3U);
  for (std::size_t place = 0; place < 3; ++place) {
    const Index k = options.ks[place];
    summary_options.recover.k = k;
    const HeadSummary summary = summarize_head(tensors.view(), summary_options);
    EXPECT_NEAR(entry.recover_errors[place], summary.error, tolerance);
    EXPECT_NEAR(entry.fit_errors[place], fit_error<T>(tensors.view(), exact, {.band = 9, .columns = 5, .k = k}), tolerance);
    EXPECT_EQ(entry.entropy, summary.entropy);
    EXPECT_EQ(entry.k_for_target, summary.k_for_target);
  }
  ASSERT_EQ(entry.ladder.size(), ladder.rungs.size());
  for (std::size_t x = 0; x < ladder.rungs.size(); ++x) {
    EXPECT_EQ(entry.ladder[x].key, ladder.rungs[x].key);
    EXPECT_TRUE(same(entry.ladder[x].error, ladder.rungs[x].error));
    EXPECT_TRUE(same(entry.ladder[x].heldout_error, ladder.rungs[x].heldout_error));
    EXPECT_EQ(entry.ladder[x].cost, ladder.rungs[x].cost);
  }
}

/// || P V - U_k S_k W_k^T V || from a dense SVD in double, which Eigen has.
double svd_error(const HeadView<double>& head, Index k) {
  const Index n = head.size();
  const ExactPart<double> exact = exact_part(head);
  std::vector<double> lse;
  for (Index row = 0; row < n; ++row) lse.push_back((*exact.normalisers)[row]);
  Matrix<double> probability(n, n);
  probability_tile<double>(head, lse, 0, 0, mutable_view(probability));
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> right(probability.transpose() * probability);
  const Eigen::MatrixXd kept = right.eigenvectors().rightCols(k);
  const Eigen::MatrixXd output = probability * (kept * (kept.transpose() * Eigen::MatrixXd(head.value)));
  return (output - Eigen::MatrixXd(exact.output)).norm() / exact.output.norm();
}

TEST(AtlasEntry, RankErrorsAreThoseOfADenseDecomposition) {
  const HeadTensors<double> tensors = gaussian_head<double>(60, 6, 5, 2);
  const HeadAtlasEntry entry = make_atlas_entry(tensors.view(), {.ks = {2, 10, 60}});
  // Subspace iteration comes near to the best factors, not to the last digit; the spectrum of such a head falls slowly.
  EXPECT_NEAR(entry.rank_errors[0], svd_error(tensors.view(), 2), 0.02);
  EXPECT_NEAR(entry.rank_errors[1], svd_error(tensors.view(), 10), 0.02);
  EXPECT_LE(entry.rank_errors[2], 1e-10) << "all of it";
}

TYPED_TEST(AtlasEntryTest, DoesNotDependOnTheThreads) {
  using T = TypeParam;
  const HeadTensors<T> tensors = gaussian_head<T>(401, 16, 8, 3);
  RunContext one, many;
  one.threads = 1;
  many.threads = 5;
  const AtlasOptions options{.ks = {2, 9}, .band = 13, .columns = 6};
  const HeadAtlasEntry a = make_atlas_entry(tensors.view(), options, one);
  const HeadAtlasEntry b = make_atlas_entry(tensors.view(), options, many);
  expect_same({a.entropy, a.relative_entropy, a.sink_mass, a.band_mass},
              {b.entropy, b.relative_entropy, b.sink_mass, b.band_mass});
  expect_same(a.recover_errors, b.recover_errors);
  expect_same(a.fit_errors, b.fit_errors);
  expect_same(a.rank_errors, b.rank_errors);
  EXPECT_EQ(thumbnail_codes(a.thumbnail), thumbnail_codes(b.thumbnail));
  ASSERT_EQ(a.ladder.size(), b.ladder.size());
  for (std::size_t x = 0; x < a.ladder.size(); ++x) {
    EXPECT_TRUE(same(a.ladder[x].error, b.ladder[x].error)) << a.ladder[x].key;
    EXPECT_TRUE(same(a.ladder[x].heldout_error, b.ladder[x].heldout_error)) << a.ladder[x].key;
  }
}

TYPED_TEST(AtlasEntryTest, ShortHeadsCutWhatIsTooMuch) {
  using T = TypeParam;
  for (const Index n : {1, 2, 3, 7}) {
    const HeadTensors<T> tensors = gaussian_head<T>(n, 4, 3, 4);
    const HeadAtlasEntry entry = make_atlas_entry(tensors.view(), {});
    EXPECT_EQ(entry.n, n);
    ASSERT_EQ(entry.recover_errors.size(), 2U);
    const double tolerance = 1e3 * static_cast<double>(std::numeric_limits<T>::epsilon());
    EXPECT_LE(entry.fit_errors.back(), tolerance) << "the band is all of it";
    EXPECT_LE(entry.rank_errors.back(), tolerance) << "full rank";
    EXPECT_EQ(entry.thumbnail.size(), static_cast<std::size_t>(thumbnail_side * thumbnail_side));
  }
}

TEST(AtlasEntry, WithoutTheLadderFitsAndRanksAreUnknown) {
  const HeadTensors<float> tensors = gaussian_head<float>(40, 4, 3, 5);
  const HeadAtlasEntry entry = make_atlas_entry(tensors.view(), {.ladder = false});
  EXPECT_TRUE(entry.ladder.empty());
  expect_same(entry.fit_errors, {nan, nan});
  expect_same(entry.rank_errors, {nan, nan});
  EXPECT_FALSE(std::isnan(entry.recover_errors[0]));
}

TEST(AtlasEntry, PlantedHeadsAreRecovered) {
  const auto planted = make_planted<double>({.n = 200, .d = 8, .k = 4});
  const HeadAtlasEntry entry = make_atlas_entry(planted.head.view(), {.ks = {4}, .band = 0, .columns = 0});
  EXPECT_LE(entry.recover_errors[0], 1e-11);
  ASSERT_TRUE(entry.k_for_target);
  EXPECT_LE(*entry.k_for_target, 4);
}

TEST(AtlasEntry, NaNShowsInTheFigures) {
  HeadTensors<double> tensors = gaussian_head<double>(50, 4, 3, 6);
  tensors.value(20, 1) = nan;
  const HeadAtlasEntry entry = make_atlas_entry(tensors.view(), {.ladder = false});
  expect_same(entry.recover_errors, {nan, nan});
  EXPECT_FALSE(std::isnan(entry.entropy)) << "value has no part in it";
}

TEST(AtlasEntry, RejectsWhatDoesNotFit) {
  const HeadTensors<float> tensors = gaussian_head<float>(30, 4, 3, 7);
  const auto message = [&](const AtlasOptions& options) {
    return message_of<InvalidArgument>([&] { make_atlas_entry(tensors.view(), options); });
  };
  EXPECT_THAT(message({.ks = {}}), HasSubstr("ks is empty"));
  EXPECT_THAT(message({.ks = {0, 3}}), HasSubstr("ks holds 0"));
  EXPECT_THAT(message({.ks = {4, 4}}), HasSubstr("ascend"));
  EXPECT_THAT(message({.band = -1}), HasSubstr("band is -1"));
  EXPECT_THAT(message({.columns = -2}), HasSubstr("columns is -2"));
  EXPECT_THAT(message({.summary = {.target_error = nan}}), HasSubstr("target_error"));
  EXPECT_NO_THROW(make_atlas_entry(tensors.view(), {.ks = {1000}, .band = 1000, .columns = 1000}));
}

TEST(AtlasEntry, StopsWhenAsked) {
  const HeadTensors<float> tensors = gaussian_head<float>(30, 4, 3, 8);
  std::stop_source stop;
  stop.request_stop();
  RunContext context;
  context.stop = stop.get_token();
  EXPECT_THROW(make_atlas_entry(tensors.view(), {}, context), Cancelled);
}

TEST(FirstRung, IsTheFirstInOrderNotTheBest) {
  const std::vector<AtlasRung> ladder = {
      {.key = "a", .error = nan}, {.key = "b", .error = 0.2}, {.key = "c", .error = 0.1}, {.key = "d", .error = 0.01}};
  EXPECT_EQ(first_rung_within(ladder, 0.1)->key, "c");
  EXPECT_EQ(first_rung_within(ladder, 0.3)->key, "b");
  EXPECT_EQ(first_rung_within(ladder, 0.001), nullptr);
  EXPECT_EQ(first_rung_within({}, 1.0), nullptr);
}

TEST(Median, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(median({3.0, nan, 1.0, 2.0}), 2.0);
  EXPECT_EQ(median({4.0, 1.0, 2.0, 3.0}), 2.5);
  EXPECT_EQ(median({INFINITY, 1.0, 2.0}), 2.0);
  EXPECT_TRUE(std::isnan(median({})));
  EXPECT_TRUE(std::isnan(median({nan})));
}

TEST(ThumbnailCodes, ComeBackAsTheyWere) {
  std::vector<std::uint8_t> codes(256);
  std::iota(codes.begin(), codes.end(), std::uint8_t{0});
  EXPECT_EQ(thumbnail_codes(thumbnail_from_codes(codes)), codes);
}

TEST(ThumbnailCodes, AreWithinAStepOfThePixel) {
  std::vector<float> pixels;
  for (double power = -6.99; power < 0.0; power += 0.013) pixels.push_back(static_cast<float>(std::pow(10.0, power)));
  const std::vector<float> back = thumbnail_from_codes(thumbnail_codes(pixels));
  const double half_step = 0.5 * 7.0 / 254.0 + 1e-6;  // of the logarithm; the rest is float's rounding
  for (std::size_t x = 0; x < pixels.size(); ++x) {
    EXPECT_LE(std::abs(std::log10(static_cast<double>(back[x])) - std::log10(static_cast<double>(pixels[x]))), half_step);
  }
  const std::vector<float> special = {std::numeric_limits<float>::quiet_NaN(), 0.0F, 1e-30F, 1.0F, 2.0F};
  EXPECT_EQ(thumbnail_codes(special), (std::vector<std::uint8_t>{0, 1, 1, 255, 255}));
}

}  // namespace
}  // namespace convbasis
