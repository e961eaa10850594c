// The sums that fits are made from, against the dense matrix of probabilities.
#include "basis/structured_sums.h"

#include "support/inputs.h"
#include "support/reference.h"
#include "support/structured.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <stop_token>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::ElementsAre;

template <class T>
class StructuredSums : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(StructuredSums, Precisions);

struct Case {
  Index n, band, columns, segments;
};

std::vector<Case> cases() {
  return {{1, 0, 0, 0},   {1, 1, 0, 1},   {1, 0, 1, 1},    {2, 0, 1, 2},     {17, 3, 2, 3},      {64, 64, 0, 2},  {65, 0, 65, 4},
          {255, 7, 5, 1}, {256, 0, 0, 3}, {257, 16, 4, 0}, {300, 299, 1, 5}, {515, 100, 20, 16}, {300, 1, 0, 300}};
}

struct Probabilities {
  Dense matrix;
  std::vector<double> lse;
};

template <Real T>
Probabilities probabilities_of(const HeadView<T>& head) {
  const reference::Softmax exact = reference::softmax(reference::scores(head));
  return {exact.probability, exact.lse};
}

/// Rows that stand for others: every third, with weights that differ.
WeightedRows some_rows(std::span<const double> lse) {
  WeightedRows rows = WeightedRows::every(lse, std::ssize(lse) > 1 ? 1 : 0, 3);
  for (std::size_t x = 0; x < rows.weight.size(); ++x) rows.weight[x] = 1.0 + 0.5 * static_cast<double>(x % 4);
  return rows;
}

/// The dense matrix of what the sums must be of: zero in rows that are not looked at and in exact entries.
Dense weighted_rest(const Dense& probability, const WeightedRows& rows, const ExactEntries& exact) {
  const Dense mask = reference::rest_mask(exact);
  Dense rest = Dense::Zero(probability.rows(), probability.cols());
  for (std::size_t x = 0; x < rows.rows.size(); ++x) {
    const Index i = rows.rows[x];
    rest.row(i) = rows.weight[x] * probability.row(i).cwiseProduct(mask.row(i));
  }
  return rest;
}

template <Real T>
void expect_sums(const HeadTensors<T>& tensors, const Case& c, const WeightedRows& rows, const Dense& probability, Rng& rng) {
  const HeadView<T> head = tensors.view();
  ExactEntries exact{c.n, c.band, {}};
  if (c.columns > 0) exact.columns = random_starts(c.n, c.columns, rng, c.columns == c.n ? 0 : 0);
  const std::vector<Index> starts = c.segments > 0 ? random_starts(c.n, c.segments, rng) : std::vector<Index>{};
  const RestSums sums = rest_sums(head, rows, exact, starts, {.threads = 2});
  const Dense rest = weighted_rest(probability, rows, exact);
  // A probability is wrong by as much as its score, relative to itself; sums of positive numbers are no worse.
  const double tolerance = 4.0 * score_tolerance(head);
  const auto expect_close = [&](double got, double wanted) {
    EXPECT_TRUE(std::abs(got - wanted) <= tolerance * wanted) << got << " " << wanted;
  };
  ASSERT_EQ(sums.rows, rows.rows);
  for (std::size_t x = 0; x < rows.rows.size(); ++x) expect_close(sums.row[x] * rows.weight[x], rest.row(rows.rows[x]).sum());
  for (Index j = 0; j < c.n; ++j) expect_close(sums.column[static_cast<std::size_t>(j)], rest.col(j).sum());
  ASSERT_EQ(sums.diagonal.size(), starts.size());
  std::vector<std::vector<double>> diagonal(starts.size(), std::vector<double>(static_cast<std::size_t>(c.n), 0.0));
  for (Index j = 0; j < c.n && !starts.empty(); ++j) {
    std::vector<double>& lags = diagonal[reference::segment_of(starts, j)];
    for (Index i = j; i < c.n; ++i) lags[static_cast<std::size_t>(i - j)] += rest(i, j);
  }
  for (std::size_t r = 0; r < starts.size(); ++r) {
    ASSERT_EQ(std::ssize(sums.diagonal[r]), c.n - starts[r]);
    for (std::size_t t = 0; t < sums.diagonal[r].size(); ++t) expect_close(sums.diagonal[r][t], diagonal[r][t]);
  }
  double log_sum = 0.0;
  for (std::size_t x = 0; x < rows.rows.size(); ++x) {
    for (const double m : rest.row(rows.rows[x])) log_sum += m > 0.0 ? m * std::log(m / rows.weight[x]) : 0.0;
  }
  // Here the error of a score counts as it is, times the mass.
  EXPECT_TRUE(std::abs(sums.log_sum - log_sum) <= tolerance * (std::abs(log_sum) + 4.0 * rest.sum()))
      << sums.log_sum << " " << log_sum;
  expect_close(sums.mass(), rest.sum());
}

