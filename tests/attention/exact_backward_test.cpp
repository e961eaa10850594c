// Gradients of exact attention against their dense formula, and that formula against central differences of the loss.
#include "attention/exact_backward.h"
#include "attention/exact_attention.h"

#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/instruction_sets.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::HasSubstr;

struct DenseGradients {
  Dense query, key, value;
};

/// dS_ij = P_ij (G_i . V_j - G_i . Y_i), and the products with it, in double.
template <Real T>
DenseGradients dense_gradients(const HeadView<T>& head, const Dense& gradient) {
  const Dense probability = reference::softmax(reference::scores(head)).probability;
  const Dense value = head.value.template cast<double>();
  const Dense output = probability * value;
  Dense score_gradient = gradient * value.transpose();
  for (Index i = 0; i < head.size(); ++i) score_gradient.row(i).array() -= gradient.row(i).dot(output.row(i));
  score_gradient.array() *= probability.array();
  return {head.scale * score_gradient * head.key.template cast<double>(),
          head.scale * score_gradient.transpose() * head.query.template cast<double>(), probability.transpose() * gradient};
}

template <Real T>
struct Gradients {
  Matrix<T> query, key, value;
};

template <Real T>
Gradients<T> run_backward(const HeadView<T>& head, const MatrixView<T>& gradient, const RunContext& context = {}) {
  const Index n = head.size();
  Matrix<T> output(n, head.value_width());
  std::vector<double> lse(static_cast<std::size_t>(n));
  exact_attention<T>(head, mutable_view(output), lse, context);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Gradients<T> result{Matrix<T>::Constant(n, head.width(), nan), Matrix<T>::Constant(n, head.width(), nan),
                      Matrix<T>::Constant(n, head.value_width(), nan)};
  exact_backward<T>(head, {view(output), lse, gradient},
                    {mutable_view(result.query), mutable_view(result.key), mutable_view(result.value)}, context);
  return result;
}

/// How wrong a gradient may be, relative to the largest there is: weights are as wrong as scores, and sums over n rows add some
/// roundings that mostly cancel.
template <Real T>
double tolerance_of(const HeadView<T>& head) {
  return 8.0 * score_tolerance(head) +
         4.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::sqrt(static_cast<double>(head.size()));
}

template <Real T>
void expect_gradients(const HeadTensors<T>& head, const Matrix<T>& gradient) {
  const DenseGradients expected = dense_gradients(head.view(), gradient.template cast<double>());
  const Gradients<T> got = run_backward<T>(head.view(), view(gradient));
  const double tolerance = tolerance_of(head.view());
  const auto expect_near = [&](const char* name, const Matrix<T>& matrix, const Dense& dense) {
    // Entries cancel: the yardstick is what was added up.
    const double size = std::max(dense.cwiseAbs().maxCoeff(), static_cast<double>(gradient.cwiseAbs().maxCoeff()));
    EXPECT_LE(reference::max_error(matrix.template cast<double>(), dense), tolerance * size * 4.0) << name;
  };
  expect_near("query", got.query, expected.query);
  expect_near("key", got.key, expected.key);
  expect_near("value", got.value, expected.value);
}

template <class T>
class ExactBackward : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactBackward, Precisions);

TYPED_TEST(ExactBackward, IsTheDenseFormulaForEverySize) {
  using T = TypeParam;
  Rng rng(1);
  Index width = 1;
  for (const Index n : {1, 2, 3, 17, 47, 48, 49, 63, 64, 65, 127, 129, 256, 257, 521}) {
    const Index value_width = 1 + (3 * width) % 67;
    SCOPED_TRACE("n " + std::to_string(n) + ", d " + std::to_string(width) + ", d_v " + std::to_string(value_width));
    expect_gradients(gaussian_head<T>(n, width, value_width, static_cast<std::uint64_t>(n)), gaussian<T>(n, value_width, rng));
    width = width * 3 % 71;
  }
}

TYPED_TEST(ExactBackward, LongerThanItsBlocks) {
  using T = TypeParam;
  Rng rng(2);
  for (const Index n : {1024, 1100}) expect_gradients(gaussian_head<T>(n, 16, 8, 3), gaussian<T>(n, 8, rng));
}

TYPED_TEST(ExactBackward, EveryInstructionSet) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(4);
    expect_gradients(gaussian_head<T>(200, 24, 10, 4), gaussian<T>(200, 10, rng));
  });
}

TYPED_TEST(ExactBackward, OfABiasedHeadWithAWindow) {
  using T = TypeParam;
  Rng rng(5);
  HeadTensors<T> head = gaussian_head<T>(300, 12, 6, 5);
  for (Index t = 0; t < 300; ++t) head.bias.push_back(static_cast<T>(t > 90 ? masked_score : -0.05 * static_cast<double>(t)));
  expect_gradients(head, gaussian<T>(300, 6, rng));
}

TYPED_TEST(ExactBackward, LargeScores) {
  using T = TypeParam;
  Rng rng(6);
  HeadTensors<T> head = gaussian_head<T>(150, 16, 6, 6);
  head.scale = 8.0;
  expect_gradients(head, gaussian<T>(150, 6, rng));
}

