// Training runs: their gradients against central differences of their own forward, their curves against each other, staleness.
#include "training/trainer.h"
#include "training/curves.h"

#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::HasSubstr;

using Problem = OneLayerProblem<double>;

std::shared_ptr<const Problem> problem_of(const OneLayerOptions& options) {
  return std::make_shared<const Problem>(plant_one_layer<double>(options));
}

/// A problem small enough for tests of many steps.
OneLayerOptions small(double noise = 0.0, std::uint64_t seed = 1) { return {.n = 96, .d = 8, .noise = noise, .seed = seed}; }

Dense scores_at(const Problem& problem, const Matrix<double>& x) { return problem.a1 * x * problem.a2.transpose(); }

double loss_of(const Problem& problem, const Dense& output) { return (output - problem.target).squaredNorm() / 2.0; }

double exact_loss(const Problem& problem, const Matrix<double>& x) {
  return loss_of(problem, reference::softmax(scores_at(problem, x)).probability * problem.value);
}

/// By the columns of the scores at the planted starts.
double conv_loss(const Problem& problem, const Matrix<double>& x) {
  const Dense scores = scores_at(problem, x);
  const Index n = scores.rows();
  std::vector<std::vector<double>> lags;
  for (const Index start : problem.starts) {
    lags.emplace_back();
    for (Index i = start; i < n; ++i) lags.back().push_back(scores(i, start));
  }
  return loss_of(problem, reference::segment_sum(ConvBasis<double>(n, problem.starts, lags), problem.value));
}

using Loss = double (*)(const Problem&, const Matrix<double>&);

/// The slope of the loss along a direction, by a central difference whose error is of its step's square.
double slope(Loss loss, const Problem& problem, const Matrix<double>& direction) {
  constexpr double step = 1e-5;
  return (loss(problem, problem.start + step * direction) - loss(problem, problem.start - step * direction)) / (2.0 * step);
}

/// The gradient of the first step, along single entries and along a random direction.
void check_slopes(Backward backward, Parameters parameters, Loss loss, const std::shared_ptr<const Problem>& problem, Rng& rng) {
  Trainer<double> trainer(problem, {.backward = backward, .parameters = parameters});
  const TrainingStep step = trainer.step();
  RC_ASSERT(std::abs(step.loss - loss(*problem, problem->start)) <= 1e-11 * (1.0 + step.loss));
  const Matrix<double>& gradient = trainer.gradient();
  const Index d = gradient.rows();
  const auto check = [&](Matrix<double> direction) {
    if (parameters == Parameters::tied) direction = tied(direction);
    const double expected = slope(loss, *problem, direction);
    RC_ASSERT(std::abs(expected - gradient.cwiseProduct(direction).sum()) <= 1e-6 * (gradient.norm() * direction.norm() + 1e-4));
  };
  check(gaussian<double>(d, d, rng));
  Matrix<double> entry = Matrix<double>::Zero(d, d);
  entry(*rc::gen::inRange<Index>(0, d), *rc::gen::inRange<Index>(0, d)) = 1.0;
  check(entry);
}

/// A problem that starts anywhere: at an X that does not commute with the rotation, when parameters are free.
std::shared_ptr<const Problem> random_problem(Parameters parameters, std::uint32_t seed, Rng& rng) {
  OneLayerOptions options;
  options.d = 2 * *rc::gen::inRange<Index>(1, 5);
  options.T = *rc::gen::inRange<Index>(1, 4);
  options.k = *rc::gen::inRange<Index>(1, 5);
  options.n = options.T + options.k - 1 + *rc::gen::inRange<Index>(0, 40);
  options.value_width = *rc::gen::inRange<Index>(0, 6);
  options.seed = seed;
  auto problem = plant_one_layer<double>(options);
  const Matrix<double> change = gaussian<double>(options.d, options.d, rng, 0.1);
  problem.start += parameters == Parameters::tied ? tied(change) : change;
  return std::make_shared<const Problem>(std::move(problem));
}

RC_GTEST_PROP(TrainerProperty, ExactGradientIsTheSlopeOfTheLoss, ()) {
  const auto parameters = *rc::gen::element(Parameters::tied, Parameters::free);
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  Rng rng(seed);
  check_slopes(Backward::exact, parameters, exact_loss, random_problem(parameters, seed, rng), rng);
}

