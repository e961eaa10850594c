#include "basis/decompose.h"

#include "support/expect_error.h"
#include "support/inputs.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// h_j, from the diagonal down.
template <Real T>
std::vector<T> column_of(const Matrix<T>& matrix, Index column) {
  std::vector<T> lags;
  for (Index i = column; i < matrix.rows(); ++i) lags.push_back(matrix(i, column));
  return lags;
}

template <Real T>
Matrix<T> rebuilt(const ConvBasis<T>& basis) {
  Matrix<T> matrix(basis.size(), basis.size());
  basis.tile(0, 0, mutable_view(matrix));
  return matrix;
}

/// A matrix with the given segments and small whole entries, neighbouring segments different; NaN above the diagonal,
/// which nobody may read.
template <Real T>
Matrix<T> planted_matrix(Index n, const std::vector<Index>& starts, Rng& rng) {
  Matrix<T> matrix = rebuilt(basis_with<T>(n, starts, rng, std::uniform_int_distribution<int>(1, 9)));
  // The diagonal alone tells neighbours apart, so that segments of length 1 at the very end do too.
  for (Index j = 0; j < n; ++j) {
    const auto segment = std::upper_bound(starts.begin(), starts.end(), j) - starts.begin();
    if (segment > 0) matrix(j, j) = static_cast<T>(10 + segment % 2);
  }
  matrix.template triangularView<Eigen::StrictlyUpper>().setConstant(std::numeric_limits<T>::quiet_NaN());
  return matrix;
}

template <Real T>
Matrix<T> lower(const Matrix<T>& matrix) {
  Matrix<T> result = Matrix<T>::Zero(matrix.rows(), matrix.cols());
  result.template triangularView<Eigen::Lower>() = matrix;
  return result;
}

/// The fewest segments of any conv basis of `matrix`: tries every set of starts.
Index smallest_count(const Matrix<double>& matrix) {
  const auto n = static_cast<unsigned>(matrix.rows());
  Index best = matrix.rows() + 1;
  for (unsigned set = 0; set < 1U << n; ++set) {
    std::vector<double> lags(n, 0.0);
    bool fits = true;
    for (unsigned j = 0; j < n && fits; ++j) {
      const std::vector<double> column = column_of(matrix, static_cast<Index>(j));
      if ((set >> j & 1U) != 0) lags = column;
      fits = std::equal(column.begin(), column.end(), lags.begin());
    }
    if (fits) best = std::min<Index>(best, std::popcount(set));
  }
  return best;
}

template <class T>
class Decompose : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Decompose, Precisions);

TYPED_TEST(Decompose, FindsPlantedSegmentsAndRebuildsTheMatrix) {
  using T = TypeParam;
  Rng rng(1);
  for (const Index n : {1, 2, 5, 64, 200}) {
    for (const Index k : {1, 2, 4, 16, 100}) {
      if (k > n) continue;
      const std::vector<Index> starts = random_starts(n, k, rng);
      const Matrix<T> matrix = planted_matrix<T>(n, starts, rng);
      const ConvBasis<T> basis = decompose(MatrixScores<T>(view(matrix)));
      EXPECT_EQ(std::vector<Index>(basis.starts().begin(), basis.starts().end()), starts) << "n " << n << ", k " << k;
      EXPECT_EQ(rebuilt(basis), lower(matrix)) << "n " << n << ", k " << k;
    }
  }
}

TYPED_TEST(Decompose, RandomMatrixNeedsAllColumnsAndIsRebuiltExactly) {
  using T = TypeParam;
  Rng rng(2);
  const Matrix<T> matrix = gaussian<T>(90, 90, rng);
  const ConvBasis<T> basis = decompose(MatrixScores<T>(view(matrix)));
  EXPECT_EQ(basis.count(), 90);
  EXPECT_EQ(rebuilt(basis), lower(matrix));
}

TYPED_TEST(Decompose, ZeroMatrixHasNoSegment) {
  using T = TypeParam;
  Matrix<T> matrix = Matrix<T>::Zero(7, 7);
  EXPECT_EQ(decompose(MatrixScores<T>(view(matrix))).count(), 0);
  EXPECT_EQ(decompose(MatrixScores<T>(view(matrix))).size(), 7);
  matrix.setConstant(-T(0));
  EXPECT_EQ(decompose(MatrixScores<T>(view(matrix))).count(), 0) << "minus zero is zero";
  matrix.setConstant(T(0.25));
  EXPECT_EQ(decompose(MatrixScores<T>(view(matrix)), 0.25).count(), 0) << "all within the tolerance of zero";
}

TYPED_TEST(Decompose, LeadingZeroColumnsBelongToNoSegment) {
  using T = TypeParam;
  Rng rng(3);
  const std::vector<Index> starts{6, 11};
  const Matrix<T> matrix = planted_matrix<T>(20, starts, rng);
  const ConvBasis<T> basis = decompose(MatrixScores<T>(view(matrix)));
  EXPECT_EQ(std::vector<Index>(basis.starts().begin(), basis.starts().end()), starts);
  EXPECT_EQ(basis.segment_of(5), -1);
  EXPECT_EQ(rebuilt(basis), lower(matrix));
}

