// The product with a conv basis against the direct sum: sizes, segment starts, blocks, widths, the transposed product.
#include "basis/apply.h"

#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <Real T>
std::shared_ptr<const ConvWeights<T>> weights_of(const ConvBasis<T>& scores) {
  return std::make_shared<const ConvWeights<T>>(exponentiate(scores));
}

template <Real T>
Matrix<T> apply_plan(const ConvBasis<T>& scores, const Matrix<T>& value, const ApplyOptions& options = {}) {
  // Filled with NaN: an entry that is not written shows.
  Matrix<T> output = Matrix<T>::Constant(value.rows(), value.cols(), std::numeric_limits<T>::quiet_NaN());
  ConvAttentionPlan<T>(weights_of(scores), value.cols(), options).apply(view(value), mutable_view(output));
  return output;
}

template <Real T>
Matrix<T> transpose_plan(const ConvBasis<T>& scores, const Matrix<T>& value, const ApplyOptions& options = {}) {
  Matrix<T> output = Matrix<T>::Constant(value.rows(), value.cols(), std::numeric_limits<T>::quiet_NaN());
  ConvAttentionPlan<T>(weights_of(scores), value.cols(), options).apply_transpose(view(value), mutable_view(output));
  return output;
}

template <Real T>
Matrix<T> full_length(const ConvBasis<T>& scores, const Matrix<T>& value) {
  Matrix<T> output = Matrix<T>::Constant(value.rows(), value.cols(), std::numeric_limits<T>::quiet_NaN());
  apply_full_length(exponentiate(scores), view(value), mutable_view(output));
  return output;
}

/// Three times the default row tolerance: rows whose rounding would pass it, relative to the row, are computed directly. V has
/// unit normals, so the root mean square of an output row is at most around 2, and single entries are off by more than the
/// typical error.
template <Real T>
constexpr double tolerance = std::same_as<T, float> ? 3e-5 : 3e-13;

template <Real T>
double error_of(const Matrix<T>& got, const reference::Dense& expected) {
  return reference::max_error(got.template cast<double>(), expected);
}

template <class T>
class Apply : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Apply, Precisions);

/// Partitioned, full-length and transposed product of one random basis against the direct sums.
template <Real T>
void expect_all_products(Index n, const std::vector<Index>& starts, Index value_width, Rng& rng,
                         const std::vector<Index>& blocks) {
  SCOPED_TRACE("n " + std::to_string(n) + ", k " + std::to_string(starts.size()) + ", d_v " + std::to_string(value_width));
  const ConvBasis<T> scores = uniform_basis<T>(n, starts, rng, 2.0);
  const Matrix<T> value = gaussian<T>(n, value_width, rng);
  const reference::Dense expected = reference::segment_sum(scores, value.template cast<double>());
  const reference::Dense transposed = reference::segment_sum_transposed(scores, value.template cast<double>());
  // Its rows are not rescued, and columns of P sum to more than one.
  const double largest = 3.0 * std::max(1.0, transposed.cwiseAbs().maxCoeff());
  for (const Index block : blocks) {
    EXPECT_LE(error_of(apply_plan(scores, value, {.block = block}), expected), tolerance<T>) << "block " << block;
    EXPECT_LE(error_of(transpose_plan(scores, value, {.block = block}), transposed), tolerance<T> * largest) << "block " << block;
  }
  // One transform gives D Y for all rows, so its rounding is relative to D Y, not to Y.
  const std::vector<double> row_sum = exponentiate(scores).row_sum;
  const Eigen::Map<const Eigen::VectorXd> mass(row_sum.data(), n);
  const reference::Dense full = full_length(scores, value).template cast<double>();
  EXPECT_LE(reference::relative_error(mass.asDiagonal() * full, mass.asDiagonal() * expected), tolerance<T>) << "full length";
}

TYPED_TEST(Apply, SmallSizesWithEveryNumberOfSegmentsAndBlock) {
  Rng rng(1);
  for (Index n = 1; n <= 9; ++n) {
    for (Index k = 1; k <= n; ++k) expect_all_products<TypeParam>(n, random_starts(n, k, rng), 3, rng, {0, 2, 4, 16});
  }
}

TYPED_TEST(Apply, SizesOnBothSidesOfABlock) {
  Rng rng(2);
  for (const Index n : {15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 127, 128, 129, 255, 256, 257}) {
    for (const Index k : {1, 2, 5, 15}) {
      expect_all_products<TypeParam>(n, random_starts(n, k, rng), 4, rng, {0, 2, 16, 64, 256});
    }
  }
}

TYPED_TEST(Apply, ValueWidths) {
  Rng rng(3);
  for (const Index value_width : {1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 64, 65, 130}) {
    expect_all_products<TypeParam>(150, random_starts(150, 6, rng), value_width, rng, {0, 16, 64});
  }
}

TYPED_TEST(Apply, LargerSizes) {
  Rng rng(4);
  for (const Index n : {509, 1000, 1024, 4095, 4096, 5000}) {
    expect_all_products<TypeParam>(n, random_starts(n, 16, rng), 3, rng, {0, 64, 256, 4096});
  }
}

TYPED_TEST(Apply, EveryColumnItsOwnSegment) {
  Rng rng(5);
  for (const Index n : {1, 2, 20, 70, 150}) {
    std::vector<Index> starts(static_cast<std::size_t>(n));
    std::iota(starts.begin(), starts.end(), 0);
    expect_all_products<TypeParam>(n, starts, 4, rng, {0, 2, 16, 64, 256});
  }
}

