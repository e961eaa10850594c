// The planted one-layer problem: where its scores have a conv basis, and what its target is.
#include "training/one_layer.h"
#include "training/trainer.h"

#include "basis/score_columns.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::HasSubstr;

template <Real T>
Dense scores_at(const OneLayerProblem<T>& problem, const Matrix<T>& x) {
  return problem.a1.template cast<double>() * x.template cast<double>() * problem.a2.template cast<double>().transpose();
}

/// How far the scores are from Toeplitz within the planted segments, relative to the largest.
template <Real T>
double distance_from_basis(const OneLayerProblem<T>& problem, const Matrix<T>& x) {
  const Dense scores = scores_at(problem, x);
  const Index n = scores.rows();
  double worst = 0.0;
  for (Index j = 1; j < n; ++j) {
    if (std::ranges::binary_search(problem.starts, j)) continue;
    for (Index i = j; i < n; ++i) {
      const double difference = std::abs(scores(i, j) - scores(i - 1, j - 1));
      if (!(difference <= worst)) worst = difference;
    }
  }
  return worst / scores.cwiseAbs().maxCoeff();
}

RC_GTEST_PROP(OneLayerProperty, ScoresAreToeplitzWhereXCommutesWithTheRotation, ()) {
  OneLayerOptions options;
  options.d = 2 * *rc::gen::inRange<Index>(1, 9);
  options.T = *rc::gen::inRange<Index>(1, 6);
  options.k = *rc::gen::inRange<Index>(1, 6);
  options.n = options.T + options.k - 1 + *rc::gen::inRange<Index>(0, 90);
  options.value_width = *rc::gen::inRange<Index>(0, 9);
  options.seed = *rc::gen::arbitrary<std::uint32_t>();
  const auto problem = plant_one_layer<double>(options);
  RC_ASSERT(std::ssize(problem.starts) == options.k);
  RC_ASSERT(problem.value.cols() == (options.value_width == 0 ? options.d : options.value_width));
  // Rotations of a unit angle, a few hundred of them, and a sum over d: some dozen roundings.
  RC_ASSERT(distance_from_basis(problem, problem.start) <= 1e-13);
  RC_ASSERT(distance_from_basis(problem, problem.solution) <= 1e-13);
  Rng rng(options.seed);
  RC_ASSERT(distance_from_basis(problem, tied(gaussian<double>(options.d, options.d, rng))) <= 1e-13);
}

TEST(OneLayer, AnyOtherXHasNoConvBasis) {
  Rng rng(3);
  const auto problem = plant_one_layer<double>({.n = 100});
  EXPECT_GE(distance_from_basis(problem, gaussian<double>(16, 16, rng)), 0.1);
}

TEST(OneLayer, TargetIsExactAttentionAtTheSolution) {
  for (const double noise : {0.0, 1e-3}) {
    const auto problem = plant_one_layer<double>({.n = 90, .d = 6, .value_width = 5, .noise = noise});
    const Dense expected = reference::softmax(scores_at(problem, problem.solution)).probability * problem.value;
    EXPECT_LE(reference::relative_error(problem.target, expected), 1e-13);
    EXPECT_GE(reference::relative_error(problem.start, problem.solution), 0.1) << "there is something to learn";
  }
}

TEST(OneLayer, RecoverFindsThePlantedStartsAllTheWay) {
  for (const double noise : {0.0, 1e-3}) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      const auto problem = plant_one_layer<double>({.n = 200, .d = 8, .noise = noise, .seed = seed});
      for (const double share : {0.0, 0.5, 1.0}) {
        const Matrix<double> query = problem.a1 * ((1.0 - share) * problem.start + share * problem.solution);
        const HeadView<double> head{view(query), view(problem.a2), view(problem.value), 1.0};
        const auto basis = recover<double>(HeadScores<double>(head), problem.recover).basis;
        EXPECT_EQ(std::vector<Index>(basis.starts().begin(), basis.starts().end()), problem.starts)
            << "noise " << noise << ", seed " << seed << ", share " << share;
      }
    }
  }
}

TEST(OneLayer, SeedsMakeTheData) {
  const OneLayerOptions options{.n = 50, .seed = 7};
  const auto problem = plant_one_layer<double>(options);
  EXPECT_EQ(plant_one_layer<double>(options, {.threads = 3}).target, problem.target);
  EXPECT_NE(plant_one_layer<double>({.n = 50, .seed = 8}).target, problem.target);
  EXPECT_LE(reference::relative_error(plant_one_layer<float>(options).target.cast<double>(), problem.target), 1e-5);
}

TEST(OneLayer, BadOptionsAreNamed) {
  const auto message = [](const OneLayerOptions& options) {
    return message_of<InvalidArgument>([&] { plant_one_layer<double>(options); });
  };
  EXPECT_THAT(message({.n = 0}), HasSubstr("n is 0"));
  EXPECT_THAT(message({.d = 7}), HasSubstr("d is 7"));
  EXPECT_THAT(message({.n = 16, .k = 10}), HasSubstr("k is 10"));
  EXPECT_THAT(message({.n = 16, .T = 17}), HasSubstr("T is 17"));
  EXPECT_THAT(message({.noise = 100.0}), HasSubstr("noise is 100"));
  EXPECT_THAT(message({.spread = 0.0}), HasSubstr("spread is 0"));
  EXPECT_THAT(message({.distance = -1.0}), HasSubstr("distance is -1"));
  EXPECT_THAT(message({.distance = std::numeric_limits<double>::quiet_NaN()}), HasSubstr("distance is nan"));
}

TEST(Tied, IsTheNearestBlockMatrix) {
  Rng rng(5);
  const Matrix<double> matrix = gaussian<double>(6, 6, rng);
  const Matrix<double> nearest = tied(matrix);
  EXPECT_EQ(tied(nearest), nearest);
  // What is left is perpendicular to every matrix of the kind.
  const Matrix<double> other = tied(gaussian<double>(6, 6, rng));
  EXPECT_NEAR((matrix - nearest).cwiseProduct(other).sum(), 0.0, 1e-14);
  EXPECT_THAT(message_of<InvalidArgument>([&] { tied(gaussian<double>(3, 3, rng)); }), HasSubstr("3 x 3"));
}

}  // namespace
}  // namespace convbasis
