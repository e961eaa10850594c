// Passes of the transposed product for rows of small sums, against the definition in double.
#include "basis/transpose_pass.h"

#include "basis/apply.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;

/// Weights that come in waves longer than the first segment is wide, and next to nothing in the second one: sums of rows, in the
/// same block too, differ by up to twelve powers of ten.
template <Real T>
ConvBasis<T> wide_scores(Index n, Rng& rng) {
  const Index width = n / 10;
  std::normal_distribution<double> normal(0.0, 0.5);
  std::vector<T> first;
  for (Index t = 0; t < n; ++t)
    first.push_back(static_cast<T>(14.0 * std::cos(static_cast<double>(t) * 1.6 / static_cast<double>(width)) + normal(rng)));
  std::vector<T> second;
  for (Index t = 0; t < n - width; ++t) second.push_back(static_cast<T>(-25.0 + normal(rng)));
  return {n, {0, width}, {std::move(first), std::move(second)}};
}

template <class T>
class TransposePassTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(TransposePassTest, Precisions);

TYPED_TEST(TransposePassTest, EachRowIsInOnePassOrLeft) {
  using T = TypeParam;
  constexpr double tolerance = std::same_as<T, float> ? 1e-5 : 1e-13;
  std::size_t most = 0;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const Index n = 1500;
    Rng rng(seed);
    const ConvBasis<T> scores = wide_scores<T>(n, rng);
    const ConvWeights<T> weights = exponentiate(scores);
    const Matrix<T> value = gaussian<T>(n, 5, rng);
    std::vector<Index> all(static_cast<std::size_t>(n));
    std::iota(all.begin(), all.end(), Index{0});
    std::vector<Index> left = all;
    const auto passes = transpose_passes<T>(weights, left, 64, tolerance, 1e6, {});  // so dear that nothing is added singly
    EXPECT_GT(passes.size(), 0u);
    most = std::max(most, passes.size());
    std::vector<Index> seen = left;
    for (const auto& pass : passes) {
      EXPECT_FALSE(pass.rows().empty());
      seen.insert(seen.end(), pass.rows().begin(), pass.rows().end());
      // The transposed product of these rows alone.
      Matrix<T> only = Matrix<T>::Zero(n, 5);
      for (const Index i : pass.rows()) only.row(i) = value.row(i);
      Matrix<T> got = Matrix<T>::Constant(n, 5, T{1});
      pass.add(view(value), mutable_view(got), {});
      got.array() -= T{1};
      const Dense expected = reference::segment_sum_transposed(scores, only.template cast<double>());
      // The estimate is of a typical error in one entry, beside rows of size 1; scores are rounded too, and so is what was added
      // to.
      EXPECT_TRUE(reference::max_error(got.template cast<double>(), expected) <=
                  8.0 * tolerance +
                      300.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * expected.cwiseAbs().maxCoeff());
    }
    std::ranges::sort(seen);
    EXPECT_EQ(seen, all);
    for (const Index i : left) EXPECT_TRUE(weights.underflows(i)) << i;
  }
  EXPECT_GT(most, 1u) << "this is about rows of different sizes";
}

TYPED_TEST(TransposePassTest, NoneWhereRowsAreCheaperOneByOne) {
  using T = TypeParam;
  Rng rng(1);
  const ConvWeights<T> weights = exponentiate(wide_scores<T>(300, rng));
  std::vector<Index> rows{3, 5, 8};
  EXPECT_TRUE(transpose_passes<T>(weights, rows, 5, 1e-5, 1e-6, {}).empty());
  EXPECT_EQ(rows, (std::vector<Index>{3, 5, 8}));
}

/// The product of a plan, whatever way each row takes.
TYPED_TEST(TransposePassTest, TheWholeProduct) {
  using T = TypeParam;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const Index n = 1200;
    Rng rng(seed);
    const ConvBasis<T> scores = wide_scores<T>(n, rng);
    const Matrix<T> value = gaussian<T>(n, 24, rng);
    const ConvAttentionPlan<T> plan(std::make_shared<const ConvWeights<T>>(exponentiate(scores)), 24);
    Matrix<T> got(n, 24);
    plan.apply_transpose(view(value), mutable_view(got));
    const Dense expected = reference::segment_sum_transposed(scores, value.template cast<double>());
    EXPECT_TRUE(reference::relative_error(got.template cast<double>(), expected) <= (std::same_as<T, float> ? 2e-5 : 2e-13));
    Matrix<T> again(n, 24);
    plan.apply_transpose(view(value), mutable_view(again), {.threads = 1});
    EXPECT_EQ(again, got);
  }
}

}  // namespace
}  // namespace convbasis
