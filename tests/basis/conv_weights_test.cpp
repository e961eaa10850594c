#include "basis/conv_weights.h"

#include "core/errors.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class Exponentiate : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Exponentiate, Precisions);

/// The whole score matrix with the numbers as T holds them.
template <Real T>
reference::Dense dense_scores(const ConvBasis<T>& basis) {
  Matrix<T> all(basis.size(), basis.size());
  basis.tile(0, 0, mutable_view(all));
  return all.template cast<double>();
}

/// Row sums and probabilities against dense exp. `tolerance` is the error of a logarithm, so a relative one of the sums.
template <Real T>
void expect_weights_of(const ConvBasis<T>& basis, const ConvWeights<T>& weights, double tolerance) {
  const Index n = basis.size();
  const reference::Dense scores = dense_scores(basis);
  const reference::Softmax softmax = reference::softmax(scores);
  ASSERT_EQ(weights.row_sum.size(), static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) {
    const auto row = static_cast<std::size_t>(i);
    ASSERT_NEAR(weights.log_row_sum(i), softmax.lse[row], tolerance) << "row " << i;
    // A row sum in the range of normal numbers is right by itself.
    if (softmax.lse[row] - weights.shift > -60.0) {
      ASSERT_NEAR(std::log(weights.row_sum[row]) + weights.shift, softmax.lse[row], tolerance) << "row " << i;
    }
  }
  Padded<T> tile(Matrix<T>::Constant(n, n, T(77)), 2);
  weights.probability_tile(0, 0, tile.mutable_view());
  EXPECT_LE(reference::max_error(tile.view().template cast<double>(), softmax.probability), tolerance);
  EXPECT_TRUE(tile.gaps_untouched());
}

/// For scores up to `range`: the row sum's weights are rounded once each, and score - shift once.
template <Real T>
double log_tolerance(double range) {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) * (8.0 + 2.0 * range);
}

TYPED_TEST(Exponentiate, IsTheDenseExponentialUpToTheShift) {
  using T = TypeParam;
  Rng rng(1);
  const ConvBasis<T> basis = uniform_basis<T>(50, {0, 7, 8, 30}, rng, 3.0);
  const ConvWeights<T> weights = exponentiate(basis);
  const reference::Dense scores = dense_scores(basis);
  double largest = -std::numeric_limits<double>::infinity();
  for (Index i = 0; i < 50; ++i) {
    for (Index j = 0; j <= i; ++j) {
      ASSERT_NEAR(weights.weights.entry(i, j), std::exp(scores(i, j) - weights.shift), log_tolerance<T>(6.0));
      ASSERT_LE(weights.weights.entry(i, j), T(1));
      ASSERT_EQ(static_cast<double>(weights.scores.entry(i, j)), scores(i, j));
      largest = std::max(largest, scores(i, j));
    }
    for (Index j = i + 1; j < 50; ++j) ASSERT_EQ(weights.weights.entry(i, j), T(0));
  }
  EXPECT_EQ(weights.shift, largest);
  expect_weights_of(basis, weights, log_tolerance<T>(6.0));
}

TYPED_TEST(Exponentiate, ColumnsBeforeTheFirstStartCountWithWeightOne) {
  using T = TypeParam;
  Rng rng(2);
  for (const double offset : {0.0, 5.0, -5.0}) {  // scores around, above and below the zero of the leading columns
    std::uniform_real_distribution<double> score(offset - 1.0, offset + 1.0);
    const ConvBasis<T> basis = basis_with<T>(40, {13, 20}, rng, score);
    const ConvWeights<T> weights = exponentiate(basis);
    EXPECT_EQ(weights.weights.start(0), 0);
    EXPECT_EQ(weights.scores.start(0), 0);
    EXPECT_GE(weights.shift, 0.0) << "a score of zero exists";
    EXPECT_NEAR(weights.weights.entry(20, 3), std::exp(-weights.shift), log_tolerance<T>(6.0));
    expect_weights_of(basis, weights, log_tolerance<T>(6.0));
  }
}

TYPED_TEST(Exponentiate, TheZeroMatrixGivesUniformAttention) {
  using T = TypeParam;
  const ConvBasis<T> basis(9);
  const ConvWeights<T> weights = exponentiate(basis);
  EXPECT_DOUBLE_EQ(weights.row_sum[8] * std::exp(weights.shift), 9.0);
  expect_weights_of(basis, weights, log_tolerance<T>(0.0));
}

