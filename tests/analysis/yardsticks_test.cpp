// Matrix factors against dense linear algebra in double.
#include "analysis/yardsticks.h"

#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"
#include "support/structured.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <Eigen/SVD>

#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::HasSubstr;

template <class T>
class Yardsticks : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Yardsticks, Precisions);

template <Real T>
Matrix<T> probabilities(Index n, std::uint64_t seed) {
  const HeadTensors<T> head = gaussian_head<T>(n, 5, 3, seed);
  return reference::softmax(reference::scores(head.view())).probability.template cast<T>();
}

TYPED_TEST(Yardsticks, DenseProbabilities) {
  using T = TypeParam;
  for (const Index n : {1, 63, 64, 65, 150}) {
    const HeadTensors<T> head = gaussian_head<T>(n, 5, 3, 1);
    const reference::Softmax exact = reference::softmax(reference::scores(head.view()));
    const Matrix<T> dense = dense_probabilities(head.view(), std::span<const double>(exact.lse));
    EXPECT_LE(reference::max_error(dense.template cast<double>(), exact.probability), score_tolerance(head.view()));
  }
}

TYPED_TEST(Yardsticks, NonnegativeFactorsLowerTheDivergenceAndKeepTheRowsMass) {
  using T = TypeParam;
  for (const Index n : {2, 65, 300}) {
    const Matrix<T> probability = probabilities<T>(n, 3);
    const ExactEntries exact{n, 1, n > 2 ? std::vector<Index>{0, n / 2} : std::vector<Index>{}};
    const Dense mask = reference::rest_mask(exact);
    const Dense rest = probability.template cast<double>().cwiseProduct(mask);
    double before = std::numeric_limits<double>::infinity();
    for (const int iterations : {1, 2, 5, 20}) {
      const MatrixFactors<T> factors = nonnegative_factors(probability, exact, 3, iterations, {.threads = 2});
      EXPECT_GE(factors.left.minCoeff(), T{0});
      EXPECT_GE(factors.right.minCoeff(), T{0});
      const Dense model =
          mask.cwiseProduct(factors.left.template cast<double>() * factors.right.transpose().template cast<double>());
      // Divisions and sums of some hundred numbers in T.
      const double tolerance = 64.0 * static_cast<double>(std::numeric_limits<T>::epsilon());
      for (Index i = 0; i < n; ++i) EXPECT_NEAR(model.row(i).sum(), rest.row(i).sum(), tolerance * 16.0) << i;
      const double now = reference::divergence(rest, model);
      EXPECT_LE(now, before + tolerance * static_cast<double>(n)) << iterations;
      before = now;
    }
  }
}

TYPED_TEST(Yardsticks, NonnegativeFactorsOfAProductFindIt) {
  using T = TypeParam;
  Rng rng(4);
  const Index n = 80;
  const ExactEntries exact{n, 4, {3}};
  const Dense mask = reference::rest_mask(exact);
  const auto positive = [&](Index rows) -> Dense {
    return gaussian<double>(rows, 2, rng).cwiseAbs() + Dense::Constant(rows, 2, 0.05);
  };
  const Dense rest = mask.cwiseProduct(positive(n) * positive(n).transpose());
  const Matrix<T> probability = rest.template cast<T>();
  const MatrixFactors<T> factors = nonnegative_factors(probability, exact, 2, 3000);
  const Dense model = mask.cwiseProduct(factors.left.template cast<double>() * factors.right.transpose().template cast<double>());
  EXPECT_LE(reference::relative_error(model, rest), 1e-2);  // multiplicative steps converge slowly
}

TYPED_TEST(Yardsticks, FactoredRestIsTheDenseProduct) {
  using T = TypeParam;
  Rng rng(5);
  for (const Index n : {1, 64, 131}) {
    const ExactEntries exact{n, std::min<Index>(n, 7), {}};
    const MatrixFactors<T> factors{gaussian<T>(n, 3, rng), gaussian<T>(n, 3, rng)};
    const Matrix<T> value = gaussian<T>(n, 19, rng);
    Matrix<T> output = Matrix<T>::Constant(n, 19, T{1});
    add_factored_rest<T>(factors, exact, view(value), mutable_view(output), {.threads = 2});
    const Dense model = reference::rest_mask(exact).cwiseProduct(factors.left.template cast<double>() *
                                                                 factors.right.transpose().template cast<double>());
    const Dense wanted = (model * value.template cast<double>()).array() + 1.0;
    EXPECT_LE(reference::max_error(output.template cast<double>(), wanted),
              256.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * static_cast<double>(n));
  }
}

TYPED_TEST(Yardsticks, TruncatedSvdIsNearlyTheBest) {
  using T = TypeParam;
  for (const Index n : {1, 5, 64, 200}) {
    const Matrix<T> probability = probabilities<T>(n, 6);
    const Eigen::VectorXd singular = Eigen::JacobiSVD<Eigen::MatrixXd>(probability.template cast<double>()).singularValues();
    for (const Index rank : {Index{1}, Index{7}, Index{60}}) {
      const MatrixFactors<T> factors = truncated_svd(probability, std::min(rank, n), {.threads = 2});
      EXPECT_EQ(factors.left.cols(), std::min(rank, n));
      const Dense model = factors.left.template cast<double>() * factors.right.transpose().template cast<double>();
      const double error = (model - probability.template cast<double>()).norm();
      const double best = singular.tail(n - std::min(rank, n)).norm();
      // 2 % above the best for a spectrum that hardly falls; rounding where nothing is left.
      EXPECT_LE(error, 1.02 * best + 32.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * singular(0))
          << n << " " << rank;
      EXPECT_GE(error, best - 32.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * singular(0)) << n << " " << rank;
    }
  }
}

TEST(YardsticksOf, BadRanksAreRefused) {
  const Matrix<float> probability = Matrix<float>::Identity(4, 4);
  EXPECT_THAT(message_of<InvalidArgument>([&] { truncated_svd(probability, 0); }), HasSubstr("rank is 0"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { nonnegative_factors(probability, {4, 0, {}}, 0, 1); }), HasSubstr("rank is 0"));
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                nonnegative_factors(probability, {4, 0, {}}, 1, 0);
              }),
              HasSubstr("iterations is 0"));
}

}  // namespace
}  // namespace convbasis
