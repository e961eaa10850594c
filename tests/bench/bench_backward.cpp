/// \file
/// The two backward passes by a conv basis beside that of exact attention, on planted inputs.
///
///     convscope_bench_backward [--n LIST] [--d D] [--k K] [--threads T] [--most-exact N] [--most-estimate N]
///     convscope_bench_backward --errors [--n N] [--d D] [--k K] [--seeds S]
///
/// The first prints a table of seconds in float32, each the best of a few runs; what is longer than --most-exact or
/// --most-estimate is not run but extrapolated, and marked by "~". The second prints, as CSV, how far both gradients are from the
/// exact one, in float64, for noise on the scores of different sizes: tests/bench/plot_gradient_error.py draws it.

#include "attention/exact_attention.h"
#include "attention/exact_backward.h"
#include "basis/apply.h"
#include "basis/conv_backward.h"
#include "basis/recover.h"
#include "core/stopwatch.h"
#include "data/planted.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

namespace {

using namespace convbasis;

struct Options {
  std::vector<Index> n;
  Index d = 64;
  Index k = 16;
  Index most_exact = 16384;
  Index most_estimate = 131072;
  int seeds = 5;
  RunContext context;
};

/// A planted head, a random gradient by its output, and room for the gradients.
template <Real T>
struct Problem {
  Problem(const PlantedOptions& options, const RunContext& run_context)
      : context(run_context),
        planted(make_planted<T>(options)),
        recover_options{.k = options.k, .T = options.T, .delta = planted.delta, .eps = planted.noise},
        output_gradient(options.n, planted.head.value.cols()),
        output(output_gradient),
        query(planted.head.query),
        key(query),
        value(output_gradient),
        lse(static_cast<std::size_t>(options.n)) {
    std::mt19937_64 rng(options.seed);
    std::normal_distribution<double> normal;
    output_gradient = Matrix<T>::NullaryExpr(output.rows(), output.cols(), [&] { return static_cast<T>(normal(rng)); });
  }
  HeadGradients<T> gradients() { return {mutable_view(query), mutable_view(key), mutable_view(value)}; }

  void exact_forward() { exact_attention<T>(planted.head.view(), mutable_view(output), lse, context); }
  void exact() { exact_backward<T>(planted.head.view(), {view(output), lse, view(output_gradient)}, gradients(), context); }
  void conv_forward() {
    basis = recover<T>(HeadScores<T>(planted.head.view()), recover_options, context).basis;
    auto weights = std::make_shared<const ConvWeights<T>>(exponentiate(basis, context));
    plan = std::make_unique<ConvAttentionPlan<T>>(std::move(weights), output.cols(), ApplyOptions{}, context);
    plan->apply(planted.head.view().value, mutable_view(output), context);
  }
  void conv() {
    conv_forward_gradient<T>(planted.head.view(), basis, *plan, {view(output), view(output_gradient)}, gradients(), context);
  }
  void estimate() {
    estimated_gradient<T>(planted.head.view(), *plan, {view(output), view(output_gradient)}, gradients(), context);
  }