TYPED_TEST(StructuredSums, AreThoseOfTheDenseMatrix) {
  using T = TypeParam;
  Rng rng(1);
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.n);
    const HeadTensors<T> head = gaussian_head<T>(c.n, 5, 3, static_cast<std::uint64_t>(c.n));
    const Probabilities exact = probabilities_of(head.view());
    expect_sums(head, c, WeightedRows::every(exact.lse, 0, 1), exact.matrix, rng);
    expect_sums(head, c, some_rows(exact.lse), exact.matrix, rng);
  }
}

TYPED_TEST(StructuredSums, OfHeadsWithABiasAndOfGivenScores) {
  using T = TypeParam;
  Rng rng(2);
  HeadTensors<T> biased = gaussian_head<T>(270, 4, 3, 7);
  for (Index t = 0; t < 270; ++t) biased.bias.push_back(static_cast<T>(-0.05 * static_cast<double>(t)));
  HeadTensors<T> given = head_of_scores<T>(gaussian<T>(270, 270, rng), gaussian<T>(270, 3, rng));
  for (const HeadTensors<T>* head : {&biased, &given}) {
    const Probabilities exact = probabilities_of(head->view());
    expect_sums(*head, {270, 9, 4, 5}, WeightedRows::every(exact.lse, 0, 1), exact.matrix, rng);
  }
}

TYPED_TEST(StructuredSums, OfColumns) {
  using T = TypeParam;
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.n);
    const HeadTensors<T> head = gaussian_head<T>(c.n, 5, 3, static_cast<std::uint64_t>(c.n));
    const Probabilities exact = probabilities_of(head.view());
    const WeightedRows rows = some_rows(exact.lse);
    const ColumnSums sums = column_sums(head.view(), rows, c.band, {.threads = 2});
    const double tolerance = 8.0 * score_tolerance(head.view());
    for (Index j = 0; j < c.n; ++j) {
      double squares = 0.0, squares_outside = 0.0, outside = 0.0;
      for (std::size_t x = 0; x < rows.rows.size(); ++x) {
        const Index i = rows.rows[x];
        const double p = exact.matrix(i, j);
        squares += rows.weight[x] * p * p;
        if (i - j < c.band) continue;
        outside += rows.weight[x] * p;
        squares_outside += rows.weight[x] * p * p;
      }
      const auto at = static_cast<std::size_t>(j);
      EXPECT_TRUE(std::abs(sums.squares[at] - squares) <= tolerance * squares);
      EXPECT_TRUE(std::abs(sums.squares_outside[at] - squares_outside) <= tolerance * squares_outside);
      EXPECT_TRUE(std::abs(sums.outside[at] - outside) <= tolerance * outside);
    }
  }
}

TYPED_TEST(StructuredSums, DoNotDependOnTheNumberOfThreads) {
  using T = TypeParam;
  const HeadTensors<T> tensors = gaussian_head<T>(700, 5, 3, 3);
  const HeadView<T> head = tensors.view();
  const WeightedRows rows = WeightedRows::every(probabilities_of(head).lse, 0, 1);
  const ExactEntries exact{700, 11, {0, 300}};
  const RestSums one = rest_sums(head, rows, exact, {0, 100, 257}, {.threads = 1});
  const RestSums four = rest_sums(head, rows, exact, {0, 100, 257}, {.threads = 4});
  EXPECT_EQ(one.row, four.row);
  EXPECT_EQ(one.column, four.column);
  EXPECT_EQ(one.diagonal, four.diagonal);
  EXPECT_EQ(one.log_sum, four.log_sum);
}