TYPED_TEST(Exponentiate, LargeDynamicRange) {
  using T = TypeParam;
  Rng rng(3);
  for (const double range : {30.0, 80.0, 200.0, 500.0}) {
    const ConvBasis<T> basis = uniform_basis<T>(120, {0, 1, 40, 90}, rng, range);
    expect_weights_of(basis, exponentiate(basis), log_tolerance<T>(2.0 * range));
  }
}

TYPED_TEST(Exponentiate, RowsFarBelowTheShiftKeepTheirSums) {
  using T = TypeParam;
  // Only the last row holds the largest score; all other rows lie `depth` below it: just above, inside and below the
  // range of T's denormal numbers, where a weight has few or no digits.
  for (const double depth :
       {60.0, 80.0, 86.0, 88.0, 95.0, 100.0, 103.0, 104.0, 200.0, 700.0, 710.0, 740.0, 745.0, 800.0, 5000.0}) {
    constexpr Index n = 40;
    Rng rng(4);
    std::uniform_real_distribution<double> score(-depth - 1.0, -depth);
    ConvBasis<T> random = basis_with<T>(n, {0, 11}, rng, score);
    std::vector<std::vector<T>> lags;
    for (Index r = 0; r < 2; ++r) lags.emplace_back(random.lag_vector(r).begin(), random.lag_vector(r).end());
    lags[0][n - 1] = T(0);
    const ConvBasis<T> basis(n, {0, 11}, std::move(lags));
    expect_weights_of(basis, exponentiate(basis), log_tolerance<T>(depth + 1.0));
  }
}

TYPED_TEST(Exponentiate, RowSumsKeepSmallTermsBesideLargeOnes) {
  using T = TypeParam;
  // Weight 1 on the diagonal of the first segment only, tiny ones elsewhere: later rows must not inherit anything.
  constexpr Index n = 64;
  std::vector<T> first(n, T(-30));
  first[0] = T(0);
  const ConvBasis<T> basis(n, {0, 20}, {first, std::vector<T>(n - 20, T(-30))});
  expect_weights_of(basis, exponentiate(basis), log_tolerance<T>(30.0));
}

TYPED_TEST(Exponentiate, TilesAreBlocksOfTheProbabilities) {
  using T = TypeParam;
  Rng rng(5);
  const ConvBasis<T> basis = uniform_basis<T>(90, {3, 20, 77}, rng, 4.0);
  const ConvWeights<T> weights = exponentiate(basis);
  const reference::Softmax softmax = reference::softmax(dense_scores(basis));
  struct Place {
    Index row, column, rows, columns;
  };
  for (const auto& [row, column, tile_rows, tile_columns] :
       {Place{0, 0, 1, 1}, Place{89, 0, 1, 90}, Place{0, 60, 70, 30}, Place{30, 10, 25, 50}, Place{89, 89, 1, 1}}) {
    Matrix<T> tile(tile_rows, tile_columns);
    weights.probability_tile(row, column, mutable_view(tile));
    if (row >= column) {
      std::vector<T> part(static_cast<std::size_t>(std::min(tile_columns, row + 1 - column)));
      weights.probability_row(row, column, part);
      for (std::size_t x = 0; x < part.size(); ++x) {
        ASSERT_NEAR(part[x], tile(0, static_cast<Index>(x)), 1e-5 * static_cast<double>(tile(0, static_cast<Index>(x))) + 1e-25);
      }
    }
    EXPECT_LE(reference::max_error(tile.template cast<double>(), softmax.probability.block(row, column, tile_rows, tile_columns)),
              log_tolerance<T>(8.0));
  }
}

TYPED_TEST(Exponentiate, AShiftOfAllScoresChangesNothing) {
  using T = TypeParam;
  // Whole scores: adding 1000 is exact.
  Rng rng(6);
  const std::vector<Index> starts{0, 10, 11};
  Rng same = rng;
  const ConvBasis<T> basis = basis_with<T>(30, starts, rng, std::uniform_int_distribution<int>(-5, 5));
  const ConvBasis<T> shifted = basis_with<T>(30, starts, same, std::uniform_int_distribution<int>(995, 1005));
  const ConvWeights<T> a = exponentiate(basis);
  const ConvWeights<T> b = exponentiate(shifted);
  EXPECT_EQ(a.row_sum, b.row_sum);
  EXPECT_EQ(b.shift, a.shift + 1000.0);
}

