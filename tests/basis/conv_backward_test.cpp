// The gradient of the approximate forward against central differences of that forward and against its dense formula; the estimate
// of the exact gradient against the exact gradient.
#include "basis/conv_backward.h"

#include "attention/exact_attention.h"
#include "basis/recover.h"
#include "data/planted.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/instruction_sets.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <memory>
#include <optional>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::HasSubstr;

template <Real T>
struct Gradients {
  Matrix<T> query, key, value;

  Gradients(Index n, Index d, Index value_width)
      : query(Matrix<T>::Constant(n, d, nan)), key(query), value(Matrix<T>::Constant(n, value_width, nan)) {}
  HeadGradients<T> views() { return {mutable_view(query), mutable_view(key), mutable_view(value)}; }

  static constexpr T nan = std::numeric_limits<T>::quiet_NaN();
};

/// The scores of a head as a conv basis with these starts, read again from Q and K.
template <Real T>
ConvBasis<double> basis_at(const HeadView<T>& head, const std::vector<Index>& starts) {
  std::vector<std::vector<double>> lags;
  for (const Index start : starts) {
    std::vector<double> lag;
    for (Index i = start; i < head.size(); ++i) {
      const auto bias = head.bias.empty() ? 0.0 : static_cast<double>(head.bias[static_cast<std::size_t>(i - start)]);
      lag.push_back(head.scale * head.query.row(i).template cast<double>().dot(head.key.row(start).template cast<double>()) +
                    bias);
    }
    lags.push_back(std::move(lag));
  }
  return {head.size(), starts, std::move(lags)};
}

/// The loss sum G . Y~ by the slow reference.
double loss(const HeadTensors<double>& head, const std::vector<Index>& starts, const Dense& gradient) {
  return (gradient.array() * reference::segment_sum(basis_at(head.view(), starts), head.value).array()).sum();
}

/// A head, starts that are held fixed, and what the engine makes of them.
template <Real T>
struct Forward {
  HeadTensors<T> head;
  ConvBasis<T> basis;
  std::optional<ConvAttentionPlan<T>> plan;
  Matrix<T> output;

  Forward(HeadTensors<T> tensors, std::vector<Index> starts, Index block = 0) : head(std::move(tensors)) {
    const HeadView<T> seen = head.view();
    basis = recover_at<T>(HeadScores<T>(seen), std::move(starts)).basis;
    plan.emplace(std::make_shared<const ConvWeights<T>>(exponentiate(basis)), seen.value_width(), ApplyOptions{.block = block});
    output.resize(seen.size(), seen.value_width());
    plan->apply(seen.value, mutable_view(output));
  }
  Gradients<T> none() const { return {head.query.rows(), head.query.cols(), head.value.cols()}; }
  Gradients<T> conv_gradient(const Matrix<T>& gradient, const RunContext& context = {}) const {
    Gradients<T> result = none();
    conv_forward_gradient<T>(head.view(), basis, *plan, {view(output), view(gradient)}, result.views(), context);
    return result;
  }
  Gradients<T> estimate(const Matrix<T>& gradient, const RunContext& context = {}) const {
    Gradients<T> result = none();
    estimated_gradient<T>(head.view(), *plan, {view(output), view(gradient)}, result.views(), context);
    return result;
  }
};

/// The conv gradient as it is defined, from a dense P~ in double.
template <Real T>
Gradients<double> dense_conv_gradient(const HeadView<T>& head, const std::vector<Index>& starts, const Dense& gradient) {
  const Index n = head.size();
  const ConvBasis<double> basis = basis_at(head, starts);
  const Dense probability = reference::softmax(reference::dense(basis)).probability;
  const Dense value = head.value.template cast<double>();
  const Dense output = probability * value;
  Dense change = gradient * value.transpose();
  for (Index i = 0; i < n; ++i) change.row(i).array() -= gradient.row(i).dot(output.row(i));
  change.array() *= probability.array();
  Gradients<double> result(n, head.width(), head.value_width());
  result.query.setZero();
  result.key.setZero();
  for (Index r = 0; r < basis.count(); ++r) {
    const Index start = basis.start(r);
    Eigen::VectorXd lag_change = Eigen::VectorXd::Zero(n - start);
    for (Index j = start; j < basis.end(r); ++j) lag_change.head(n - j) += change.col(j).tail(n - j);
    result.query.bottomRows(n - start) += head.scale * lag_change * head.key.row(start).template cast<double>();
    result.key.row(start) += head.scale * lag_change.transpose() * head.query.bottomRows(n - start).template cast<double>();
  }
  result.value = probability.transpose() * gradient;
  return result;
}

