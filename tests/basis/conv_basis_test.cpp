#include "basis/conv_basis.h"

#include "core/errors.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

/// Lag vectors of small whole numbers: every sum and difference of them is exact, in float too.
template <Real T>
ConvBasis<T> whole_basis(Index n, std::vector<Index> starts, Rng& rng) {
  return basis_with<T>(n, std::move(starts), rng, std::uniform_int_distribution<int>(-9, 9));
}

template <Real T>
Matrix<T> whole_tile(const ConvBasis<T>& basis) {
  Matrix<T> all(basis.size(), basis.size());
  basis.tile(0, 0, mutable_view(all));
  return all;
}

template <class T>
class ConvBasisTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(ConvBasisTest, Precisions);

TYPED_TEST(ConvBasisTest, SmallExampleByHand) {
  using T = TypeParam;
  const ConvBasis<T> basis(4, {0, 2}, {{1, 2, 3, 4}, {7, 8}});
  Matrix<T> expected(4, 4);
  expected << 1, 0, 0, 0,  //
      2, 1, 0, 0,          //
      3, 2, 7, 0,          //
      4, 3, 8, 7;
  EXPECT_EQ(whole_tile(basis), expected);
  EXPECT_EQ(basis.basis_vector(0), (std::vector<T>{1, 2, 3, 4}));
  EXPECT_EQ(basis.basis_vector(1), (std::vector<T>{6, 6}));
  EXPECT_EQ(basis.size(), 4);
  EXPECT_EQ(basis.count(), 2);
  EXPECT_EQ(basis.end(0), 2);
  EXPECT_EQ(basis.end(1), 4);
  EXPECT_EQ(basis.extent(0), 4);
  EXPECT_EQ(basis.extent(1), 2);
}

TYPED_TEST(ConvBasisTest, EmptyBasisIsTheZeroMatrix) {
  using T = TypeParam;
  const ConvBasis<T> basis(5);
  EXPECT_EQ(basis.size(), 5);
  EXPECT_EQ(basis.count(), 0);
  EXPECT_EQ(basis.segment_of(3), -1);
  EXPECT_EQ(basis.entry(4, 2), T(0));
  EXPECT_EQ(whole_tile(basis), (Matrix<T>::Zero(5, 5)));
  EXPECT_EQ(ConvBasis<T>().size(), 0);
  EXPECT_EQ(ConvBasis<T>(3, {}, {}).count(), 0);
}

TYPED_TEST(ConvBasisTest, TilesAreBlocksOfTheMatrix) {
  using T = TypeParam;
  Rng rng(3);
  constexpr Index n = 60;
  const ConvBasis<T> basis = whole_basis<T>(n, {4, 5, 20, 41, 59}, rng);
  const reference::Dense expected = reference::dense(basis);
  struct Place {
    Index row, column, rows, columns;
  };
  for (const auto& [row, column, tile_rows, tile_columns] : {Place{0, 0, n, n}, Place{59, 59, 1, 1}, Place{0, 40, 30, 20},
                                                             Place{40, 0, 20, 30}, Place{3, 3, 4, 40}, Place{20, 19, 3, 3}}) {
    Padded<T> tile(Matrix<T>::Constant(tile_rows, tile_columns, T(77)), 3);
    basis.tile(row, column, tile.mutable_view());
    if (row >= column) {
      std::vector<T> part(static_cast<std::size_t>(std::min(tile_columns, row + 1 - column)));
      basis.row(row, column, part);
      for (std::size_t x = 0; x < part.size(); ++x) ASSERT_EQ(part[x], basis.entry(row, column + static_cast<Index>(x)));
    }
    EXPECT_EQ(reference::Dense(tile.view().template cast<double>()), expected.block(row, column, tile_rows, tile_columns));
    EXPECT_TRUE(tile.gaps_untouched());
  }
}

TYPED_TEST(ConvBasisTest, ConstructorRejectsWhatIsNoBasis) {
  using T = TypeParam;
  using Starts = std::vector<Index>;
  using Lags = std::vector<std::vector<T>>;
  const auto lag = [](std::size_t length) { return std::vector<T>(length, T(1)); };
  const auto rejected = [](Index size, const Starts& starts, const Lags& lags) {
    message_of<InvalidArgument>([&] { ConvBasis<T>(size, starts, lags); });
  };
  rejected(4, {0, 0}, {lag(4), lag(4)});
  rejected(4, {2, 1}, {lag(2), lag(3)});
  rejected(4, {-1}, {lag(5)});
  rejected(4, {4}, {lag(0)});
  rejected(4, {0}, {lag(3)});
  rejected(4, {0}, {lag(5)});
  rejected(4, {0, 2}, {lag(4), lag(3)});
  rejected(4, {0, 2}, {lag(4)});
  rejected(4, {0}, {lag(4), lag(2)});
  rejected(0, {0}, {lag(0)});
}

