// Attention by a structured fit against the dense product.
#include "basis/structured_apply.h"

#include "basis/structured.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/instruction_sets.h"
#include "support/reference.h"
#include "support/structured.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <stop_token>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::HasSubstr;

template <class T>
class StructuredApply : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(StructuredApply, Precisions);

struct Shape {
  Index n, band, columns, k;
};

/// Factors drawn at random, as no fit would find them.
StructuredFit random_fit(const Shape& shape, std::span<const double> lse, Rng& rng) {
  const auto [n, band, columns, k] = shape;
  std::uniform_real_distribution<double> number(0.1, 1.0);
  StructuredFit fit;
  fit.exact = {n, band, columns > 0 ? random_starts(n, columns, rng) : std::vector<Index>{}};
  fit.lse.assign(lse.begin(), lse.end());
  for (Index j = 0; j < n; ++j) {
    fit.row_factor.push_back(j < band ? 0.0 : number(rng) / static_cast<double>(n));
    fit.column_factor.push_back(fit.exact.has_column(j) ? 0.0 : number(rng));
  }
  std::vector<Index> starts = k > 0 ? random_starts(n, k, rng) : std::vector<Index>{};
  std::vector<std::vector<double>> lags;
  for (const Index start : starts) {
    lags.emplace_back();
    for (Index t = 0; t < n - start; ++t) lags.back().push_back(t < band ? 0.0 : number(rng));
  }
  fit.lags = ConvBasis<double>(n, std::move(starts), std::move(lags));
  return fit;
}

template <Real T>
Matrix<T> applied(const HeadView<T>& head, const StructuredFit& fit, const ApplyOptions& options = {}, int threads = 2) {
  Matrix<T> output = Matrix<T>::Constant(head.size(), head.value_width(), std::numeric_limits<T>::quiet_NaN());
  const StructuredPlan<T> plan(std::make_shared<const StructuredFit>(fit), head.value_width(), options, {.threads = threads});
  plan.apply(head, mutable_view(output), {.threads = threads});
  return output;
}

/// The rows of P~ hold at most some units of weight; V and the roundings of sums of n products do the rest.
template <Real T>
double tolerance_of(const HeadView<T>& head) {
  return (2.0 * score_tolerance(head) +
          2.0 * std::sqrt(static_cast<double>(head.size())) * static_cast<double>(std::numeric_limits<T>::epsilon())) *
         4.0 * static_cast<double>(head.value.cwiseAbs().maxCoeff());
}

template <Real T>
void expect_product(const HeadTensors<T>& tensors, const Shape& shape, Rng& rng, Index block = 0) {
  SCOPED_TRACE(testing::Message() << "n " << shape.n << " band " << shape.band << " columns " << shape.columns << " k "
                                  << shape.k);
  const HeadView<T> head = tensors.view();
  const reference::Softmax exact = reference::softmax(reference::scores(head));
  const StructuredFit fit = random_fit(shape, exact.lse, rng);
  const Dense wanted = reference::dense_fit(fit, exact.probability) * tensors.value.template cast<double>();
  const Matrix<T> got = applied(head, fit, {.block = block});
  EXPECT_LE(reference::max_error(got.template cast<double>(), wanted), tolerance_of(head));
}

std::vector<Shape> shapes() {
  return {{1, 0, 0, 0},     {1, 0, 0, 1},      {1, 1, 0, 1},     {1, 0, 1, 0},     {2, 1, 1, 2},
          {17, 5, 3, 2},    {64, 64, 0, 3},    {64, 0, 64, 0},   {65, 64, 64, 1},  {63, 0, 0, 0},
          {100, 1, 0, 100}, {127, 16, 4, 16},  {128, 15, 1, 4},  {255, 254, 3, 2}, {256, 0, 0, 7},
          {257, 65, 9, 1},  {300, 10, 270, 2}, {333, 300, 2, 0}, {521, 33, 17, 16}};
}

