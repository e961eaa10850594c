#include "basis/score_columns.h"

#include "core/errors.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/instruction_sets.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stop_token>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class ScoreColumnsTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(ScoreColumnsTest, Precisions);

TYPED_TEST(ScoreColumnsTest, HeadScoresReadsColumnsFromTheDiagonalDown) {
  using T = TypeParam;
  for (const Index d : {1, 5, 16, 64, 130}) {
    const HeadTensors<T> head = gaussian_head<T>(70, d, 2, static_cast<std::uint64_t>(d));
    const Padded<T> query(head.query, 3);
    const Padded<T> key(head.key, 2);
    const HeadScores<T> columns({query.view(), key.view(), view(head.value), head.scale});
    const reference::Dense expected = reference::scores(head.view());
    ASSERT_EQ(columns.size(), 70);
    for (const Index column : {0, 1, 33, 68, 69}) {
      for (const Index count : {Index{0}, Index{1}, 70 - column}) {
        std::vector<T> lags(static_cast<std::size_t>(count));
        columns.read(column, lags);
        for (Index t = 0; t < count; ++t) {
          ASSERT_NEAR(lags[static_cast<std::size_t>(t)], expected(column + t, column), score_tolerance(head.view()));
        }
      }
    }
  }
}

TYPED_TEST(ScoreColumnsTest, AReadDoesNotDependOnHowManyEntriesAreRead) {
  using T = TypeParam;
  // Recover compares short reads with the start of long ones: they must be the same numbers.
  const HeadTensors<T> head = gaussian_head<T>(100, 33, 2, 1);
  const HeadScores<T> columns(head.view());
  std::vector<T> all(90);
  columns.read(10, all);
  for (std::size_t count = 1; count < 20; ++count) {
    std::vector<T> few(count);
    columns.read(10, few);
    EXPECT_EQ(few, std::vector<T>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)));
  }
}

TYPED_TEST(ScoreColumnsTest, MatrixScoresIgnoresTheUpperTriangle) {
  using T = TypeParam;
  Rng rng(5);
  Matrix<T> matrix = gaussian<T>(20, 20, rng);
  matrix.template triangularView<Eigen::StrictlyUpper>().setConstant(std::numeric_limits<T>::quiet_NaN());
  const Padded<T> padded(matrix, 4);
  const MatrixScores<T> columns(padded.view());
  ASSERT_EQ(columns.size(), 20);
  for (Index column = 0; column < 20; ++column) {
    std::vector<T> lags(static_cast<std::size_t>(20 - column));
    columns.read(column, lags);
    for (Index i = column; i < 20; ++i) ASSERT_EQ(lags[static_cast<std::size_t>(i - column)], matrix(i, column));
  }
}

/// Whole columns of a head against single reads (the same sums in another order) and against the definition.
template <Real T>
void expect_whole_columns(Index n, Index d, const std::vector<Index>& columns, int threads) {
  SCOPED_TRACE(testing::Message() << "n " << n << ", d " << d << ", " << columns.size() << " columns, threads " << threads);
  const HeadTensors<T> head = gaussian_head<T>(n, d, 1, static_cast<std::uint64_t>(n * 100 + d));
  const Padded<T> query(head.query, 3);
  const Padded<T> key(head.key, 2);
  const HeadScores<T> scores({query.view(), key.view(), view(head.value), head.scale});
  const auto whole = scores.read_whole(columns, {.threads = threads});
  ASSERT_EQ(whole.size(), columns.size());
  const double tolerance = 2.0 * score_tolerance(head.view());  // the key is scaled first, one rounding more for each term
  for (std::size_t r = 0; r < columns.size(); ++r) {
    ASSERT_EQ(std::ssize(whole[r]), n - columns[r]);
    for (Index i = columns[r]; i < n; ++i) {
      double expected = 0.0;
      for (Index c = 0; c < d; ++c) {
        expected += static_cast<double>(head.query(i, c)) * static_cast<double>(head.key(columns[r], c));
      }
      const double error =
          std::abs(static_cast<double>(whole[r][static_cast<std::size_t>(i - columns[r])]) - head.scale * expected);
      ASSERT_TRUE(error <= tolerance) << "row " << i << ", column " << columns[r];
    }
  }
}

TYPED_TEST(ScoreColumnsTest, WholeColumnsOfAHead) {
  for_each_instruction_set([] {
    Rng rng(6);
    for (const Index n : {1, 2, 7, 63, 64, 65, 130, 257}) {
      for (const Index count : {1, 2, 5, 6, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65}) {
        if (count > n) continue;
        for (const Index d : {1, 3, 16, 33}) {
          const Index first = std::uniform_int_distribution<Index>(0, n - count)(rng);
          expect_whole_columns<TypeParam>(n, d, random_starts(n, count, rng, first), 1 + static_cast<int>(count % 3));
        }
      }
    }
  });
}

TYPED_TEST(ScoreColumnsTest, WholeColumnsAtTheEndAndNone) {
  using T = TypeParam;
  expect_whole_columns<T>(200, 5, {}, 2);
  expect_whole_columns<T>(200, 5, {199}, 2);
  expect_whole_columns<T>(200, 5, {194, 195, 196, 197, 198, 199}, 2);
  expect_whole_columns<T>(192, 64, {0, 63, 64, 127, 128, 190, 191}, 2);
  expect_whole_columns<T>(40, 64, {0, 1, 2, 3, 4, 5, 39}, 2);
}

TYPED_TEST(ScoreColumnsTest, WholeColumnsOfAMatrixAreItsEntries) {
  using T = TypeParam;
  Rng rng(7);
  const Matrix<T> matrix = gaussian<T>(80, 80, rng);
  const MatrixScores<T> scores(view(matrix));
  const std::vector<Index> columns{0, 1, 5, 40, 41, 42, 78, 79};
  const auto whole = scores.read_whole(columns, {.threads = 2});
  for (std::size_t r = 0; r < columns.size(); ++r) {
    std::vector<T> expected(static_cast<std::size_t>(80 - columns[r]));
    scores.read(columns[r], expected);
    EXPECT_EQ(whole[r], expected);
  }
}

TYPED_TEST(ScoreColumnsTest, ReadingWholeColumnsStopsOnRequest) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(100, 4, 1, 1);
  const HeadScores<T> scores(head.view());
  std::stop_source source;
  source.request_stop();
  for (const auto& columns : {std::vector<Index>{0}, std::vector<Index>{0, 1, 2, 3, 4, 5, 6}}) {
    EXPECT_THROW(scores.read_whole(columns, {.stop = source.get_token()}), Cancelled);
  }
}

TYPED_TEST(ScoreColumnsTest, BadShapesAreErrors) {
  using T = TypeParam;
  const Matrix<T> wide = Matrix<T>::Zero(3, 4);
  message_of<InvalidArgument>([&] { MatrixScores<T>{view(wide)}; });
  HeadTensors<T> head = gaussian_head<T>(5, 2, 2, 1);
  head.key = Matrix<T>::Zero(4, 2);
  message_of<InvalidArgument>([&] { HeadScores<T>{head.view()}; });
}

}  // namespace
}  // namespace convbasis
