/// \file
/// Exact attention on request, for a script that takes turns with another library: every line "run" on standard input is answered
/// by the seconds of one run. Arguments: --n N --d D --precision f32|f64 --threads N.

#include "analysis/stopwatch.h"
#include "attention/exact_attention.h"
#include "data/planted.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

namespace {

using namespace convbasis;

template <Real T>
void answer(Index n, Index d, int threads) {
  const HeadTensors<T> head = make_random_head<T>(n, d, d, 1);
  Matrix<T> output(n, d);
  std::vector<double> lse(static_cast<std::size_t>(n));
  RunContext context;
  context.threads = threads;
  for (std::string line; std::getline(std::cin, line);) {
    if (line != "run") break;
    Stopwatch watch;
    exact_attention<T>(head.view(), mutable_view(output), lse, context);
    std::printf("%.9f\n", watch.lap());
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Exact causal attention, timed run by run");
  Index n = 1024;
  Index d = 64;
  int threads = 0;
  std::string precision = "f32";
  app.add_option("--n", n, "tokens")->check(CLI::PositiveNumber);
  app.add_option("--d", d, "head width")->check(CLI::PositiveNumber);
  app.add_option("--threads", threads, "threads, 0 for all");
  app.add_option("--precision", precision, "f32 or f64")->check(CLI::IsMember({"f32", "f64"}));
  CLI11_PARSE(app, argc, argv);
  if (precision == "f32") {
    answer<float>(n, d, threads);
  } else {
    answer<double>(n, d, threads);
  }
}