TYPED_TEST(StructuredApply, IsTheDenseProduct) {
  using T = TypeParam;
  Rng rng(1);
  for (const Shape& shape : shapes()) {
    expect_product(gaussian_head<T>(shape.n, 6, 1 + shape.n % 19, static_cast<std::uint64_t>(shape.n)), shape, rng);
  }
}

TYPED_TEST(StructuredApply, WithAnyBlock) {
  using T = TypeParam;
  Rng rng(2);
  for (const Index block : {2, 16, 64, 512}) {
    expect_product(gaussian_head<T>(200, 6, 5, 1), {200, 7, 3, 4}, rng, block);
  }
}

TYPED_TEST(StructuredApply, OfHeadsWithABiasAndOfGivenScores) {
  using T = TypeParam;
  Rng rng(3);
  for (const Shape& shape : {Shape{90, 12, 30, 3}, Shape{280, 70, 20, 0}, Shape{280, 0, 270, 5}}) {
    HeadTensors<T> biased = gaussian_head<T>(shape.n, 4, 3, 7);
    for (Index t = 0; t < shape.n; ++t)
      biased.bias.push_back(static_cast<T>(t > 50 ? masked_score : -0.05 * static_cast<double>(t)));
    expect_product(biased, shape, rng);
    expect_product(head_of_scores<T>(gaussian<T>(shape.n, shape.n, rng), gaussian<T>(shape.n, 3, rng)), shape, rng);
  }
}

TYPED_TEST(StructuredApply, EveryInstructionSet) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(4);
    expect_product(gaussian_head<T>(150, 6, 5, 1), {150, 7, 13, 4}, rng);
  });
}

TYPED_TEST(StructuredApply, DoesNotDependOnTheNumberOfThreads) {
  using T = TypeParam;
  Rng rng(5);
  const HeadTensors<T> tensors = gaussian_head<T>(700, 6, 40, 1);
  const reference::Softmax exact = reference::softmax(reference::scores(tensors.view()));
  for (const Index k : {0, 5}) {
    const StructuredFit fit = random_fit({700, 20, 9, k}, exact.lse, rng);
    EXPECT_EQ(applied(tensors.view(), fit, {}, 1), applied(tensors.view(), fit, {}, 4)) << k;
  }
}

TYPED_TEST(StructuredApply, IsExactAtTheLimits) {
  using T = TypeParam;
  for (const Index n : {1, 2, 63, 130}) {
    const HeadTensors<T> tensors = gaussian_head<T>(n, 6, 5, 3);
    const HeadView<T> head = tensors.view();
    const reference::Softmax exact = reference::softmax(reference::scores(head));
    const Dense wanted = exact.probability * tensors.value.template cast<double>();
    for (const auto& [band, columns] : {std::pair{n, Index{0}}, std::pair{Index{0}, n}, std::pair{n, n}}) {
      for (const Index k : {0, 1, 16}) {
        const StructuredFit fit =
            fit_structured(head, std::span<const double>(exact.lse), {.band = band, .columns = columns, .k = k});
        EXPECT_LE(reference::max_error(applied(head, fit).template cast<double>(), wanted), tolerance_of(head)) << n << " " << k;
        for (const double a : fit.row_factor) EXPECT_EQ(a, 0.0);
      }
    }
  }
}