  RunContext context;
  Planted<T> planted;
  RecoverOptions recover_options;
  Matrix<T> output_gradient, output, query, key, value;
  std::vector<double> lse;
  ConvBasis<T> basis;
  std::unique_ptr<ConvAttentionPlan<T>> plan;
};

/// The best of up to five runs, of fewer when they take long.
template <class Step>
double seconds_of(const Step& step) {
  constexpr double enough = 1.0;
  double best = 0.0;
  double total = 0.0;
  for (int run = 0; run < 5 && (run == 0 || total < enough); ++run) {
    Stopwatch watch;
    step();
    const double seconds = watch.lap();
    best = run == 0 ? seconds : std::min(best, seconds);
    total += seconds;
  }
  return best;
}

struct Timing {
  double n, seconds;
  bool extrapolated = false;
  std::string text() const { return (extrapolated ? "~" : "") + fmt::format("{:.3g}", seconds); }
};

/// From the longest that was measured, by the power of n given.
Timing extrapolated(const std::vector<Timing>& measured, Index n, double power) {
  if (measured.empty()) return {static_cast<double>(n), std::nan(""), true};
  const Timing& last = measured.back();
  return {static_cast<double>(n), last.seconds * std::pow(static_cast<double>(n) / last.n, power), true};
}

/// Where two curves cross, straight lines between their points in log-log; 0 when they do not.
double crossover(const std::vector<Timing>& rising, const std::vector<Timing>& other) {
  for (std::size_t i = 1; i < rising.size(); ++i) {
    const double before = std::log(rising[i - 1].seconds / other[i - 1].seconds);
    const double after = std::log(rising[i].seconds / other[i].seconds);
    if (before < 0.0 && after >= 0.0) return rising[i].n * std::pow(rising[i - 1].n / rising[i].n, after / (after - before));
  }
  return 0.0;
}

void print_times(const Options& options) {
  std::printf("d = %td, k = %td, float32, planted inputs; ~: extrapolated\n\n", options.d, options.k);
  std::printf(
      "| n | exact backward s | conv gradient s | with recover, plan and forward s | estimate s | exact : conv | "
      "exact : conv, all of it | exact : estimate |\n|---|---|---|---|---|---|---|---|\n");
  std::vector<Timing> all_exact;
  std::vector<Timing> all_estimates;
  for (const Index n : options.n) {
    Problem<float> problem({.n = n, .d = options.d, .k = options.k}, options.context);
    const auto length = static_cast<double>(n);
    Timing exact = extrapolated(all_exact, n, 2.0);
    if (n <= options.most_exact) {
      problem.exact_forward();
      exact = {length, seconds_of([&] { problem.exact(); })};
    }
    problem.conv_forward();
    const double conv = seconds_of([&] { problem.conv(); });
    const double whole = seconds_of([&] {
      problem.conv_forward();
      problem.conv();
    });
    Timing estimate = extrapolated(all_estimates, n, 1.2);
    if (n <= options.most_estimate) estimate = {length, seconds_of([&] { problem.estimate(); })};
    all_exact.push_back(exact);
    all_estimates.push_back(estimate);
    std::printf("| %td | %s | %.3g | %.3g | %s | %.1f | %.1f | %.2f |\n", n, exact.text().c_str(), conv, whole,
                estimate.text().c_str(), exact.seconds / conv, exact.seconds / whole, exact.seconds / estimate.seconds);
    std::fflush(stdout);
  }
  if (const double n = crossover(all_exact, all_estimates); n > 0.0) {
    std::printf("\nThe estimate is faster than exact backward from n = %.3g on.\n", n);
  } else {
    std::printf("\nThe estimate and exact backward do not cross within these n.\n");
  }
}

/// Relative errors (Frobenius norm) of dQ, dK and dV.
struct Errors {
  double query, key, value;
};

Errors median(std::vector<Errors> all) {
  const auto middle = [&](double Errors::*member) {
    std::ranges::nth_element(all, all.begin() + std::ssize(all) / 2, {}, member);
    return all[all.size() / 2].*member;
  };
  return {middle(&Errors::query), middle(&Errors::key), middle(&Errors::value)};
}

/// Median errors over some seeds for noise of `part` of the most that Recover is promised to stand.
void print_errors_at(double part, const Options& options) {
  std::vector<Errors> estimates;
  std::vector<Errors> convs;
  double noise = 0.0;
  for (int seed = 1; seed <= options.seeds; ++seed) {
    PlantedOptions planted{.n = options.n.front(), .d = options.d, .k = options.k, .seed = static_cast<std::uint64_t>(seed)};
    const double most = make_planted_scores<double>(planted).delta / (5.0 * static_cast<double>(planted.T));
    planted.noise = part * most;
    noise += planted.noise / static_cast<double>(options.seeds);
    Problem<double> problem(planted, options.context);
    problem.exact_forward();
    problem.exact();
    const Matrix<double> query = problem.query;
    const Matrix<double> key = problem.key;
    const Matrix<double> value = problem.value;
    const auto errors = [&]() -> Errors {
      return {(problem.query - query).norm() / query.norm(), (problem.key - key).norm() / key.norm(),
              (problem.value - value).norm() / value.norm()};
    };
    problem.conv_forward();
    problem.estimate();
    estimates.push_back(errors());
    problem.conv();
    convs.push_back(errors());
  }
  const auto print = [&](const char* method, const Errors& errors) {
    std::printf("%s,%.6g,%.6g,%.6g,%.6g\n", method, noise, errors.query, errors.key, errors.value);
    std::fflush(stdout);
  };
  print("estimate", median(estimates));
  print("conv", median(convs));
}

void print_errors(const Options& options) {
  std::printf("method,eps,query,key,value\n");
  for (const double part : {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.9}) print_errors_at(part, options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The backward passes by a conv basis, beside the exact one");
  Options options;
  bool errors = false;
  app.add_flag("--errors", errors, "errors against the noise of the scores, as CSV, instead of times");
  app.add_option("--n", options.n, "tokens, ascending, separated by commas")->delimiter(',')->check(CLI::PositiveNumber);
  CLI::Option* width = app.add_option("--d", options.d, "head width, even")->check(CLI::PositiveNumber);
  CLI::Option* segments = app.add_option("--k", options.k, "segments")->check(CLI::PositiveNumber);
  app.add_option("--most-exact", options.most_exact, "longest input for exact backward")->check(CLI::PositiveNumber);
  app.add_option("--most-estimate", options.most_estimate, "longest input for the estimate")->check(CLI::PositiveNumber);
  app.add_option("--seeds", options.seeds, "inputs whose median error is taken")->check(CLI::PositiveNumber);
  app.add_option("--threads", options.context.threads, "threads, 0 for all");
  CLI11_PARSE(app, argc, argv);
  if (errors && width->empty()) options.d = 16;
  if (errors && segments->empty()) options.k = 4;
  if (options.n.empty()) options.n = errors ? std::vector<Index>{1024} : std::vector<Index>{1024, 4096, 16384, 65536, 131072};
  try {
    errors ? print_errors(options) : print_times(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "convscope_bench_backward: %s\n", error.what());
    return 1;
  }
}
