// Rows of P~ V in double, a few at a time, against row-by-row softmax.
#include "basis/row_product.h"

#include "support/inputs.h"
#include "support/instruction_sets.h"
#include "support/reference.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class RowProduct : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(RowProduct, Precisions);

/// The rows in double, but for the log-sum-exp: it comes from weights of type T, each rounded once or twice.
template <Real T>
double tolerance(double range) {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) * (16.0 + 4.0 * range);
}

template <Real T>
void expect_rows(const ConvBasis<T>& scores, const Matrix<T>& value, const std::vector<Index>& rows, double range) {
  const reference::Dense all = reference::segment_sum(scores, value.template cast<double>());
  const Padded<T> padded(value, 3);
  Matrix<double> result = Matrix<double>::Constant(7, 2, 77.0);
  apply_rows<T>(exponentiate(scores), padded.view(), rows, result);
  ASSERT_GE(result.rows(), std::ssize(rows));
  ASSERT_EQ(result.cols(), value.cols());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const double error = (result.row(static_cast<Index>(r)) - all.row(rows[r])).cwiseAbs().maxCoeff<Eigen::PropagateNaN>();
    ASSERT_TRUE(error <= tolerance<T>(range) * (1.0 + all.row(rows[r]).cwiseAbs().maxCoeff()))
        << "n " << scores.size() << ", row " << rows[r] << ", " << value.cols() << " columns, error " << error;
  }
}

TYPED_TEST(RowProduct, RowsOfAnyNumberAndWidth) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(1);
    for (const Index n : {1, 2, 127, 128, 129, 257, 300}) {
      for (const Index columns : {1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 64}) {
        const ConvBasis<T> scores = uniform_basis<T>(n, random_starts(n, std::min<Index>(n, 5), rng), rng, 10.0);
        const Matrix<T> value = gaussian<T>(n, columns, rng);
        for (Index count = 1; count <= std::min(n, rows_at_once); ++count) {
          std::vector<Index> rows = random_starts(n, count, rng, std::uniform_int_distribution<Index>(0, n - count)(rng));
          expect_rows(scores, value, rows, 20.0);
        }
      }
    }
  });
}

TYPED_TEST(RowProduct, RowsFarBelowTheShiftAndColumnsBeforeTheFirstStart) {
  using T = TypeParam;
  Rng rng(2);
  for (const double depth : {30.0, 90.0, 800.0, 5000.0}) {
    std::vector<T> lags(290, static_cast<T>(-depth));
    lags.back() = T(0);
    expect_rows(ConvBasis<T>(300, {10}, {lags}), gaussian<T>(300, 5, rng), {0, 9, 250, 299}, depth);
  }
}

TYPED_TEST(RowProduct, WeightedRowsAreAddedToWhatIsThere) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(3);
    for (const Index count : {0, 1, 3, 64}) {
      for (Index columns = 1; columns <= 40; ++columns) {
        const Padded<T> value(gaussian<T>(count, columns, rng), 2);
        const Matrix<double> weights = gaussian<double>(rows_at_once, count + 3, rng);
        const Matrix<double> before = gaussian<double>(rows_at_once, columns, rng);
        Matrix<double> sums = before;
        add_weighted_rows<T>(value.view(), weights.data(), count + 3, sums.data());
        const reference::Dense expected = before + weights.leftCols(count) * value.view().template cast<double>();
        // All in double: 64 products of numbers up to 4.
        ASSERT_TRUE(reference::max_error(sums, expected) <= 1e-12) << count << " x " << columns;
      }
    }
  });
}

RC_GTEST_PROP(RowProductProperty, AnyRows, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 400);
  const auto k = *rc::gen::inRange<Index>(1, std::min<Index>(n, 40) + 1);
  const auto columns = *rc::gen::inRange<Index>(1, 40);
  const auto count = *rc::gen::inRange<Index>(1, std::min(n, rows_at_once) + 1);
  const auto range = *rc::gen::element(1.0, 30.0, 200.0);
  Rng rng(*rc::gen::inRange<std::uint64_t>(0, 1'000'000));
  const Index first = std::uniform_int_distribution<Index>(0, n - count)(rng);
  expect_rows(uniform_basis<float>(n, random_starts(n, k, rng), rng, range), gaussian<float>(n, columns, rng),
              random_starts(n, count, rng, first), 2.0 * range);
  RC_ASSERT(!testing::Test::HasFailure());
}

}  // namespace
}  // namespace convbasis