TYPED_TEST(Apply, AwkwardStarts) {
  Rng rng(6);
  for (const auto& starts : std::vector<std::vector<Index>>{{0, 1},
                                                            {0, 199},
                                                            {0, 63, 64, 65},
                                                            {0, 64, 128, 192},
                                                            {0, 3, 4, 5, 9, 60, 61, 62, 130},
                                                            {0, 15, 16, 17, 31, 33, 63, 127, 198, 199},
                                                            {5},
                                                            {64},
                                                            {199},
                                                            {1, 2, 70}}) {
    expect_all_products<TypeParam>(200, starts, 5, rng, {0, 2, 16, 64, 256, 4096});
  }
}

TYPED_TEST(Apply, BlocksLargerThanTheMatrix) {
  Rng rng(7);
  for (const Index n : {1, 2, 3, 100}) expect_all_products<TypeParam>(n, {0}, 2, rng, {4096, 65536});
}

TYPED_TEST(Apply, TheZeroMatrixAveragesThePast) {
  using T = TypeParam;
  Rng rng(8);
  const Matrix<T> value = gaussian<T>(100, 3, rng);
  EXPECT_LE(
      error_of(apply_plan(ConvBasis<T>(100), value), reference::segment_sum(ConvBasis<T>(100), value.template cast<double>())),
      tolerance<T>);
}

TYPED_TEST(Apply, TransposeIsTheAdjoint) {
  using T = TypeParam;
  Rng rng(9);
  for (const Index n : {1, 50, 257, 1000}) {
    for (const Index k : {1, 7, 40}) {
      if (k > n) continue;
      const ConvBasis<T> scores = uniform_basis<T>(n, random_starts(n, k, rng), rng, 3.0);
      const ConvAttentionPlan<T> plan(weights_of(scores), 6);
      const Matrix<T> x = gaussian<T>(n, 6, rng);
      const Matrix<T> y = gaussian<T>(n, 6, rng);
      Matrix<T> product(n, 6);
      Matrix<T> adjoint(n, 6);
      plan.apply(view(x), mutable_view(product));
      plan.apply_transpose(view(y), mutable_view(adjoint));
      const double left = product.template cast<double>().cwiseProduct(y.template cast<double>()).sum();
      const double right = x.template cast<double>().cwiseProduct(adjoint.template cast<double>()).sum();
      // Each side is a sum of 6 n products of numbers around 1 with errors of random sign.
      EXPECT_NEAR(left, right, tolerance<T> * std::sqrt(6.0 * static_cast<double>(n)) * 3.0) << "n " << n << ", k " << k;
    }
  }
}

TYPED_TEST(Apply, IsLinearInValue) {
  using T = TypeParam;
  Rng rng(10);
  const ConvBasis<T> scores = uniform_basis<T>(300, random_starts(300, 8, rng), rng, 2.0);
  const Matrix<T> x = gaussian<T>(300, 4, rng);
  const Matrix<T> y = gaussian<T>(300, 4, rng);
  const Matrix<T> combined = apply_plan<T>(scores, T(2) * x - T(3) * y);
  const Matrix<T> separate = T(2) * apply_plan(scores, x) - T(3) * apply_plan(scores, y);
  EXPECT_LE(error_of(combined, separate.template cast<double>()), 10.0 * tolerance<T>);
}

TYPED_TEST(Apply, ConstantValueIsReturned) {
  using T = TypeParam;
  Rng rng(11);
  const ConvBasis<T> scores = uniform_basis<T>(700, random_starts(700, 8, rng), rng, 2.0);
  const Matrix<T> value = Matrix<T>::Constant(700, 2, T(1));
  EXPECT_LE((apply_plan(scores, value).array() - T(1)).abs().maxCoeff(), static_cast<T>(tolerance<T>));
}

TYPED_TEST(Apply, RowsDoNotSeeLaterTokens) {
  using T = TypeParam;
  Rng rng(12);
  const ConvBasis<T> scores = uniform_basis<T>(200, {0, 30, 101}, rng, 2.0);
  Matrix<T> value = gaussian<T>(200, 2, rng);
  const reference::Dense expected = reference::segment_sum(scores, value.template cast<double>());
  value.bottomRows(60).array() += T(100);
  const Matrix<T> after = apply_plan(scores, value, {.block = 64});
  // The later rows share an FFT block with earlier ones; they may add its rounding, 100 times larger, and no more.
  EXPECT_LE(error_of<T>(after.topRows(140), expected.topRows(140)), 100.0 * tolerance<T>);
}

RC_GTEST_PROP(ApplyProperty, PartitionedIsTheDirectSum, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 300);
  const auto first = *rc::gen::weightedOneOf<Index>({{3, rc::gen::just<Index>(0)}, {1, rc::gen::inRange<Index>(0, n)}});
  const auto k = *rc::gen::inRange<Index>(1, n - first + 1);
  const auto block = *rc::gen::element<Index>(0, 2, 4, 8, 16, 32, 64, 128, 256, 512);
  const auto value_width = *rc::gen::inRange<Index>(1, 12);
  Rng rng(*rc::gen::inRange<std::uint64_t>(0, 1'000'000));
  const ConvBasis<double> scores = uniform_basis<double>(n, random_starts(n, k, rng, first), rng, 2.0);
  const Matrix<double> value = gaussian<double>(n, value_width, rng);
  RC_ASSERT(error_of(apply_plan(scores, value, {.block = block}), reference::segment_sum(scores, value)) <= tolerance<double>);
  const reference::Dense transposed = reference::segment_sum_transposed(scores, value);
  RC_ASSERT(error_of(transpose_plan(scores, value, {.block = block}), transposed) <=
            tolerance<double> * std::max(1.0, transposed.cwiseAbs().maxCoeff()));
}

}  // namespace
}  // namespace convbasis
