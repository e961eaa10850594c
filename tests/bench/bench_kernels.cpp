/// \file
/// Google Benchmark of the engine's main steps: exact attention, recover, plan and apply, with achieved GF/s where an operation
/// has a natural count, and the machine's multiply-add peak to hold them against.

#include "attention/exact_attention.h"
#include "attention/kernels.h"
#include "basis/apply.h"
#include "basis/apply_layout.h"
#include "basis/recover.h"
#include "core/fft.h"
#include "core/threads.h"
#include "data/planted.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <complex>
#include <memory>
#include <vector>

namespace {

using namespace convbasis;

void set_gflops(benchmark::State& state, double operations) {
  state.counters["GF/s"] = benchmark::Counter(operations * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

double fft_operations(Index block) { return 5.0 * static_cast<double>(block) * std::log2(static_cast<double>(block)); }

/// Multiply-adds on registers, on every thread: the peak that a kernel can be held against.
template <Real T>
void fma_peak(benchmark::State& state) {
  const RunContext context;
  const int threads = thread_count(context);
  constexpr Index repeats = 3'000'000;
  for (auto _ : state) {
    parallel_for(context, threads, [&](Index, int) { benchmark::DoNotOptimize(kernels::multiply_adds<T>(repeats)); });
  }
  set_gflops(state,
             2.0 * static_cast<double>(threads) * repeats * static_cast<double>(kernels::multiply_adds_of_one_repeat<T>()));
}

/// Complex FFTs of one length on every thread, on arrays that stay in the cache: what apply's transforms can be held against.
/// Operations by the usual count, 5 B log2 B.
template <Real T>
void fft_peak(benchmark::State& state) {
  const RunContext context;
  const int threads = thread_count(context);
  const Index block = state.range(0);
  const ComplexFft<T> fft(block);
  const auto repeats = static_cast<int>((Index{1} << 24) / block);
  for (auto _ : state) {
    parallel_for(context, threads, [&](Index, int) {
      AlignedVector<std::complex<T>> in(static_cast<std::size_t>(block), std::complex<T>(1, 2));
      AlignedVector<std::complex<T>> out(in.size());
      for (int i = 0; i < repeats; ++i) {
        fft.forward(in.data(), out.data());
        benchmark::DoNotOptimize(out.data());
      }
    });
  }
  set_gflops(state, threads * static_cast<double>(repeats) * fft_operations(block));
}

template <Real T>
void exact(benchmark::State& state) {
  const Index n = state.range(0);
  const Index d = state.range(1);
  const HeadTensors<T> head = make_random_head<T>(n, d, d, 1);
  Matrix<T> output(n, d);
  std::vector<double> lse(static_cast<std::size_t>(n));
  for (auto _ : state) exact_attention<T>(head.view(), mutable_view(output), lse);
  set_gflops(state,
             2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(d));  // 4 n^2 d, half of it masked
}

/// A planted head with k segments and what recover makes of it.
struct PlantedCase {
  Planted<float> planted;
  RecoverOptions options;

  PlantedCase(Index n, Index k) : planted(make_planted<float>({.n = n, .k = k})) {
    options.k = k;
    options.delta = planted.delta;
    options.eps = 0.0;
  }
  Recovery<float> recovered() const { return recover<float>(HeadScores<float>(planted.head.view()), options); }
};

void recover_planted(benchmark::State& state) {
  const PlantedCase input(state.range(0), state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(input.recovered());
}

void plan(benchmark::State& state) {
  const PlantedCase input(state.range(0), state.range(1));
  const auto weights = std::make_shared<const ConvWeights<float>>(exponentiate(input.recovered().basis));
  for (auto _ : state) benchmark::DoNotOptimize(ConvAttentionPlan<float>(weights, 64));
}

/// The operations of apply: transforms in and out, and complex multiply-adds between them (8 operations each).
void set_operations(benchmark::State& state, const ApplyLayout& layout, Index columns) {
  double products = 0.0;
  for (const Piece& piece : layout.pieces) products += static_cast<double>((layout.blocks() - piece.block) * layout.block);
  const auto transforms = static_cast<double>(std::ssize(layout.pieces) + layout.blocks());
  const auto d = static_cast<double>(columns);
  state.counters["block"] = static_cast<double>(layout.block);
  state.counters["fft_gflop"] = layout.block > 0 ? 1e-9 * transforms * d * fft_operations(layout.block) : 0.0;
  state.counters["product_gflop"] = 8e-9 * products * d;
}

void apply(benchmark::State& state) {
  const PlantedCase input(state.range(0), state.range(1));
  const auto weights = std::make_shared<const ConvWeights<float>>(exponentiate(input.recovered().basis));
  const ConvAttentionPlan<float> conv(weights, 64);
  Matrix<float> output(state.range(0), 64);
  for (auto _ : state) {
    const ApplyReport report = conv.apply(input.planted.head.view().value, mutable_view(output));
    state.counters["rescued"] = static_cast<double>(report.rescued_rows());
    state.SetLabel(report.path);
  }
  set_operations(state, choose_layout(state.range(0), weights->weights.starts(), 64, 0), 64);
}

}  // namespace

BENCHMARK(fma_peak<float>)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(fma_peak<double>)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(fft_peak<float>)->RangeMultiplier(4)->Range(64, 16384)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(exact<float>)
    ->ArgsProduct({{256, 1024, 4096, 8192, 16384}, {64}})
    ->Args({4096, 128})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(exact<double>)->Args({1024, 64})->Args({4096, 64})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(recover_planted)->ArgsProduct({{4096, 32768}, {1, 16, 64}})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(plan)->ArgsProduct({{4096, 32768}, {1, 16, 64}})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(apply)->ArgsProduct({{1024, 4096, 8192, 32768, 262144}, {1, 16, 64}})->Unit(benchmark::kMillisecond)->UseRealTime();
