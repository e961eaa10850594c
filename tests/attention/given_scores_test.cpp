// Heads with a position bias, and heads that are given by their scores: every way to ask for scores and attention, against dense
// softmax.
#include "attention/exact_attention.h"
#include "attention/exact_rows.h"
#include "basis/recover.h"
#include "basis/score_columns.h"

#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

template <class T>
class GivenScores : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(GivenScores, Precisions);

/// A head with the slope of a steep ALiBi head, a window on every third size, and otherwise random.
template <Real T>
HeadTensors<T> biased_head(Index n, std::uint64_t seed) {
  HeadTensors<T> head = gaussian_head<T>(n, 1 + n % 13, 1 + n % 7, seed);
  for (Index t = 0; t < n; ++t) {
    head.bias.push_back(static_cast<T>(n % 3 == 0 && t > n / 5 ? masked_score : -0.25 * static_cast<double>(t)));
  }
  return head;
}

template <Real T>
HeadTensors<T> given_head(Index n, std::uint64_t seed) {
  Rng rng(seed);
  Matrix<T> scores = gaussian<T>(n, n, rng, 3.0);
  for (Index i = 1; i < n; i += 3) scores.row(i).head(i / 2).setConstant(static_cast<T>(masked_score));
  return head_of_scores<T>(std::move(scores), gaussian<T>(n, 1 + n % 7, rng));
}

template <Real T>
void expect_attention(const HeadTensors<T>& head) {
  const Index n = head.value.rows();
  const HeadView<T> view = head.view();
  const reference::Dense scores = reference::scores(view);
  const reference::Softmax exact = reference::softmax(scores);
  const reference::Dense output = exact.probability * head.value.template cast<double>();
  const double tolerance = score_tolerance(view);
  // A wrong score moves numerator and denominator.
  const double output_tolerance = 2.0 * tolerance * static_cast<double>(head.value.cwiseAbs().maxCoeff());

  Matrix<T> got = Matrix<T>::Constant(n, head.value.cols(), std::numeric_limits<T>::quiet_NaN());
  std::vector<double> lse(static_cast<std::size_t>(n));
  exact_attention<T>(view, mutable_view(got), lse);
  EXPECT_LE(reference::max_error(got.template cast<double>(), output), output_tolerance);

  std::vector<Index> rows;
  for (Index i = 0; i < n; i += 1 + i % 4) rows.push_back(i);  // neighbours and gaps
  Matrix<T> some(std::ssize(rows), head.value.cols());
  std::vector<double> some_lse(rows.size());
  exact_rows<T>(view, rows, mutable_view(some), some_lse);
  for (std::size_t x = 0; x < rows.size(); ++x) {
    const Index i = rows[x];
    EXPECT_NEAR(some_lse[x], exact.lse[static_cast<std::size_t>(i)], tolerance);
    EXPECT_NEAR(lse[static_cast<std::size_t>(i)], exact.lse[static_cast<std::size_t>(i)], tolerance);
    const auto difference = some.row(static_cast<Index>(x)).template cast<double>() - output.row(i);
    ASSERT_LE(difference.cwiseAbs().maxCoeff(), output_tolerance) << "row " << i;
  }

  const Index top = n / 3;
  const Index left = n / 4;
  Matrix<T> tile(n - top, n - left);
  score_tile<T>(view, top, left, mutable_view(tile));
  Matrix<T> weights(n - top, n - left);
  probability_tile<T>(view, lse, top, left, mutable_view(weights));
  for (Index i = top; i < n; ++i) {
    for (Index j = left; j <= i; ++j) {
      ASSERT_NEAR(static_cast<double>(tile(i - top, j - left)), scores(i, j), tolerance);
      ASSERT_NEAR(static_cast<double>(score<T>(view, i, j)), scores(i, j), tolerance);
    }
    ASSERT_LE(
        (weights.row(i - top).template cast<double>() - exact.probability.block(i, left, 1, n - left)).cwiseAbs().maxCoeff(),
        4.0 * tolerance);
  }
}

