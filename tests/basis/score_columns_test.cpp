#include "basis/score_columns.h"

#include "core/errors.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <limits>
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