/// How wrong each of the three is, relative to the size of the whole (Frobenius norms).
template <Real T>
double worst_error(const Gradients<T>& got, const Gradients<double>& expected) {
  double worst = 0.0;
  const auto compare = [&](const Matrix<T>& matrix, const Dense& dense) {
    const double error = dense.norm() > 0 ? reference::relative_error(matrix.template cast<double>(), dense) : matrix.norm();
    if (!(error <= worst)) worst = error;
  };
  compare(got.query, expected.query);
  compare(got.key, expected.key);
  compare(got.value, expected.value);
  return worst;
}

struct Shape {
  Index n, d, value_width, block;
  std::vector<Index> starts;
};

/// Sizes around blocks and primes; segments of length 1 among them, and now and then columns before the first start.
Shape random_shape(Rng& rng, Index largest) {
  const auto below = [&](Index limit) { return std::uniform_int_distribution<Index>(0, limit - 1)(rng); };
  const std::vector<Index> sizes{1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 32, 33, 61, 64, 67, 100, 127, 128, 129};
  Index n = largest + 1;
  while (n > largest) n = sizes[static_cast<std::size_t>(below(std::ssize(sizes)))];
  const Index first = below(4) == 0 ? below(n) : 0;
  const Index k = 1 + below(std::min<Index>(n - first, below(3) == 0 ? n : 5));
  return {n, 1 + below(8), 1 + below(10), below(5) == 0 ? 0 : Index{1} << (1 + below(6)), random_starts(n, k, rng, first)};
}

RC_GTEST_PROP(ConvGradientProperty, IsTheDenseFormula, ()) {
  Rng rng(*rc::gen::arbitrary<std::uint32_t>());
  const Shape shape = random_shape(rng, 130);
  HeadTensors<double> head = gaussian_head<double>(shape.n, shape.d, shape.value_width, rng());
  if (rng() % 3 == 0) {
    for (Index t = 0; t < shape.n; ++t) head.bias.push_back(-0.03 * static_cast<double>(t));
  }
  const Matrix<double> gradient = gaussian<double>(shape.n, shape.value_width, rng);
  const Gradients<double> expected = dense_conv_gradient(head.view(), shape.starts, gradient);
  const Gradients<double> got = Forward<double>(head, shape.starts, shape.block).conv_gradient(gradient);
  // Where rows see few columns the sums that make a gradient cancel: errors are relative to G and V then.
  const double size = 1e-11 * (1.0 + gradient.norm());
  RC_ASSERT((got.query - expected.query).norm() <= size * (1.0 + head.key.norm()));
  RC_ASSERT((got.key - expected.key).norm() <= size * (1.0 + head.query.norm()));
  RC_ASSERT((got.value - expected.value).norm() <= size);
}

/// A central difference of fourth order of f at 0.
template <class Function>
double slope_of(const Function& f) {
  constexpr double h = 1e-4;  // its error is of h^4, and rounding errors of the loss are divided by h
  return (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h);
}

/// Along a random direction of the variable, and for one entry of it.
void expect_slopes(HeadTensors<double>& head, Matrix<double> HeadTensors<double>::*variable, const std::vector<Index>& starts,
                   const Matrix<double>& gradient, const Matrix<double>& slope, Rng& rng) {
  const Matrix<double> there = head.*variable;
  Matrix<double> direction = gaussian<double>(there.rows(), there.cols(), rng);
  direction /= direction.norm();
  Matrix<double> entry = Matrix<double>::Zero(there.rows(), there.cols());
  entry(std::uniform_int_distribution<Index>(0, there.rows() - 1)(rng),
        std::uniform_int_distribution<Index>(0, there.cols() - 1)(rng)) = 1.0;
  const double typical = slope.norm() / std::sqrt(static_cast<double>(slope.size()));
  for (const Matrix<double>& step : {direction, entry}) {
    const double expected = slope_of([&](double h) {
      head.*variable = there + h * step;
      return loss(head, starts, gradient);
    });
    head.*variable = there;
    const double got = (slope.array() * step.array()).sum();
    // 1e-6 relative; the last term is what a difference leaves of the rounding errors of the loss.
    const double floor = 1e-10 * (1.0 + gradient.norm() * head.value.norm());
    ASSERT_TRUE(std::abs(got - expected) <= 1e-6 * std::max(std::abs(expected), typical) + floor)
        << got << " for a slope of " << expected;
  }
}