RC_GTEST_PROP(TrainerProperty, ConvGradientIsTheSlopeOfTheConvForward, ()) {
  const auto parameters = *rc::gen::element(Parameters::tied, Parameters::free);
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  Rng rng(seed);
  const auto problem = random_problem(parameters, seed, rng);
  // Where X is not of the tied kind Recover may find other starts than those that were planted.
  const Matrix<double> query = problem->a1 * problem->start;
  const HeadView<double> head{view(query), view(problem->a2), view(problem->value), 1.0};
  Problem found = *problem;
  const auto starts = recover<double>(HeadScores<double>(head), problem->recover).basis;
  found.starts.assign(starts.starts().begin(), starts.starts().end());
  RC_PRE(!found.starts.empty() && found.starts.front() == 0);
  check_slopes(Backward::conv, parameters, conv_loss, std::make_shared<const Problem>(found), rng);
}

TEST(Trainer, AllGradientsAgreeOnPlantedDataWithTiedParameters) {
  const auto problem = problem_of(small());
  for (const Backward backward : all_backwards) {
    Trainer<double> trainer(problem, {.backward = backward});
    const TrainingStep step = trainer.step();
    EXPECT_LE(step.gradient_error, 1e-11) << name_of(backward);  // roundings of sums over n, which cancel by some factor
    EXPECT_EQ(trainer.gradient(), tied(trainer.gradient()));
    EXPECT_EQ(step.k_found, backward == Backward::exact ? 0 : 4);
    EXPECT_EQ(trainer.exact_gradient().rows(), 8);
  }
}

/// The line: over 200 steps no loss is further than 1 % from exact training's.
void expect_curves_within_a_percent(const OneLayerOptions& options, Optimiser optimiser, double tolerance) {
  const auto problem = problem_of(options);
  TrainingOptions training{.optimiser = optimiser, .compare = false};
  const auto exact = train(problem, training, 200);
  EXPECT_GE(exact.front().loss, 10.0 * exact.back().loss) << "there is something to train";
  for (const Backward backward : {Backward::estimate, Backward::conv}) {
    training.backward = backward;
    const double difference = largest_loss_difference(train(problem, training, 200), exact);
    EXPECT_LE(difference, tolerance) << name_of(backward) << ", " << name_of(optimiser);
  }
}

TEST(TrainingCurves, AreTheSameOnPlantedData) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    // Rounding alone: 1e-13 and less were seen, and Adam's losses fall by 10^5.
    expect_curves_within_a_percent(small(0.0, seed), Optimiser::gradient_descent, 1e-10);
    expect_curves_within_a_percent(small(0.0, seed), Optimiser::adam, 1e-9);
  }
}

TEST(TrainingCurves, AreWithinAPercentAtTheDefaultSize) {
  expect_curves_within_a_percent({}, Optimiser::gradient_descent, 1e-10);
}

TEST(TrainingCurves, AreWithinAPercentUnderSomeNoise) {
  expect_curves_within_a_percent({.n = 256, .noise = 1e-3}, Optimiser::gradient_descent, 0.01);
}

TEST(TrainingCurves, LeaveEachOtherWhereXMayBecomeAnything) {
  const auto problem = problem_of(small());
  const auto run = train<double>(problem, {.backward = Backward::conv, .parameters = Parameters::free}, 5);
  EXPECT_LE(run.front().gradient_norm, 1e9);
  EXPECT_LE(std::abs(run.front().loss / run.front().exact_loss - 1.0), 1e-12) << "X_0 has a conv basis";
  EXPECT_GE(std::abs(run.back().loss / run.back().exact_loss - 1.0), 0.01) << "what is reached from it has none";
}

