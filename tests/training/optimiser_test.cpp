// The optimisers against their textbook recursions.
#include "training/optimiser.h"

#include "core/errors.h"
#include "support/expect_error.h"
#include "support/inputs.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

/// One parameter after Adam has seen these gradients, as the paper writes it.
double adam(double x, const std::vector<double>& gradients, double rate) {
  double m = 0.0;
  double v = 0.0;
  double beta1_power = 1.0;
  double beta2_power = 1.0;
  for (const double g : gradients) {
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    beta1_power *= 0.9;
    beta2_power *= 0.999;
    x -= rate * (m / (1.0 - beta1_power)) / (std::sqrt(v / (1.0 - beta2_power)) + 1e-8);
  }
  return x;
}

RC_GTEST_PROP(DescentProperty, IsTheTextbookRecursion, ()) {
  const auto rows = *rc::gen::inRange<Index>(1, 7);
  const auto cols = *rc::gen::inRange<Index>(1, 7);
  const auto steps = *rc::gen::inRange(1, 30);
  const auto size = *rc::gen::element(1e-9, 1e-3, 1.0, 1e6);  // where 1e-8 counts, and where it does not
  Rng rng(*rc::gen::arbitrary<std::uint32_t>());
  const Matrix<double> start = gaussian<double>(rows, cols, rng);
  std::vector<Matrix<double>> gradients;
  for (int step = 0; step < steps; ++step) gradients.push_back(gaussian<double>(rows, cols, rng, size));
  Matrix<double> by_adam = start;
  Matrix<double> by_descent = start;
  Descent<double> first(Optimiser::adam, 0.03);
  Descent<double> second(Optimiser::gradient_descent, 0.03);
  for (const Matrix<double>& gradient : gradients) {
    first.move(gradient, by_adam);
    second.move(gradient, by_descent);
  }
  for (Index i = 0; i < start.size(); ++i) {
    std::vector<double> slopes;
    double descended = start.data()[i];
    for (const Matrix<double>& gradient : gradients) {
      slopes.push_back(gradient.data()[i]);
      descended -= 0.03 * slopes.back();
    }
    // Roundings of some dozen steps of size 0.03, and of 0.03 times the gradient.
    RC_ASSERT(std::abs(by_adam.data()[i] - adam(start.data()[i], slopes, 0.03)) <= 1e-12);
    RC_ASSERT(std::abs(by_descent.data()[i] - descended) <= 1e-13 * (1.0 + size));
  }
}

TEST(Descent, AdamsStepIsOfTheRateWhateverTheGradient) {
  for (const double size : {1e-3, 1.0, 1e5}) {
    Matrix<float> parameters = Matrix<float>::Zero(2, 2);
    Descent<float>(Optimiser::adam, 0.25).move(Matrix<float>::Constant(2, 2, static_cast<float>(-size)), parameters);
    EXPECT_LE((parameters.array() - 0.25F).abs().maxCoeff(), 1e-5F) << size;
  }
}

TEST(Descent, WhereThereIsNoSlopeNothingMoves) {
  Matrix<double> parameters = Matrix<double>::Ones(2, 3);
  Descent<double> adam_descent(Optimiser::adam, 0.1);
  for (int step = 0; step < 3; ++step) adam_descent.move(Matrix<double>::Zero(2, 3), parameters);
  EXPECT_EQ(parameters, (Matrix<double>::Ones(2, 3)));
}

TEST(Optimiser, HasNames) {
  EXPECT_EQ(optimiser_of("gd"), Optimiser::gradient_descent);
  EXPECT_EQ(optimiser_of("adam"), Optimiser::adam);
  EXPECT_NE(message_of<InvalidArgument>([] { optimiser_of("sgd"); }).find("sgd"), std::string::npos);
}

}  // namespace
}  // namespace convbasis
