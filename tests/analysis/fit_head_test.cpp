// Analyses by a structured fit, and the maps of them, against the dense matrix that the fit says.
#include "analysis/head_analysis.h"
#include "analysis/region.h"

#include "support/expect_error.h"
#include "support/expect_maps.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::HasSubstr;
using testing_maps::cell_tolerance;
using testing_maps::expect_maps;

template <class T>
class FitHead : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(FitHead, Precisions);

/// P~ entry by entry: exact probabilities in the band and the columns, a_i b_j g elsewhere.
template <Real T>
Dense dense_fit(const HeadAnalysis<T>& analysis) {
  const reference::Softmax exact = reference::softmax(reference::scores(analysis.head()));
  const StructuredFit& fit = *analysis.fit;
  Dense result = Dense::Zero(analysis.n, analysis.n);
  for (Index i = 0; i < analysis.n; ++i) {
    for (Index j = 0; j <= i; ++j) result(i, j) = fit.exact.contains(i, j) ? exact.probability(i, j) : fit.rest(i, j);
  }
  return result;
}

template <Real T>
void expect_true(const HeadAnalysis<T>& analysis) {
  ASSERT_NE(analysis.fit, nullptr);
  const Dense exact = reference::softmax(reference::scores(analysis.head())).probability;
  const Dense approximate = dense_fit(analysis);
  const Dense value = analysis.head().value.template cast<double>();
  const double tolerance = cell_tolerance(analysis);
  EXPECT_LE(reference::max_error(analysis.output.template cast<double>(), approximate * value), 8.0 * tolerance);
  EXPECT_NEAR(analysis.error.relative_error, reference::relative_error(approximate * value, exact * value), 16.0 * tolerance);
  EXPECT_NEAR(analysis.error.mean_total_variation, 0.5 * (approximate - exact).cwiseAbs().sum() / static_cast<double>(analysis.n),
              4.0 * tolerance);
  EXPECT_TRUE(std::isnan(analysis.error.max_score_error)) << "a fit is one of weights";
  EXPECT_FALSE(analysis.bound.has_value());
  expect_maps(analysis, exact, approximate);
}

TYPED_TEST(FitHead, IsWhatTheDenseMatrixSays) {
  using T = TypeParam;
  for (const Index n : {1, 2, 37, 300}) {
    for (const Index k : {0, 1, 5}) {
      const StructuredOptions options{.band = std::min<Index>(n, 6), .columns = std::min<Index>(n, 3), .k = k};
      SCOPED_TRACE("n " + std::to_string(n) + ", k " + std::to_string(k));
      const HeadAnalysis<T> analysis = analyze_head_by_fit(gaussian_head<T>(n, 8, 5, 11), options);
      expect_true(analysis);
      EXPECT_EQ(analysis.fit_options, options);
      EXPECT_EQ(analysis.recovery.basis.count(), analysis.fit->k());
      if (n > 30) {
        EXPECT_GT(analysis.heldout_error, 0.0);
      }
    }
  }
}

TYPED_TEST(FitHead, OfABiasedHead) {
  using T = TypeParam;
  HeadTensors<T> head = gaussian_head<T>(260, 8, 5, 12);
  for (Index t = 0; t < 260; ++t) head.bias.push_back(static_cast<T>(t > 100 ? masked_score : -0.02 * static_cast<double>(t)));
  expect_true(analyze_head_by_fit(head, {.band = 4, .columns = 2, .k = 3}));
}

TYPED_TEST(FitHead, ARegionSeesTheSameMatrix) {
  using T = TypeParam;
  const HeadAnalysis<T> analysis = analyze_head_by_fit(gaussian_head<T>(120, 8, 5, 13), {.band = 4, .columns = 2, .k = 3});
  const Dense approximate = dense_fit(analysis);
  Index cells = 0;
  visit_region<T>(analysis, {.row = 50, .column = 10, .rows = 30, .columns = 40}, MapQuantity::probability,
                  [&](Index row, Index column, std::span<const T>, std::span<const T> other) {
                    for (std::size_t y = 0; y < other.size(); ++y, ++cells) {
                      EXPECT_NEAR(static_cast<double>(other[y]), approximate(row, column + static_cast<Index>(y)),
                                  cell_tolerance(analysis));
                    }
                  });
  EXPECT_EQ(cells, 30 * 40);
}

TYPED_TEST(FitHead, NeedsAllRowsOfExactAttention) {
  using T = TypeParam;
  const auto tensors = std::make_shared<const HeadTensors<T>>(gaussian_head<T>(50, 8, 5, 14));
  const auto none = std::make_shared<const ExactPart<T>>(no_exact_part<T>(50));
  EXPECT_THAT(message_of<InvalidArgument>([&] { fit_head<T>(tensors, none, {.band = 1, .columns = 1, .k = 1}, {}); }),
              HasSubstr("needs exact attention of all 50 rows; 0 are known"));
}

TYPED_TEST(FitHead, FromASampleNeedsNoExactRows) {
  using T = TypeParam;
  const auto tensors = std::make_shared<const HeadTensors<T>>(gaussian_head<T>(400, 8, 5, 15));
  const auto none = std::make_shared<const ExactPart<T>>(no_exact_part<T>(400));
  const StructuredOptions options{.band = 8, .columns = 4, .k = 2};
  HeadAnalysis<T> analysis = fit_head<T>(tensors, none, options, {.sample = SampleOptions{.rows = 100}});
  EXPECT_TRUE(analysis.fit->sampled);
  EXPECT_FALSE(analysis.assessed());
  assess_head<T>(analysis, std::make_shared<const ExactPart<T>>(exact_part(tensors->view())));
  EXPECT_TRUE(std::isnan(analysis.heldout_error));
  const HeadAnalysis<T> whole = analyze_head_by_fit<T>(*tensors, options);
  EXPECT_LT(analysis.error.relative_error, 1.5 * whole.error.relative_error) << "scores without structure are all alike";
}

}  // namespace
}  // namespace convbasis
