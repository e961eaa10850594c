#include "cuda_host/bench_gpu.h"

#include "attention/exact_attention.h"
#include "basis/apply.h"
#include "basis/score_columns.h"
#include "core/stopwatch.h"
#include "support/inputs.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <limits>

namespace convbasis {
namespace {

using namespace testing_inputs;

constexpr Index width = 64, segments = 16;
/// Both sides work in float, each in an order of its own. Ten times what the small shapes are held to.
constexpr double tolerance = 1e-5;

double difference(const Matrix<float>& one, const Matrix<float>& other, double size) {
  return (one.cast<double>() - other.cast<double>()).norm() / size;
}
double difference(const Matrix<float>& one, const Matrix<float>& other) {
  return difference(one, other, other.cast<double>().norm());
}

double seconds_of(const std::function<void()>& work) {
  Stopwatch watch;
  work();
  return watch.lap();
}

double best_of_three(const std::function<void()>& work) {
  work();
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 3; ++i) best = std::min(best, seconds_of(work));
  return best;
}

/// Prints a row; false if the results differ by too much.
bool row(Index n, const char* verb, double gpu, double cpu, double error) {
  const bool fine = error <= tolerance;
  std::printf("| %td | %s | %.4g | %.4g | %.3g | %.1e%s |\n", n, verb, gpu, cpu, cpu / gpu, error, fine ? "" : " TOO MUCH");
  std::fflush(stdout);
  return fine;
}

struct Gradients {
  explicit Gradients(Index n) : query(n, width), key(n, width), value(n, width) {}
  HeadGradients<float> views() { return {mutable_view(query), mutable_view(key), mutable_view(value)}; }
  Matrix<float> query, key, value;
};

/// Of half-precision numbers, from float matrices: looking at them is part of the time.
bool time_halves(const Gpu& gpu, Index n) {
  HeadTensors<float> head = gaussian_head<float>(n, width, width, 17);
  for (Matrix<float>* one : {&head.query, &head.key, &head.value}) *one = one->cast<Eigen::half>().cast<float>();
  Matrix<float> output(n, width), expected(n, width);
  std::vector<double> lse(static_cast<std::size_t>(n)), expected_lse(lse);
  const double cpu =
      seconds_of([&] { exact_attention<float>(head.view(), mutable_view(expected), std::span<double>(expected_lse)); });
  const double seconds =
      best_of_three([&] { gpu.exact_attention(0, head.view(), mutable_view(output), lse, {}, GpuStorage::narrow); });
  return row(n, "exact attention of halves", seconds, cpu, difference(output, expected));
}

bool time_exact(const Gpu& gpu, Index n) {
  const HeadTensors<float> head = gaussian_head<float>(n, width, width, 17);
  Rng rng(5);
  const Matrix<float> gradient = gaussian<float>(n, width, rng);
  Matrix<float> output(n, width), expected(n, width);
  std::vector<double> lse(static_cast<std::size_t>(n)), expected_lse(lse);
  const double cpu_forward =
      seconds_of([&] { exact_attention<float>(head.view(), mutable_view(expected), std::span<double>(expected_lse)); });
  const double forward = best_of_three([&] { gpu.exact_attention(0, head.view(), mutable_view(output), lse); });
  bool fine = row(n, "exact attention", forward, cpu_forward, difference(output, expected));

  Gradients got(n), right(n);
  const BackwardInput<float> input{view(expected), expected_lse, view(gradient)};
  const double cpu_backward = seconds_of([&] { exact_backward<float>(head.view(), input, right.views()); });
  const double backward = best_of_three([&] { gpu.exact_backward(0, head.view(), input, got.views()); });
  const double error =
      std::max({difference(got.query, right.query), difference(got.key, right.key), difference(got.value, right.value)});
  return row(n, "exact backward", backward, cpu_backward, error) && fine;
}

std::vector<Index> even_starts(Index n) {
  std::vector<Index> starts;
  for (Index r = 0; r < segments; ++r) starts.push_back(r * n / segments);
  return starts;
}

bool time_score_columns(const Gpu& gpu, Index n) {
  const HeadTensors<float> head = gaussian_head<float>(n, width, 1, 17);
  const std::vector<Index> starts = even_starts(n);
  std::vector<std::vector<float>> got, right;
  const double cpu = seconds_of([&] { right = HeadScores<float>(head.view()).read_whole(starts, {}); });
  const double seconds = best_of_three([&] { got = gpu.score_columns(0, head.view(), starts); });
  double error = 0.0, size = 0.0;
  for (std::size_t r = 0; r < starts.size(); ++r) {
    for (std::size_t t = 0; t < right[r].size(); ++t) {
      error += std::pow(static_cast<double>(got[r].at(t)) - static_cast<double>(right[r][t]), 2);
      size += std::pow(static_cast<double>(right[r][t]), 2);
    }
  }
  return row(n, "score columns", seconds, cpu, std::sqrt(error / size));
}

bool time_apply(const Gpu& gpu, Index n) {
  Rng rng(23);
  const auto weights =
      std::make_shared<const ConvWeights<float>>(exponentiate(uniform_basis<float>(n, even_starts(n), rng, 1.0)));
  const Matrix<float> value = gaussian<float>(n, width, rng);
  const Matrix<float> sizes = value.cwiseAbs();  // an average of random V cancels; an FFT's error is relative to what it adds up
  Matrix<float> got(n, width), right(n, width), yardstick(n, width);
  Stopwatch watch;
  const ConvAttentionPlan<float> cpu_plan(weights, width);
  const double cpu_planning = watch.lap();
  const double planning = best_of_three([&] { gpu.plan(0, weights, width); });
  const GpuPlan plan = gpu.plan(0, weights, width);
  const double cpu = seconds_of([&] { cpu_plan.apply(view(value), mutable_view(right)); });
  const double seconds = best_of_three([&] { plan.apply(view(value), mutable_view(got)); });
  cpu_plan.apply(view(sizes), mutable_view(yardstick));
  std::printf("| %td | plan | %.4g | %.4g | %.3g | |\n", n, planning, cpu_planning, cpu_planning / planning);
  const bool fine = row(n, "apply", seconds, cpu, difference(got, right, yardstick.cast<double>().norm()));
  const double cpu_transposed = seconds_of([&] { cpu_plan.apply_transpose(view(value), mutable_view(right)); });
  const double transposed = best_of_three([&] { plan.apply_transpose(view(value), mutable_view(got)); });
  cpu_plan.apply_transpose(view(sizes), mutable_view(yardstick));
  return row(n, "apply transposed", transposed, cpu_transposed, difference(got, right, yardstick.cast<double>().norm())) && fine;
}

}  // namespace

bool print_times(const Gpu& gpu, std::span<const Index> sizes) {
  std::printf("| n | verb | GPU, s | CPU, s | CPU / GPU | difference |\n|---|---|---|---|---|---|\n");
  bool fine = true;
  for (const Index n : sizes) {
    fine = time_exact(gpu, n) && fine;
    fine = time_halves(gpu, n) && fine;
    fine = time_score_columns(gpu, n) && fine;
    fine = time_apply(gpu, n) && fine;
  }
  return fine;
}

}  // namespace convbasis