TYPED_TEST(Decompose, ZeroColumnsAfterOthersAreASegment) {
  using T = TypeParam;
  Matrix<T> matrix = Matrix<T>::Zero(9, 9);
  matrix.leftCols(3).setOnes();
  const ConvBasis<T> basis = decompose(MatrixScores<T>(view(matrix)));
  EXPECT_EQ(std::vector<Index>(basis.starts().begin(), basis.starts().end()), (std::vector<Index>{0, 3}));
  EXPECT_EQ(rebuilt(basis), lower(matrix));
}

TYPED_TEST(Decompose, AChangeInTheVeryLastLagCounts) {
  using T = TypeParam;
  Matrix<T> matrix = Matrix<T>::Ones(12, 12);
  matrix(11, 5) = T(2);
  const ConvBasis<T> basis = decompose(MatrixScores<T>(view(matrix)));
  // Column 6 is one entry shorter, so it agrees with column 5's lag vector as far as it goes.
  EXPECT_EQ(std::vector<Index>(basis.starts().begin(), basis.starts().end()), (std::vector<Index>{0, 5}));
  EXPECT_EQ(rebuilt(basis), lower(matrix));
}

TYPED_TEST(Decompose, ToleranceComparesWithTheSegmentsFirstColumn) {
  using T = TypeParam;
  // Diagonals drift by 1/4 a column: neighbours are close, but the third column of each run is too far from the first.
  Matrix<T> matrix(12, 12);
  for (Index j = 0; j < 12; ++j) matrix.col(j).setConstant(static_cast<T>(10.0 + 0.25 * static_cast<double>(j)));
  const ConvBasis<T> basis = decompose(MatrixScores<T>(view(matrix)), 0.5);
  EXPECT_EQ(std::vector<Index>(basis.starts().begin(), basis.starts().end()), (std::vector<Index>{0, 3, 6, 9}));
  EXPECT_LE((rebuilt(basis) - lower(matrix)).cwiseAbs().maxCoeff(), T(0.5));
}

TYPED_TEST(Decompose, EveryEntryStaysWithinTheTolerance) {
  using T = TypeParam;
  Rng rng(4);
  const std::vector<Index> starts = random_starts(100, 5, rng);
  const Matrix<T> noise = gaussian<T>(100, 100, rng, 0.01).cwiseMin(T(0.05)).cwiseMax(T(-0.05));
  const Matrix<T> matrix = lower<T>(planted_matrix<T>(100, starts, rng) + noise);
  const ConvBasis<T> basis = decompose(MatrixScores<T>(view(matrix)), 0.125);
  EXPECT_EQ(std::vector<Index>(basis.starts().begin(), basis.starts().end()), starts);
  EXPECT_LE((rebuilt(basis) - matrix).cwiseAbs().maxCoeff(), T(0.125));
}

TYPED_TEST(Decompose, NanCountsAsDifferent) {
  using T = TypeParam;
  Matrix<T> matrix = Matrix<T>::Ones(8, 8);
  matrix(4, 3) = static_cast<T>(nan);
  const ConvBasis<T> basis = decompose(MatrixScores<T>(view(matrix)));
  // Column 3 differs from ones; column 4 differs from column 3's NaN; column 5 is like column 4.
  EXPECT_EQ(std::vector<Index>(basis.starts().begin(), basis.starts().end()), (std::vector<Index>{0, 3, 4}));

  const Matrix<T> all = Matrix<T>::Constant(5, 5, static_cast<T>(nan));
  EXPECT_EQ(decompose(MatrixScores<T>(view(all))).count(), 5) << "NaN is not even like itself";
  EXPECT_EQ(decompose(MatrixScores<T>(view(all)), std::numeric_limits<double>::infinity()).count(), 5);
}

TYPED_TEST(Decompose, BadToleranceIsAnError) {
  using T = TypeParam;
  const Matrix<T> matrix = Matrix<T>::Ones(3, 3);
  for (const double tolerance : {-1e-300, -1.0, nan, -std::numeric_limits<double>::infinity()}) {
    const std::string message = message_of<InvalidArgument>([&] { decompose(MatrixScores<T>(view(matrix)), tolerance); });
    EXPECT_NE(message.find("tolerance"), std::string::npos) << message;
  }
}

TYPED_TEST(Decompose, StopsOnRequest) {
  using T = TypeParam;
  const Matrix<T> matrix = Matrix<T>::Ones(300, 300);
  std::stop_source source;
  source.request_stop();
  EXPECT_THROW(decompose(MatrixScores<T>(view(matrix)), 0.0, {.stop = source.get_token()}), Cancelled);
}

RC_GTEST_PROP(DecomposeProperty, TheCountIsTheSmallestOfAllBases, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 8);
  Rng rng(*rc::gen::inRange<std::uint64_t>(0, 1'000'000));
  // Entries of 0 and 1 make equal neighbours, zero columns and changes in late lags common.
  Matrix<double> matrix = whole_numbers<double>(n, n, rng, 1).cwiseAbs();
  for (Index j = 1; j < n; ++j) {
    if (rng() % 2 == 0) matrix.block(j, j, n - j, 1) = matrix.block(j - 1, j - 1, n - j, 1).eval();
  }
  const ConvBasis<double> basis = decompose(MatrixScores<double>(view(matrix)));
  RC_ASSERT(rebuilt(basis) == lower(matrix));
  RC_ASSERT(basis.count() == smallest_count(matrix));
}

}  // namespace
}  // namespace convbasis