TEST(ConvGradient, IsTheSlopeOfTheApproximateForward) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Rng rng(seed);
    const auto below = [&](Index limit) { return std::uniform_int_distribution<Index>(0, limit - 1)(rng); };
    PlantedOptions options;
    options.n = seed % 10 == 0 ? 1 : 2 + below(seed % 4 == 0 ? 90 : 30);
    options.d = 2 * (1 + below(4));
    options.value_width = 1 + below(6);
    options.T = std::min<Index>(options.n, seed % 3 == 0 ? 1 : 1 + below(8));
    options.k = seed % 5 == 0 ? 1 : 1 + below(std::min<Index>(12, options.n - options.T + 1));
    options.seed = seed;
    SCOPED_TRACE("seed " + std::to_string(seed) + ", n " + std::to_string(options.n) + ", k " + std::to_string(options.k));
    const Planted<double> planted = make_planted<double>(options);
    const Matrix<double> gradient = gaussian<double>(options.n, options.value_width, rng);
    Forward<double> forward(planted.head, planted.starts, seed % 2 == 0 ? 8 : 0);
    const Gradients<double> got = forward.conv_gradient(gradient);
    expect_slopes(forward.head, &HeadTensors<double>::query, planted.starts, gradient, got.query, rng);
    expect_slopes(forward.head, &HeadTensors<double>::key, planted.starts, gradient, got.key, rng);
    expect_slopes(forward.head, &HeadTensors<double>::value, planted.starts, gradient, got.value, rng);
  }
}

/// Starts that no planted input has: every column a segment, the last column alone, columns of score 0 before the first start.
TEST(ConvGradient, IsTheSlopeForUnusualStarts) {
  Rng rng(3);
  std::vector<Index> all(23);
  for (Index j = 0; j < 23; ++j) all[static_cast<std::size_t>(j)] = j;
  for (const std::vector<Index>& starts : {all, {0, 22}, {22}, {7, 8, 9, 20}, {0}}) {
    const Matrix<double> gradient = gaussian<double>(23, 3, rng);
    Forward<double> forward(gaussian_head<double>(23, 1 + static_cast<Index>(starts.size()) % 3, 3, rng()), starts, 4);
    const Gradients<double> got = forward.conv_gradient(gradient);
    expect_slopes(forward.head, &HeadTensors<double>::query, starts, gradient, got.query, rng);
    expect_slopes(forward.head, &HeadTensors<double>::key, starts, gradient, got.key, rng);
    expect_slopes(forward.head, &HeadTensors<double>::value, starts, gradient, got.value, rng);
  }
}

TEST(ConvGradient, OfTheZeroBasis) {
  const HeadTensors<double> head = gaussian_head<double>(40, 3, 2, 1);
  const ConvBasis<double> basis(40);
  const ConvAttentionPlan<double> plan(std::make_shared<const ConvWeights<double>>(exponentiate(basis)), 2);
  Gradients<double> got(40, 3, 2);
  conv_forward_gradient<double>(head.view(), basis, plan, {view(head.value), view(head.value)}, got.views());
  EXPECT_EQ(got.query.norm(), 0.0);
  EXPECT_EQ(got.key.norm(), 0.0);
  EXPECT_GT(got.value.norm(), 0.0);
}

/// float against the dense formula in double, for scores of ordinary size and for such as reach 30 and more, where the row sums
/// differ by up to twenty powers of ten. Found here: 1.4e-5, and 4e-5 for the larger scores, whose own rounding is 2e-6; without
/// classes of rows it is 1e4.
TEST(ConvGradient, InFloat) {
  for (const double spread : {0.3, 1.5, 3.0, 4.0}) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const Index n = 500 + 13 * static_cast<Index>(seed);
      Planted<float> planted = make_planted<float>({.n = n, .d = 16, .k = 5, .T = 4, .spread = spread, .seed = seed});
      planted.head.value.array() += 2.0F;  // what all values have in common cancels
      Rng rng(seed);
      const Matrix<float> gradient = gaussian<float>(n, 16, rng);
      const Gradients<double> expected = dense_conv_gradient(planted.head.view(), planted.starts, gradient.cast<double>());
      for (const Index block : {0, 32, 256}) {
        const double error = worst_error(Forward<float>(planted.head, planted.starts, block).conv_gradient(gradient), expected);
        EXPECT_TRUE(error <= (spread < 2.0 ? 4e-5 : 1.5e-4)) << "spread " << spread << ", seed " << seed << ": " << error;
      }
    }
  }
}