template <Real T>
void expect_columns(const HeadTensors<T>& head) {
  const Index n = head.value.rows();
  const reference::Dense scores = reference::scores(head.view());
  const double tolerance = score_tolerance(head.view());
  const HeadScores<T> columns(head.view());
  for (const Index count : {Index{1}, Index{5}, Index{9}, n}) {
    if (count > n) continue;
    std::vector<Index> chosen;
    for (Index r = 0; r < count; ++r) chosen.push_back(r * (n - 1) / std::max<Index>(1, count - 1));
    const std::vector<std::vector<T>> lags = columns.read_whole(chosen, {});
    for (std::size_t r = 0; r < chosen.size(); ++r) {
      ASSERT_EQ(std::ssize(lags[r]), n - chosen[r]);
      std::vector<T> alone(lags[r].size());
      columns.read(chosen[r], alone);
      for (std::size_t t = 0; t < alone.size(); ++t) {
        const double expected = scores(chosen[r] + static_cast<Index>(t), chosen[r]);
        ASSERT_NEAR(static_cast<double>(lags[r][t]), expected, tolerance);
        ASSERT_NEAR(static_cast<double>(alone[t]), expected, tolerance);
      }
    }
  }
}

TYPED_TEST(GivenScores, WithAPositionBiasEverySizeIsRight) {
  for (const Index n : {1, 2, 3, 17, 95, 96, 97, 255, 256, 257, 402, 613}) {
    SCOPED_TRACE(n);
    const auto head = biased_head<TypeParam>(n, static_cast<std::uint64_t>(n));
    expect_attention(head);
    expect_columns(head);
  }
}

TYPED_TEST(GivenScores, OfAMatrixEverySizeIsRight) {
  for (const Index n : {1, 2, 3, 17, 95, 96, 97, 255, 256, 257, 402, 613}) {
    SCOPED_TRACE(n);
    const auto head = given_head<TypeParam>(n, static_cast<std::uint64_t>(n));
    expect_attention(head);
    expect_columns(head);
  }
}

TYPED_TEST(GivenScores, ABiasThatFallsByTheLagIsTheSameForEveryPrefix) {
  const auto head = biased_head<TypeParam>(300, 5);
  Matrix<TypeParam> whole(300, head.value.cols());
  std::vector<double> lse(300);
  exact_attention<TypeParam>(head.view(), mutable_view(whole), lse);
  Matrix<TypeParam> prefix(100, head.value.cols());
  std::vector<double> prefix_lse(100);
  exact_attention<TypeParam>(head.view(100), mutable_view(prefix), prefix_lse);
  EXPECT_EQ(prefix, whole.topRows(100));
}

TYPED_TEST(GivenScores, AToeplitzMatrixIsRecoveredAsOneSegment) {
  Matrix<TypeParam> scores(200, 200);
  for (Index i = 0; i < 200; ++i) {
    for (Index j = 0; j < 200; ++j) scores(i, j) = static_cast<TypeParam>(std::cos(0.3 * static_cast<double>(i - j)) + 2.0);
  }
  const auto head = head_of_scores<TypeParam>(scores, Matrix<TypeParam>::Ones(200, 2));
  RecoverOptions options;
  options.k = 8;
  const auto recovery = recover<TypeParam>(HeadScores<TypeParam>(head.view()), options);
  EXPECT_THAT(recovery.basis.starts(), testing::ElementsAre(0));
}

TYPED_TEST(GivenScores, WhatDoesNotFitIsNamed) {
  auto head = biased_head<TypeParam>(10, 1);
  head.bias.pop_back();
  EXPECT_THAT(message_of<InvalidArgument>([&] { require_valid(head.view()); }), HasSubstr("bias has 9 lags"));
  auto given = given_head<TypeParam>(10, 1);
  given.value.conservativeResize(11, given.value.cols());
  given.query.resize(11, 0);
  given.key.resize(11, 0);
  EXPECT_THAT(message_of<InvalidArgument>([&] { require_valid(given.view()); }),
              HasSubstr("the score matrix has 10 rows; it must have 11"));
  given = given_head<TypeParam>(10, 1);
  given.bias.assign(10, TypeParam{0});
  EXPECT_THAT(message_of<InvalidArgument>([&] { require_valid(given.view()); }), HasSubstr("neither query, key nor bias"));
}

}  // namespace
}  // namespace convbasis
