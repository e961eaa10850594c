#include "attention/exact_attention.h"
#include "attention/head.h"
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

template <class T>
class Scores : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Scores, Precisions);

/// scale * Q K^T in double, the mask not applied.
template <Real T>
reference::Dense unmasked_scores(const HeadView<T>& head) {
  return head.scale * head.query.template cast<double>() * head.key.template cast<double>().transpose();
}

TYPED_TEST(Scores, ScoreIsTheScaledDotProduct) {
  using T = TypeParam;
  for (const Index d : {1, 7, 64, 129}) {
    const HeadTensors<T> head = gaussian_head<T>(20, d, 3, static_cast<std::uint64_t>(d));
    const reference::Dense expected = unmasked_scores(head.view());
    for (Index i = 0; i < 20; ++i) {
      for (Index j = 0; j < 20; ++j) ASSERT_NEAR(score(head.view(), i, j), expected(i, j), score_tolerance(head.view()));
    }
  }
}

struct TilePlace {
  Index row, column, rows, columns;
};
constexpr TilePlace places[] = {{0, 0, 1, 1},     {0, 0, 150, 150}, {149, 149, 1, 1},  {149, 0, 1, 150}, {0, 149, 150, 1},
                                {100, 0, 50, 64}, {0, 100, 64, 50}, {37, 21, 70, 101}, {64, 64, 64, 64}, {3, 5, 17, 33}};

TYPED_TEST(Scores, TilesAreBlocksOfTheScoreAndProbabilityMatrices) {
  using T = TypeParam;
  for (const Index d : {1, 17, 64}) {
    const HeadTensors<T> head = gaussian_head<T>(150, d, 3, static_cast<std::uint64_t>(d));
    const reference::Dense scores = unmasked_scores(head.view());
    const reference::Softmax softmax = reference::softmax(reference::scores(head.view()));
    for (const auto& [row, column, tile_rows, tile_columns] : places) {
      Padded<T> tile(Matrix<T>::Constant(tile_rows, tile_columns, T(77)), 5);
      score_tile(head.view(), row, column, tile.mutable_view());
      EXPECT_LE(reference::max_error(tile.view().template cast<double>(), scores.block(row, column, tile_rows, tile_columns)),
                score_tolerance(head.view()));
      EXPECT_TRUE(tile.gaps_untouched());

      probability_tile<T>(head.view(), softmax.lse, row, column, tile.mutable_view());
      EXPECT_LE(reference::max_error(tile.view().template cast<double>(),
                                     softmax.probability.block(row, column, tile_rows, tile_columns)),
                score_tolerance(head.view()));
      EXPECT_TRUE(tile.gaps_untouched());
      for (Index i = 0; i < tile_rows; ++i) {
        for (Index j = 0; j < tile_columns; ++j) {
          if (column + j > row + i) {
            ASSERT_EQ(tile.view()(i, j), T(0));
          }
        }
      }
    }
  }
}

TYPED_TEST(Scores, TilesReadStridedTensors) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(40, 9, 4, 2);
  const Padded<T> query(head.query, 3);
  const Padded<T> key(head.key, 5);
  const HeadView<T> strided{query.view(), key.view(), view(head.value), head.scale};
  Matrix<T> tile(40, 40);
  score_tile(strided, 0, 0, mutable_view(tile));
  EXPECT_LE(reference::max_error(tile.template cast<double>(), unmasked_scores(head.view())), score_tolerance(head.view()));
  EXPECT_NEAR(score(strided, 31, 17), unmasked_scores(head.view())(31, 17), score_tolerance(head.view()));
}

TYPED_TEST(Scores, ProbabilitiesOfExactAttentionsLseSumToOne) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(260, 32, 4, 3);
  Matrix<T> output(260, 4);
  std::vector<double> lse(260);
  exact_attention(head.view(), mutable_view(output), lse);
  Matrix<T> probability(260, 260);
  probability_tile<T>(head.view(), lse, 0, 0, mutable_view(probability));
  for (Index i = 0; i < 260; ++i) {
    EXPECT_NEAR(probability.row(i).template cast<double>().sum(), 1.0, 2.0 * score_tolerance(head.view())) << "row " << i;
  }
}

TYPED_TEST(Scores, AnUnmaskedScoreOverflowsNothing) {
  using T = TypeParam;
  // Above the diagonal exp(S - lse) would be infinite; the mask must win.
  HeadTensors<T> head = gaussian_head<T>(8, 1, 1, 4);
  head.scale = 1.0;
  head.query.setOnes();
  for (Index j = 0; j < 8; ++j) head.key(j, 0) = static_cast<T>(1000 * j);
  const reference::Softmax softmax = reference::softmax(reference::scores(head.view()));
  Matrix<T> probability(8, 8);
  probability_tile<T>(head.view(), softmax.lse, 0, 0, mutable_view(probability));
  // Each row's last key outweighs all others by e^1000.
  EXPECT_EQ(probability, (Matrix<T>::Identity(8, 8)));
}

TYPED_TEST(Scores, TilesThatLeaveTheMatrixAreErrors) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(10, 4, 3, 1);
  const std::vector<double> lse(10, 0.0);
  constexpr Index far = std::numeric_limits<Index>::max() - 1;
  constexpr TilePlace outside[] = {{-1, 0, 3, 3}, {0, -1, 3, 3}, {8, 0, 3, 3},   {0, 8, 3, 3},  {0, 0, 11, 1},
                                   {0, 0, 1, 11}, {10, 0, 1, 1}, {far, 0, 3, 3}, {0, far, 3, 3}};
  for (const auto& [row, column, tile_rows, tile_columns] : outside) {
    Matrix<T> tile(tile_rows, tile_columns);
    message_of<InvalidArgument>([&] { score_tile(head.view(), row, column, mutable_view(tile)); });
    message_of<InvalidArgument>([&] { probability_tile<T>(head.view(), lse, row, column, mutable_view(tile)); });
  }
}

TYPED_TEST(Scores, RequireValidAcceptsAGoodHead) {
  EXPECT_NO_THROW(require_valid(gaussian_head<TypeParam>(1, 1, 1, 1).view()));
  EXPECT_NO_THROW(require_valid(gaussian_head<TypeParam>(5, 3, 9, 1).view()));
}

TEST(HeadTensors, ViewOfAPrefixSeesTheFirstTokens) {
  const HeadTensors<float> head = gaussian_head<float>(12, 4, 6, 1);
  const HeadView<float> prefix = head.view(5);
  EXPECT_EQ(prefix.size(), 5);
  EXPECT_EQ(prefix.width(), 4);
  EXPECT_EQ(prefix.value_width(), 6);
  EXPECT_EQ(prefix.scale, head.scale);
  EXPECT_EQ(Matrix<float>(prefix.value), head.value.topRows(5));
}

}  // namespace
}  // namespace convbasis