template <Real T>
Gradients<T> exact_gradient(const HeadTensors<T>& head, const Matrix<T>& gradient) {
  Matrix<T> output(head.value.rows(), head.value.cols());
  std::vector<double> lse(static_cast<std::size_t>(output.rows()));
  exact_attention<T>(head.view(), mutable_view(output), lse);
  Gradients<T> result(output.rows(), head.query.cols(), output.cols());
  exact_backward<T>(head.view(), {view(output), lse, view(gradient)}, result.views());
  return result;
}

TEST(EstimatedGradient, IsTheExactOneWithoutNoise) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Rng rng(seed);
    const std::vector<Index> sizes{1, 2, 31, 64, 129, 300};
    const Index n = sizes[seed % sizes.size()];
    const Index T = std::min<Index>(n, 4);
    const auto width = static_cast<Index>(1 + seed);
    const Planted<double> planted = make_planted<double>({.n = n,
                                                          .d = 2 + 2 * static_cast<Index>(seed % 5),
                                                          .value_width = width,
                                                          .k = std::min<Index>(n - T + 1, 1 + static_cast<Index>(seed % 4)),
                                                          .T = T,
                                                          .seed = seed});
    const Matrix<double> gradient = gaussian<double>(n, width, rng);
    const Gradients<double> got = Forward<double>(planted.head, planted.starts, seed % 2 == 0 ? 16 : 0).estimate(gradient);
    SCOPED_TRACE("seed " + std::to_string(seed) + ", n " + std::to_string(n));
    const Gradients<double> exact = exact_gradient(planted.head, gradient);
    if (n == 1) {  // where dQ and dK are 0
      EXPECT_TRUE(std::max(got.query.norm(), got.key.norm()) <= 1e-12 * (1.0 + gradient.norm()));
      EXPECT_TRUE(reference::relative_error(got.value, exact.value) <= 1e-12);
    } else {
      EXPECT_TRUE(worst_error(got, exact) <= 1e-8) << worst_error(got, exact);
    }
  }
}

/// Recovered from scores with less and less noise, it tends to the exact gradient.
TEST(EstimatedGradient, ItsErrorFallsWithTheNoise) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    PlantedOptions options{.n = 200, .d = 8, .k = 3, .T = 6, .seed = seed};
    const double most = make_planted<double>(options).delta / (5.0 * static_cast<double>(options.T));
    Rng rng(seed);
    const Matrix<double> gradient = gaussian<double>(options.n, options.d, rng);
    double before = std::numeric_limits<double>::infinity();
    for (const double part : {0.9, 0.3, 0.09, 0.03, 1e-3, 1e-5, 1e-7}) {
      options.noise = part * most;
      const Planted<double> planted = make_planted<double>(options);
      const Recovery<double> found =
          recover<double>(HeadScores<double>(planted.head.view()),
                          {.k = options.k, .T = options.T, .delta = planted.delta, .eps = planted.noise});
      ASSERT_EQ(std::vector<Index>(found.basis.starts().begin(), found.basis.starts().end()), planted.starts);
      const Forward<double> forward(planted.head, planted.starts);
      const double error = worst_error(forward.estimate(gradient), exact_gradient(planted.head, gradient));
      EXPECT_TRUE(error < before) << "seed " << seed << ", noise " << part << " of the most: " << error << " after " << before;
      before = error;
    }
    EXPECT_TRUE(before <= 1e-5) << before;
  }
}

template <Real T>
void expect_equal(const Gradients<T>& one, const Gradients<T>& other) {
  EXPECT_EQ(one.query, other.query);
  EXPECT_EQ(one.key, other.key);
  EXPECT_EQ(one.value, other.value);
}