TYPED_TEST(ExactBackward, DoesNotDependOnTheNumberOfThreads) {
  using T = TypeParam;
  Rng rng(7);
  const HeadTensors<T> head = gaussian_head<T>(700, 16, 8, 7);
  const Matrix<T> gradient = gaussian<T>(700, 8, rng);
  const Gradients<T> one = run_backward<T>(head.view(), view(gradient), {.threads = 1});
  for (const int threads : {2, 5, 13}) {
    const Gradients<T> many = run_backward<T>(head.view(), view(gradient), {.threads = threads});
    EXPECT_EQ(many.query, one.query);
    EXPECT_EQ(many.key, one.key);
    EXPECT_EQ(many.value, one.value);
  }
}

TYPED_TEST(ExactBackward, RowsMayLieApart) {
  using T = TypeParam;
  Rng rng(8);
  const HeadTensors<T> head = gaussian_head<T>(130, 7, 5, 8);
  const Matrix<T> gradient = gaussian<T>(130, 5, rng);
  const Gradients<T> expected = run_backward<T>(head.view(), view(gradient));
  const Padded<T> query(head.query, 3);
  const Padded<T> key(head.key, 1);
  const Padded<T> value(head.value, 2);
  const Padded<T> apart(gradient, 4);
  const Gradients<T> got = run_backward<T>(HeadView<T>{query.view(), key.view(), value.view(), head.scale}, apart.view());
  EXPECT_EQ(got.query, expected.query);
  EXPECT_EQ(got.key, expected.key);
  EXPECT_EQ(got.value, expected.value);
}

/// The loss sum G . Y, whose gradients are asked for.
double loss(const HeadTensors<double>& head, const Matrix<double>& gradient) {
  const Dense probability = reference::softmax(reference::scores(head.view())).probability;
  return (gradient.array() * (probability * head.value).array()).sum();
}

RC_GTEST_PROP(ExactBackwardProperty, IsTheSlopeOfTheLoss, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 40);
  const auto d = *rc::gen::inRange<Index>(1, 9);
  const auto value_width = *rc::gen::inRange<Index>(1, 9);
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  Rng rng(seed);
  HeadTensors<double> head = gaussian_head<double>(n, d, value_width, seed);
  const Matrix<double> gradient = gaussian<double>(n, value_width, rng);
  const Gradients<double> got = run_backward<double>(head.view(), view(gradient));
  const auto check = [&](Matrix<double>& variable, const Matrix<double>& slope) {
    const Index i = std::uniform_int_distribution<Index>(0, variable.rows() - 1)(rng);
    const Index c = std::uniform_int_distribution<Index>(0, variable.cols() - 1)(rng);
    constexpr double step = 1e-5;  // the error of a central difference is of its square
    const double there = variable(i, c);
    variable(i, c) = there + step;
    const double above = loss(head, gradient);
    variable(i, c) = there - step;
    const double below = loss(head, gradient);
    variable(i, c) = there;
    RC_ASSERT(std::abs((above - below) / (2.0 * step) - slope(i, c)) <= 1e-7 * (1.0 + gradient.norm() * head.value.norm()));
  };
  check(head.query, got.query);
  check(head.key, got.key);
  check(head.value, got.value);
}

TEST(ExactBackwardOf, WhatDoesNotFitIsNamed) {
  const HeadTensors<double> head = gaussian_head<double>(10, 4, 3, 1);
  Matrix<double> output(10, 3);
  std::vector<double> lse(10);
  exact_attention<double>(head.view(), mutable_view(output), lse);
  Matrix<double> query(10, 4);
  Matrix<double> key(10, 4);
  Matrix<double> value(10, 3);
  Matrix<double> wrong(9, 4);
  const auto message = [&](const HeadTensors<double>& of, Matrix<double>& given, std::span<const double> sums,
                           Matrix<double>& target) {
    return message_of<InvalidArgument>([&] {
      exact_backward<double>(of.view(), {view(given), sums, view(output)},
                             {mutable_view(target), mutable_view(key), mutable_view(value)});
    });
  };
  EXPECT_THAT(message(head, wrong, lse, query), HasSubstr("output is 9 x 4; it must be 10 x 3"));
  EXPECT_THAT(message(head, output, lse, wrong), HasSubstr("query gradient is 9 x 4; it must be 10 x 4"));
  EXPECT_THAT(message(head, output, std::span(lse).first(9), query), HasSubstr("lse has 9 entries"));
  const auto given = head_of_scores<double>(Matrix<double>::Zero(10, 10), head.value);
  EXPECT_THAT(message(given, output, lse, query), HasSubstr("given by its scores"));
}

TEST(ExactBackwardOf, IsCancelled) {
  std::stop_source stop;
  stop.request_stop();
  const HeadTensors<float> head = gaussian_head<float>(600, 8, 8, 1);
  Matrix<float> output = Matrix<float>::Zero(600, 8);
  const std::vector<double> lse(600, 0.0);
  Gradients<float> target{Matrix<float>(600, 8), Matrix<float>(600, 8), Matrix<float>(600, 8)};
  EXPECT_THROW(exact_backward<float>(head.view(), {view(output), lse, view(output)},
                                     {mutable_view(target.query), mutable_view(target.key), mutable_view(target.value)},
                                     {.stop = stop.get_token()}),
               Cancelled);
}

}  // namespace
}  // namespace convbasis