TYPED_TEST(ConvBasisTest, TheFirstSegmentsReachToTheLastColumnAndShareTheLagVectors) {
  using T = TypeParam;
  Rng rng(5);
  const std::vector<Index> starts{2, 7, 8, 19};
  const ConvBasis<T> basis = whole_basis<T>(20, starts, rng);
  for (Index segments = 0; segments <= basis.count(); ++segments) {
    const ConvBasis<T> part = basis.first(segments);
    ASSERT_EQ(part.count(), segments);
    EXPECT_EQ(part.size(), basis.size());
    for (Index r = 0; r < segments; ++r) EXPECT_EQ(part.lag_vector(r).data(), basis.lag_vector(r).data());
    for (Index j = 0; j < basis.size(); ++j) {
      const Index r = std::min(basis.segment_of(j), segments - 1);
      for (Index i = j; i < basis.size(); ++i) {
        EXPECT_EQ(part.entry(i, j), r < 0 ? T(0) : basis.lag_vector(r)[static_cast<std::size_t>(i - j)]);
      }
    }
  }
  message_of<InvalidArgument>([&] { basis.first(5); });
  message_of<InvalidArgument>([&] { basis.first(-1); });
}

TYPED_TEST(ConvBasisTest, StartingAtZeroIsTheSameMatrixAndSharesTheLagVectors) {
  using T = TypeParam;
  Rng rng(4);
  for (const auto& starts : std::vector<std::vector<Index>>{{}, {0}, {0, 7}, {1}, {3, 4, 20}, {29}}) {
    const ConvBasis<T> basis = whole_basis<T>(30, starts, rng);
    const ConvBasis<T> all = basis.starting_at_zero();
    ASSERT_GE(all.count(), 1);
    EXPECT_EQ(all.start(0), 0);
    EXPECT_EQ(all.size(), 30);
    EXPECT_EQ(whole_tile(all), whole_tile(basis));
    const Index added = all.count() - basis.count();
    EXPECT_EQ(added, starts.empty() || starts[0] > 0 ? 1 : 0);
    for (Index r = 0; r < basis.count(); ++r) {
      EXPECT_EQ(all.start(r + added), basis.start(r));
      EXPECT_EQ(all.lag_vector(r + added).data(), basis.lag_vector(r).data()) << "shared, not copied";
    }
  }
  EXPECT_EQ(ConvBasis<T>().starting_at_zero().count(), 0);
}

TYPED_TEST(ConvBasisTest, CopiesShareLagVectorsThatOutliveTheOriginal) {
  using T = TypeParam;
  Rng rng(5);
  auto original = std::make_unique<ConvBasis<T>>(whole_basis<T>(40, {2, 9}, rng));
  const Matrix<T> expected = whole_tile(*original);
  const ConvBasis<T> copy = *original;
  const ConvBasis<T> extended = original->starting_at_zero();
  EXPECT_EQ(copy.lag_vector(1).data(), original->lag_vector(1).data());
  original.reset();
  EXPECT_EQ(whole_tile(copy), expected);
  EXPECT_EQ(whole_tile(extended), expected);
}

RC_GTEST_PROP(ConvBasisProperty, EveryAccessAgreesWithTheSumOfConvMatrices, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 50);
  const auto first = *rc::gen::inRange<Index>(0, n);
  const auto k = *rc::gen::inRange<Index>(1, n - first + 1);
  Rng rng(*rc::gen::inRange<std::uint64_t>(0, 1'000'000));
  const ConvBasis<float> basis = whole_basis<float>(n, random_starts(n, k, rng, first), rng);
  const reference::Dense expected = reference::dense(basis);
  RC_ASSERT(whole_tile(basis).cast<double>() == expected);
  for (Index j = 0; j < n; ++j) {
    Index segment = -1;
    while (segment + 1 < k && basis.starts()[static_cast<std::size_t>(segment + 1)] <= j) ++segment;
    RC_ASSERT(basis.segment_of(j) == segment);
    for (Index i = 0; i < n; ++i) RC_ASSERT(static_cast<double>(basis.entry(i, j)) == expected(i, j));
  }
}

}  // namespace
}  // namespace convbasis