TEST(StructuredSumsOf, TwoSetsOfRowsJoin) {
  const HeadTensors<double> tensors = gaussian_head<double>(101, 5, 3, 3);
  const HeadView<double> head = tensors.view();
  const std::vector<double> lse = probabilities_of(head).lse;
  const ExactEntries exact{101, 2, {7}};
  const auto of = [&](Index first, Index step) { return rest_sums(head, WeightedRows::every(lse, first, step), exact, {0, 50}); };
  const RestSums whole = of(0, 1);
  const RestSums parts = joined(of(0, 2), of(1, 2));
  EXPECT_EQ(parts.rows, whole.rows);
  EXPECT_EQ(parts.row, whole.row);
  for (std::size_t j = 0; j < 101; ++j) EXPECT_NEAR(parts.column[j], whole.column[j], 1e-13);
  for (std::size_t t = 0; t < 101; ++t) EXPECT_NEAR(parts.diagonal[0][t], whole.diagonal[0][t], 1e-13);
  EXPECT_NEAR(parts.log_sum, whole.log_sum, 1e-11);
  const RestSums merged = whole.with_one_segment();
  const RestSums single = rest_sums(head, WeightedRows::every(lse, 0, 1), exact, {0});
  for (std::size_t t = 0; t < 101; ++t) EXPECT_NEAR(merged.diagonal[0][t], single.diagonal[0][t], 1e-13);
}

TEST(StructuredSumsOf, CancelledWork) {
  const HeadTensors<float> tensors = gaussian_head<float>(600, 5, 3, 3);
  const std::vector<double> lse(600, 1.0);
  std::stop_source stop;
  stop.request_stop();
  const RunContext context{.threads = 2, .stop = stop.get_token()};
  EXPECT_THROW(rest_sums(tensors.view(), WeightedRows::every(lse, 0, 1), {600, 0, {}}, {}, context), Cancelled);
  EXPECT_THROW(column_sums(tensors.view(), WeightedRows::every(lse, 0, 1), 0, context), Cancelled);
}

TEST(ChosenColumns, AreThoseWhoseLossIsLargest) {
  // Mean of V is (2, 0); distances squared are 4, 1, 0, 9, 4.
  Matrix<double> value(5, 2);
  value << 0, 0, 1, 0, 2, 0, 5, 0, 2, 2;
  value.row(4) << 2, 0;
  ColumnSums sums{{1.0, 8.0, 100.0, 0.5, 1.0}, {0.0, 1.0, 1.0, 1.0, 1.0}, {}};
  EXPECT_THAT(choose_columns<double>(sums, view(value), 0), ElementsAre());
  EXPECT_THAT(choose_columns<double>(sums, view(value), 1), ElementsAre(1));
  EXPECT_THAT(choose_columns<double>(sums, view(value), 3), ElementsAre(0, 1, 3));
  EXPECT_THAT(choose_columns<double>(sums, view(value), 5), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(choose_columns<double>(sums, view(value), 1, ColumnRule::outside_band), ElementsAre(3));
  sums.squares[2] = std::numeric_limits<double>::quiet_NaN();  // what is not known hurts most
  EXPECT_THAT(choose_columns<double>(sums, view(value), 1), ElementsAre(2));
}

TEST(EqualMassStarts, CutTheMass) {
  EXPECT_THAT(equal_mass_starts(std::vector<double>{1, 1, 1, 1, 1, 1}, 3), ElementsAre(0, 2, 4));
  EXPECT_THAT(equal_mass_starts(std::vector<double>{0, 0, 4, 1, 1, 2, 4}, 3), ElementsAre(0, 3, 6));
  EXPECT_THAT(equal_mass_starts(std::vector<double>{1, 1}, 5), ElementsAre(0, 1));
  EXPECT_THAT(equal_mass_starts(std::vector<double>{9, 1, 1, 1}, 4), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(equal_mass_starts(std::vector<double>{0, 0, 0}, 2), ElementsAre(0));
  EXPECT_THAT(equal_mass_starts(std::vector<double>{1, 1}, 0), ElementsAre());
  EXPECT_THAT(equal_mass_starts(std::vector<double>{3}, 1), ElementsAre(0));
}

}  // namespace
}  // namespace convbasis