/// Lags that fall by a factor of e^4 each: within one transform large ones drown the small ones that the late rows live on, and
/// in float the smallest do not even exist. a_i makes every row count the same.
TYPED_TEST(StructuredApply, RowsThatTheFftSpoilsAreRescued) {
  using T = TypeParam;
  constexpr Index n = 200;
  const HeadTensors<T> tensors = gaussian_head<T>(n, 6, 5, 3);
  const std::vector<double> lse(n, 0.0);
  StructuredFit fit;
  fit.exact = {n, 0, {}};
  fit.lse = lse;
  std::vector<double> lags;
  for (Index t = 0; t < n; ++t) {
    lags.push_back(std::exp(-static_cast<double>(t)));
    // Column 0 alone: a row has nothing but its lag.
    fit.column_factor.push_back(t == 0 ? 1.0 : 0.0);
    fit.row_factor.push_back(std::exp(static_cast<double>(t)));
  }
  fit.lags = ConvBasis<double>(n, {0}, {lags});
  Matrix<T> output(n, 5);
  const StructuredPlan<T> plan(std::make_shared<const StructuredFit>(fit), 5, {.block = 64});
  const ApplyReport report = plan.apply(tensors.view(), mutable_view(output));
  for (Index i = 0; i < n; ++i) {
    const auto error = static_cast<double>((output.row(i) - tensors.value.row(0)).norm() / tensors.value.row(0).norm());
    EXPECT_LE(error, (std::same_as<T, float> ? 5e-5 : 1e-12)) << i;
  }
  EXPECT_EQ(report.block, 64);
  EXPECT_GT(report.rescued_rows(), 0);
  EXPECT_THAT(report.path, HasSubstr("exact band 0 and 0 columns"));
}

TYPED_TEST(StructuredApply, AZeroToleranceRescuesEveryRow) {
  using T = TypeParam;
  Rng rng(6);
  const HeadTensors<T> tensors = gaussian_head<T>(100, 6, 5, 3);
  const reference::Softmax exact = reference::softmax(reference::scores(tensors.view()));
  const StructuredFit fit = random_fit({100, 3, 2, 4}, exact.lse, rng);
  Matrix<T> output(100, 5);
  const StructuredPlan<T> plan(std::make_shared<const StructuredFit>(fit), 5, {.row_tolerance = 0.0});
  EXPECT_EQ(plan.apply(tensors.view(), mutable_view(output)).rescued_rows(), 97);  // the others have no rest
  const Dense wanted = reference::dense_fit(fit, exact.probability) * tensors.value.template cast<double>();
  EXPECT_LE(reference::max_error(output.template cast<double>(), wanted), tolerance_of(tensors.view()));
}

TEST(StructuredApplyOf, NanInValuesStaysInItsColumn) {
  Rng rng(7);
  HeadTensors<float> tensors = gaussian_head<float>(150, 6, 5, 3);
  const reference::Softmax exact = reference::softmax(reference::scores(tensors.view()));
  tensors.value(20, 2) = std::numeric_limits<float>::quiet_NaN();
  for (const Index k : {0, 3}) {
    const Matrix<float> output = applied(tensors.view(), random_fit({150, 4, 2, k}, exact.lse, rng));
    EXPECT_TRUE(std::isnan(output(149, 2))) << k;
    for (const Index column : {0, 1, 3, 4}) EXPECT_FALSE(std::isnan(output(149, column))) << k << " " << column;
  }
}

TEST(StructuredApplyOf, WhatDoesNotFitIsRefused) {
  const HeadTensors<float> tensors = gaussian_head<float>(20, 6, 5, 3);
  Rng rng(8);
  const std::vector<double> lse(20, 0.0);
  const auto fit = std::make_shared<const StructuredFit>(random_fit({20, 3, 2, 2}, lse, rng));
  EXPECT_THAT(message_of<InvalidArgument>([&] { StructuredPlan<float>(nullptr, 5); }), HasSubstr("fit"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { StructuredPlan<float>(fit, 0); }), HasSubstr("columns is 0"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { StructuredPlan<float>(fit, 5, {.row_tolerance = -1.0}); }),
              HasSubstr("row_tolerance"));
  const StructuredPlan<float> plan(fit, 5);
  Matrix<float> narrow(20, 4);
  EXPECT_THAT(message_of<InvalidArgument>([&] { plan.apply(tensors.view(), mutable_view(narrow)); }), HasSubstr("20 x 4"));
  std::stop_source stop;
  stop.request_stop();
  Matrix<float> output(20, 5);
  EXPECT_THROW(plan.apply(tensors.view(), mutable_view(output), {.stop = stop.get_token()}), Cancelled);
}

}  // namespace
}  // namespace convbasis