/// The largest relative difference of exact losses along the two runs.
double drift(const std::vector<TrainingStep>& run, const std::vector<TrainingStep>& reference) {
  double largest = 0.0;
  for (std::size_t t = 0; t < run.size(); ++t) {
    const double difference = std::abs(run[t].exact_loss - reference[t].exact_loss) / reference[t].exact_loss;
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

TEST(Staleness, OfStartsCostsNothingOnPlantedData) {
  const auto problem = problem_of(small());
  TrainingOptions options{.backward = Backward::conv};
  const auto fresh = train(problem, options, 60);
  options.recover_every = 20;
  const auto stale = train(problem, options, 60);
  EXPECT_LE(drift(stale, fresh), 1e-10);
  for (std::size_t t = 0; t < stale.size(); ++t) EXPECT_EQ(stale[t].recovered, t % 20 == 0);
}

TEST(Staleness, OfTheWholeBasisCosts) {
  const auto problem = problem_of(small());
  TrainingOptions options{.backward = Backward::conv, .between = Between::basis};
  const auto fresh = train(problem, options, 60);
  EXPECT_LE(drift(fresh, train(problem, {.backward = Backward::conv}, 60)), 0.0) << "recovered in every step";
  options.recover_every = 20;
  const auto stale = train(problem, options, 60);
  EXPECT_GE(drift(stale, fresh), 0.1);
  for (std::size_t t = 0; t < stale.size(); ++t) EXPECT_EQ(stale[t].loss, stale[t / 20 * 20].loss) << "it stands still";
}

TEST(Trainer, DoesNotDependOnTheNumberOfThreads) {
  const auto problem = problem_of({.n = 300, .d = 8});
  for (const Backward backward : all_backwards) {
    for (const Optimiser optimiser : {Optimiser::gradient_descent, Optimiser::adam}) {
      Trainer<double> one(problem, {.backward = backward, .optimiser = optimiser});
      Trainer<double> many(problem, {.backward = backward, .optimiser = optimiser});
      for (int step = 0; step < 8; ++step) {
        const TrainingStep first = one.step({.threads = 1});
        const TrainingStep second = many.step({.threads = 2 + step});
        EXPECT_EQ(first.loss, second.loss);
        EXPECT_EQ(one.gradient(), many.gradient());
        EXPECT_EQ(one.parameters(), many.parameters());
      }
    }
  }
}

TEST(Trainer, LongerThanItsBlocks) {
  const auto problem = problem_of({.n = 2100, .d = 4, .k = 3});
  Trainer<double> one(problem, {.backward = Backward::conv, .parameters = Parameters::free});
  Trainer<double> many(problem, {.backward = Backward::conv, .parameters = Parameters::free});
  const TrainingStep step = one.step({.threads = 1});
  many.step({.threads = 3});
  EXPECT_EQ(one.gradient(), many.gradient());
  EXPECT_NEAR(step.loss, step.exact_loss, 1e-11 * step.loss);
  // The exact gradient of the scores in one piece, by the dense formula.
  const Dense scores = scores_at(*problem, problem->start);
  const Dense probability = reference::softmax(scores).probability;
  const Dense output = probability * problem->value;
  const Dense residual = output - problem->target;
  Dense change = residual * problem->value.transpose();
  for (Index i = 0; i < change.rows(); ++i) change.row(i).array() -= residual.row(i).dot(output.row(i));
  change.array() *= probability.array();
  const Dense expected = problem->a1.transpose() * change * problem->a2;
  EXPECT_LE(reference::relative_error(one.exact_gradient(), expected), 1e-10);
}

TEST(Trainer, SinglePrecisionStaysClose) {
  const auto problem = std::make_shared<const OneLayerProblem<float>>(plant_one_layer<float>(small()));
  const auto exact = train<float>(problem, {.compare = false}, 200);
  for (const Backward backward : {Backward::estimate, Backward::conv}) {
    EXPECT_LE(largest_loss_difference(train<float>(problem, {.backward = backward, .compare = false}, 200), exact), 0.01);
  }
}

TEST(Trainer, IsAsItWasAfterACancelledStep) {
  const auto problem = problem_of(small());
  std::stop_source stop;
  stop.request_stop();
  for (const Backward backward : all_backwards) {
    Trainer<double> undisturbed(problem, {.backward = backward, .optimiser = Optimiser::adam, .recover_every = 2});
    Trainer<double> disturbed(problem, {.backward = backward, .optimiser = Optimiser::adam, .recover_every = 2});
    for (int step = 0; step < 4; ++step) {
      EXPECT_THROW(disturbed.step({.stop = stop.get_token()}), Cancelled);
      EXPECT_EQ(disturbed.steps_taken(), step);
      EXPECT_EQ(disturbed.step().loss, undisturbed.step().loss);
      EXPECT_EQ(disturbed.parameters(), undisturbed.parameters());
    }
  }
}

TEST(Trainer, MayBeCancelledAnywhereInAStep) {
  const auto problem = problem_of(small());
  for (const Backward backward : all_backwards) {
    Trainer<double> undisturbed(problem, {.backward = backward});
    undisturbed.step();
    const double expected = undisturbed.step().loss;
    Trainer<double> disturbed(problem, {.backward = backward});
    disturbed.step();
    int cancelled = 0;
    for (bool done = false; !done; ++cancelled) {
      std::stop_source stop;
      int reports = 0;
      const RunContext context{.threads = 1, .stop = stop.get_token(), .progress = [&](std::string_view, double) {
                                 if (++reports > cancelled) stop.request_stop();
                               }};
      try {
        EXPECT_EQ(disturbed.step(context).loss, expected);
        done = true;
      } catch (const Cancelled&) {
        EXPECT_EQ(disturbed.steps_taken(), 1);
      }
    }
    EXPECT_GE(cancelled, 3) << "it was stopped at some places";
    EXPECT_EQ(disturbed.parameters(), undisturbed.parameters());
    EXPECT_EQ(disturbed.gradient(), undisturbed.gradient());
  }
}

TEST(Trainer, WithoutComparisonTheSameRunAndNoErrors) {
  const auto problem = problem_of(small());
  Trainer<double> compared(problem, {.backward = Backward::conv});
  Trainer<double> alone(problem, {.backward = Backward::conv, .compare = false});
  compared.step();
  const TrainingStep step = alone.step();
  EXPECT_EQ(compared.parameters(), alone.parameters());
  EXPECT_TRUE(std::isnan(step.exact_loss));
  EXPECT_TRUE(std::isnan(step.gradient_error));
  EXPECT_EQ(alone.exact_gradient().size(), 0);
}

TEST(Trainer, FillsInItsDefaults) {
  const auto problem = problem_of(small());
  EXPECT_EQ(Trainer<double>(problem, {}).options().rate, 0.8 / (96.0 * 8.0));
  EXPECT_EQ(Trainer<double>(problem, {.optimiser = Optimiser::adam}).options().rate, 0.01);
  EXPECT_EQ(Trainer<double>(problem, {}).options().recover, problem->recover);
}

TEST(Trainer, BadOptionsAreNamed) {
  const auto problem = problem_of(small());
  const auto message = [&](const TrainingOptions& options) {
    return message_of<InvalidArgument>([&] { Trainer<double>(problem, options); });
  };
  EXPECT_THAT(message({.rate = -0.5}), HasSubstr("rate is -0.5"));
  EXPECT_THAT(message({.rate = std::numeric_limits<double>::infinity()}), HasSubstr("rate is inf"));
  EXPECT_THAT(message({.recover_every = 0}), HasSubstr("recover_every is 0"));
  EXPECT_THAT(message({.recover = RecoverOptions{.k = 97}}), HasSubstr("k is 97"));
  EXPECT_THAT(message_of<InvalidArgument>([] { Trainer<double>(nullptr, {}); }), HasSubstr("no one-layer problem"));
  EXPECT_THAT(message_of<InvalidArgument>([] { between_of("nothing"); }), HasSubstr("starts or basis"));
  EXPECT_THAT(message_of<InvalidArgument>([] { parameters_of("bound"); }), HasSubstr("tied or free"));
  EXPECT_THAT(message_of<InvalidArgument>([] { backward_of("paper"); }), HasSubstr("exact, estimate or conv"));
}

TEST(Trainer, SaysWhenARateIsFarTooLarge) {
  const auto problem = problem_of(small());
  for (const Backward backward : all_backwards) {
    Trainer<double> trainer(problem, {.backward = backward, .rate = 1e308});
    EXPECT_THAT(message_of<InvalidArgument>([&] {
                  for (int step = 0; step < 10; ++step) trainer.step();
                }),
                HasSubstr("rate is 1e+308"));
    EXPECT_TRUE(trainer.parameters().allFinite());
  }
}

TEST(Trainer, NamesReadBack) {
  for (const Backward backward : all_backwards) EXPECT_EQ(backward_of(name_of(backward)), backward);
  for (const Between between : {Between::starts, Between::basis}) EXPECT_EQ(between_of(name_of(between)), between);
  for (const Parameters kind : {Parameters::tied, Parameters::free}) EXPECT_EQ(parameters_of(name_of(kind)), kind);
}

}  // namespace
}  // namespace convbasis