TEST(ConvBackward, DoesNotDependOnTheNumberOfThreads) {
  Rng rng(7);
  for (const Index block : {0, 32}) {
    for (const double spread : {1.0, 4.0}) {  // all rows of one size; rows added one by one
      const Planted<float> planted = make_planted<float>({.n = 700, .d = 12, .k = 6, .T = 4, .spread = spread, .seed = 7});
      const Matrix<float> gradient = gaussian<float>(700, 12, rng);
      const Forward<float> forward(planted.head, planted.starts, block);
      const Gradients<float> conv = forward.conv_gradient(gradient, {.threads = 1});
      const Gradients<float> estimate = forward.estimate(gradient, {.threads = 1});
      for (const int threads : {2, 5, 13}) {
        expect_equal(forward.conv_gradient(gradient, {.threads = threads}), conv);
        expect_equal(forward.estimate(gradient, {.threads = threads}), estimate);
      }
    }
  }
}

TEST(ConvBackward, RowsMayLieApart) {
  Rng rng(8);
  const Forward<double> forward(gaussian_head<double>(90, 3, 5, 8), {0, 10, 11, 50}, 16);
  const Matrix<double> gradient = gaussian<double>(90, 5, rng);
  const Padded<double> query(forward.head.query, 3);
  const Padded<double> key(forward.head.key, 1);
  const Padded<double> value(forward.head.value, 2);
  const Padded<double> output(forward.output, 1);
  const Padded<double> apart(gradient, 4);
  Padded<double> query_gradient(forward.head.query, 2);
  const HeadView<double> head{query.view(), key.view(), value.view(), forward.head.scale};
  Gradients<double> got = forward.none();
  const HeadGradients<double> targets{query_gradient.mutable_view(), mutable_view(got.key), mutable_view(got.value)};
  conv_forward_gradient<double>(head, forward.basis, *forward.plan, {output.view(), apart.view()}, targets);
  got.query = query_gradient.view();
  expect_equal(got, forward.conv_gradient(gradient));
  estimated_gradient<double>(head, *forward.plan, {output.view(), apart.view()}, targets);
  got.query = query_gradient.view();
  expect_equal(got, forward.estimate(gradient));
  EXPECT_TRUE(query_gradient.gaps_untouched());
}

TEST(ConvBackward, WhatDoesNotFitIsNamed) {
  const Forward<double> forward(gaussian_head<double>(10, 4, 3, 1), {0, 5});
  const Forward<double> longer(gaussian_head<double>(11, 4, 3, 1), {0, 5});
  const Matrix<double> wrong(9, 4);
  Gradients<double> target = forward.none();
  Gradients<double> bad(9, 4, 3);
  const auto conv = [&](const ConvBasis<double>& basis, const ConvAttentionPlan<double>& plan, const Matrix<double>& output,
                        HeadGradients<double> to) {
    return message_of<InvalidArgument>([&] {
      conv_forward_gradient<double>(forward.head.view(), basis, plan, {view(output), view(forward.output)}, to);
    });
  };
  const auto& [head, basis, plan, output] = forward;
  EXPECT_THAT(conv(basis, *plan, wrong, target.views()), HasSubstr("output is 9 x 4; it must be 10 x 3"));
  EXPECT_THAT(conv(basis, *plan, output, bad.views()), HasSubstr("query gradient is 9 x 4; it must be 10 x 4"));
  EXPECT_THAT(conv(basis, *longer.plan, output, target.views()), HasSubstr("the plan is for 11 tokens; the head has 10"));
  EXPECT_THAT(conv(basis.first(1), *plan, output, target.views()), HasSubstr("must be made from the weights of this basis"));
  EXPECT_THAT(conv(ConvBasis<double>(10), *plan, output, target.views()), HasSubstr("has size 10 and 0 segments"));
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                estimated_gradient<double>(head.view(), *plan, {view(output), view(wrong)}, target.views());
              }),
              HasSubstr("output gradient is 9 x 4; it must be 10 x 3"));
  const auto given = head_of_scores<double>(Matrix<double>::Zero(10, 10), head.value);
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                estimated_gradient<double>(given.view(), *plan, {view(output), view(output)}, target.views());
              }),
              HasSubstr("given by its scores"));
}

TEST(ConvBackward, IsCancelled) {
  std::stop_source stop;
  stop.request_stop();
  const Forward<float> forward(gaussian_head<float>(600, 8, 8, 1), {0, 300}, 32);
  EXPECT_THROW(forward.conv_gradient(forward.output, {.stop = stop.get_token()}), Cancelled);
  EXPECT_THROW(forward.estimate(forward.output, {.stop = stop.get_token()}), Cancelled);
}

}  // namespace
}  // namespace convbasis