/// D_i = sum of the weights of row i: for each segment those of its columns, as a plain loop.
template <Real T>
std::vector<long double> naive_row_sums(const ConvBasis<T>& weights) {
  std::vector<long double> sums(static_cast<std::size_t>(weights.size()), 0.0L);
  for (Index r = 0; r < weights.count(); ++r) {
    const auto lags = weights.lag_vector(r);
    // Windows longer than what is left of the matrix are summed as they grow.
    for (Index i = weights.start(r); i < weights.size(); ++i) {
      long double sum = 0.0L;
      for (Index j = weights.start(r); j < std::min(weights.end(r), i + 1); ++j) sum += lags[static_cast<std::size_t>(i - j)];
      sums[static_cast<std::size_t>(i)] += sum;
    }
  }
  return sums;
}

TYPED_TEST(Exponentiate, RowSumsAcrossTheRangesOfRowsThatThreadsTake) {
  using T = TypeParam;
  Rng rng(7);
  // Ranges are 2048 rows: sizes at and around their edges, with segments that start inside and at the edges, windows of one
  // column, of less and of much more than a range.
  struct Case {
    Index n;
    std::vector<Index> starts;
  };
  for (const auto& [n, starts] :
       {Case{2047, {0}}, Case{2048, {0, 2047}}, Case{2049, {0, 2048}}, Case{4097, {0, 1, 2, 4096}},
        Case{4098, {5, 2047, 2048, 2049, 3000}}, Case{6145, {0, 4095, 4096, 6143, 6144}}, Case{5000, {0, 3, 4, 700}}}) {
    const ConvBasis<T> scores = uniform_basis<T>(n, starts, rng, 4.0);
    const ConvWeights<T> weights = exponentiate(scores, {.threads = 2});
    const std::vector<long double> expected = naive_row_sums(weights.weights);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      // Sums of positive numbers in double: each of up to n additions rounds once, mostly in random order.
      ASSERT_TRUE(std::abs(weights.row_sum[i] - static_cast<double>(expected[i])) <= 1e-13 * static_cast<double>(expected[i]))
          << "n " << n << ", row " << i;
    }
  }
}

TYPED_TEST(Exponentiate, RowSumsDoNotDependOnTheNumberOfThreads) {
  using T = TypeParam;
  Rng rng(8);
  for (const Index n : {1, 2048, 2049, 10000, 40009}) {
    const Index k = std::min<Index>(n, 13);
    const ConvBasis<T> scores = uniform_basis<T>(n, random_starts(n, k, rng), rng, 20.0);
    const ConvWeights<T> one = exponentiate(scores, {.threads = 1});
    for (const int threads : {2, 3, 5, 16}) {
      const ConvWeights<T> several = exponentiate(scores, {.threads = threads});
      ASSERT_EQ(several.row_sum, one.row_sum) << "n " << n << ", " << threads << " threads";
      ASSERT_EQ(several.shift, one.shift);
    }
  }
}

TYPED_TEST(Exponentiate, RejectsEmptyAndNonFiniteScores) {
  using T = TypeParam;
  message_of<InvalidArgument>([] { exponentiate(ConvBasis<T>(0)); });
  for (const T bad :
       {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity()}) {
    for (const std::size_t place : {0U, 2U, 3U}) {
      std::vector<T> lags(4, T(1));
      lags[place] = bad;
      message_of<InvalidArgument>([&] { exponentiate(ConvBasis<T>(4, {0}, {lags})); });
    }
  }
}

RC_GTEST_PROP(ExponentiateProperty, ProbabilitiesAreSoftmaxOfAnyBasis, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 60);
  const auto first = *rc::gen::inRange<Index>(0, n);
  const auto k = *rc::gen::inRange<Index>(1, n - first + 1);
  const auto range = *rc::gen::element(0.1, 5.0, 100.0, 1000.0);
  Rng rng(*rc::gen::inRange<std::uint64_t>(0, 1'000'000));
  const ConvBasis<float> basis = uniform_basis<float>(n, random_starts(n, k, rng, first), rng, range);
  expect_weights_of(basis, exponentiate(basis), log_tolerance<float>(2.0 * range));
  RC_ASSERT(!testing::Test::HasFailure());
}

}  // namespace
}  // namespace convbasis
