/// \file
/// One step of the engine, once, on a planted input: for instruction counts under callgrind (which collects inside measured()
/// alone) and for the peak memory of one way through.
///
///     convscope_bench_once STEP N K [--threads T]
///
/// prints "seconds S", "peak_bytes B" and, for conv, "rescued R".

#include "attention/exact_attention.h"
#include "basis/apply.h"
#include "basis/recover.h"
#include "core/memory.h"
#include "core/stopwatch.h"
#include "data/planted.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

/// What is measured, under a name that callgrind can be told.
extern "C" __attribute__((noinline)) void measured(const std::function<void()>& step) { step(); }

namespace {

using namespace convbasis;

/// Everything that a step may need, made before it.
template <Real T>
struct Bench {
  Bench(Index n, Index k, const RunContext& run_context, bool with_plan)
      : context(run_context), planted(make_planted<T>({.n = n, .k = k})), output(n, planted.head.value.cols()) {
    options.k = k;
    options.delta = planted.delta;
    options.eps = 0.0;
    if (with_plan) {
      basis = recovered();
      weights = weigh(basis);
      plan = std::make_unique<ConvAttentionPlan<T>>(weights, output.cols(), ApplyOptions{}, context);
    }
  }

  ConvBasis<T> recovered() const { return recover<T>(HeadScores<T>(planted.head.view()), options, context).basis; }
  std::shared_ptr<const ConvWeights<T>> weigh(const ConvBasis<T>& scores) const {
    return std::make_shared<const ConvWeights<T>>(exponentiate(scores, context));
  }
  void exact() {
    std::vector<double> lse(static_cast<std::size_t>(output.rows()));
    exact_attention<T>(planted.head.view(), mutable_view(output), lse, context);
  }
  void apply(const ConvAttentionPlan<T>& with) {
    rescued = with.apply(planted.head.view().value, mutable_view(output), context).rescued_rows();
  }
  void conv() { apply(ConvAttentionPlan<T>(weigh(recovered()), output.cols(), {}, context)); }

  RunContext context;
  Planted<T> planted;
  Matrix<T> output;
  RecoverOptions options;
  ConvBasis<T> basis;
  std::shared_ptr<const ConvWeights<T>> weights;
  std::unique_ptr<ConvAttentionPlan<T>> plan;
  Index rescued = -1;
};

template <Real T>
void run(const std::string& step, Index n, Index k, const RunContext& context) {
  Bench<T> bench(n, k, context, step != "exact" && step != "conv");
  const std::map<std::string, std::function<void()>> steps = {
      {"exact", [&] { bench.exact(); }},
      {"conv", [&] { bench.conv(); }},
      {"recover", [&] { bench.basis = bench.recovered(); }},
      {"exponentiate", [&] { bench.weights = bench.weigh(bench.basis); }},
      {"plan", [&] { ConvAttentionPlan<T>(bench.weights, bench.output.cols(), {}, context); }},
      {"apply", [&] { bench.apply(*bench.plan); }},
      {"apply_transpose",
       [&] { bench.plan->apply_transpose(bench.planted.head.view().value, mutable_view(bench.output), context); }},
      {"apply_full_length",
       [&] { apply_full_length<T>(*bench.weights, bench.planted.head.view().value, mutable_view(bench.output), context); }}};
  Stopwatch watch;
  measured(steps.at(step));
  std::printf("seconds %.6f\npeak_bytes %llu\n", watch.lap(), static_cast<unsigned long long>(peak_memory().value_or(0)));
  if (bench.rescued >= 0) std::printf("rescued %td\n", bench.rescued);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("One step of the engine, once");
  std::string step;
  std::string precision = "f32";
  Index n = 0;
  Index k = 0;
  RunContext context;
  app.add_option("STEP", step, "what is run")
      ->required()
      ->check(
          CLI::IsMember({"exact", "conv", "recover", "exponentiate", "plan", "apply", "apply_transpose", "apply_full_length"}));
  app.add_option("N", n, "tokens")->required()->check(CLI::PositiveNumber);
  app.add_option("K", k, "segments")->required()->check(CLI::PositiveNumber);
  app.add_option("--threads", context.threads, "threads, 0 for all");
  app.add_option("--precision", precision, "f32 or f64")->check(CLI::IsMember({"f32", "f64"}));
  CLI11_PARSE(app, argc, argv);
  try {
    precision == "f32" ? run<float>(step, n, k, context) : run<double>(step, n, k, context);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "convscope_bench_once: %s\n", error.what());
    return 1;
  }
}
