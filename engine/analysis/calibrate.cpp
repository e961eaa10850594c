#include "analysis/calibrate.h"

#include "analysis/planned_attention.h"
#include "attention/exact_attention.h"
#include "basis/block_transform.h"
#include "basis/direct_product.h"
#include "basis/partitioned.h"
#include "basis/spectra.h"
#include "core/stopwatch.h"
#include "core/threads.h"
#include "data/planted.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

namespace convbasis {
namespace {

constexpr Index width = 64;  // the usual width of a head

/// The shortest of several runs, nanoseconds: at least three, and for a while.
template <class Run>
double least_ns(const RunContext& context, Run run) {
  constexpr double enough = 0.12;  // seconds
  double least = std::numeric_limits<double>::infinity();
  double total = 0.0;
  for (int runs = 0; runs < 3 || (total < enough && runs < 400); ++runs) {
    context.check();
    Stopwatch watch;
    run();
    const double seconds = watch.lap();
    least = std::min(least, seconds);
    total += seconds;
  }
  return 1e9 * least;
}

/// The middle of several runs, nanoseconds, as they come in real use: each after something else, on cold caches.
template <class Between, class Run>
double usual_ns(const RunContext& context, Between between, Run run) {
  constexpr std::size_t runs = 25;
  std::vector<double> seconds;
  while (seconds.size() < runs) {
    context.check();
    between();
    Stopwatch watch;
    run();
    seconds.push_back(watch.lap());
  }
  std::nth_element(seconds.begin(), seconds.begin() + runs / 2, seconds.end());
  return 1e9 * seconds[runs / 2];
}

/// Blocks of one group of channels there and back again, through spectra that fill more than the second-level cache.
double transform_ns(Index block, const RunContext& context) {
  constexpr Index channels = channels_of_a_group;
  const Index blocks = std::max<Index>(1, (Index{1} << 15) / block);
  const Index n = blocks * block;
  const Matrix<float> value = Matrix<float>::Constant(n, width, 0.5F);
  Matrix<float> output(n, width);
  const BlockTransform<float> transform(block);
  Scratch<std::complex<float>> scratch(transform.scratch_size(channels));
  SpectrumBank<float> bank(block, blocks, channels);
  const double ns = least_ns(context, [&] {
    for (Index p = 0; p < blocks; ++p) {
      transform.forward(view(value), {p, p * block, (p + 1) * block}, 0, channels, scratch.data(), bank, p);
    }
    for (Index p = 0; p < blocks; ++p) {
      transform.inverse(bank, p, {p, p * block, (p + 1) * block}, 0, channels, scratch.data(), {}, mutable_view(output));
    }
  });
  return ns / static_cast<double>(n * channels);
}

/// Spectra of random-looking numbers; zeros or denormals would be no measure.
SpectrumBank<float> filled_bank(Index bins, Index count, Index channels) {
  SpectrumBank<float> bank(bins, count, channels);
  const std::vector<std::complex<float>> values(static_cast<std::size_t>(bins), {0.5F, 0.25F});
  for (Index s = 0; s < count; ++s) {
    for (Index c = 0; c < channels; ++c) bank.store(s, c, values.data());
  }
  return bank;
}

/// Sums over so many bytes of spectra a chunk, half of them lag spectra, sixteen outputs at a time.
double spectral_ns(double bytes, const RunContext& context) {
  constexpr Index channels = channels_at_once;
  constexpr Index bins = 4 * chunk_width<float>;
  constexpr Index outputs = 16;
  constexpr double chunk_bytes = 64.0;
  const auto terms = static_cast<Index>(bytes / (2.0 * channels * chunk_bytes));
  const SpectrumBank<float> lags = filled_bank(bins, channels * terms + outputs, 1);
  const SpectrumBank<float> inputs = filled_bank(bins, terms, channels);
  SpectrumBank<float> result(bins, outputs, channels);
  std::vector<Index> index;  // the lag blocks of a segment lie side by side and are gone through backwards
  for (Index i = 0; i < terms; ++i) index.push_back(channels * (terms - 1 - i));
  std::vector<SpectrumSum> sums;
  for (Index s = 0; s < outputs; ++s) sums.push_back({terms, index.data(), s, 0});
  const double ns = least_ns(context, [&] { accumulate_products<float>(sums, channels, false, lags, inputs, result); });
  return ns / static_cast<double>(outputs * terms * channels * bins);
}

double direct_ns(const RunContext& one) {
  constexpr Index n = 4096;
  constexpr Index segments = 4;
  constexpr Index columns = 16;
  std::vector<Index> starts;
  std::vector<std::vector<float>> lags;
  for (Index r = 0; r <= segments; ++r) {
    starts.push_back(r * columns);
    lags.emplace_back(static_cast<std::size_t>(n - starts.back()), 0.5F);
  }
  const ConvBasis<float> basis(n, std::move(starts), std::move(lags));
  const std::vector<Index> chosen = {0, 1, 2, 3};
  const DirectProduct<float> product(basis, chosen);
  const Matrix<float> value = Matrix<float>::Constant(n, width, 0.5F);
  Matrix<float> output = Matrix<float>::Zero(n, width);
  const double ns = least_ns(one, [&] { product.add(basis, view(value), {}, mutable_view(output), one); });
  return ns / static_cast<double>(segments * columns * width * (n - segments * columns / 2));
}

template <Real T>
double exact_ns(Index n, Index d, const RunContext& context) {
  const HeadTensors<T> head = make_random_head<T>(n, d, d, 1);
  Matrix<T> output(n, d);
  std::vector<double> lse(static_cast<std::size_t>(n));
  return least_ns(context, [&] { exact_attention<T>(head.view(), mutable_view(output), lse, context); });
}

/// One input, and the steps of the conv way on it.
template <Real T>
struct ConvSteps {
  RunContext context;
  Planted<T> planted;
  RecoverOptions options;
  Matrix<T> output;

  ConvSteps(Index n, Index k, const RunContext& where)
      : context(where), planted(make_planted<T>({.n = n, .d = width, .k = k})), options{.k = k, .T = 8}, output(n, width) {
    options.delta = planted.delta;
    options.eps = 0.0;
  }

  Recovery<T> recovered() const { return recover<T>(HeadScores<T>(planted.head.view()), options, context); }
  double recover_ns() const {
    return least_ns(context, [&] { recovered(); });
  }
  double exponential_ns() const {
    const Recovery<T> recovery = recovered();
    return least_ns(context, [&] { exponentiate(recovery.basis, context); });
  }
  void whole() {
    auto weights = std::make_shared<const ConvWeights<T>>(exponentiate(recovered().basis, context));
    ConvAttentionPlan<T>(std::move(weights), width, {}, context).apply(planted.head.view().value, mutable_view(output), context);
  }
  void exact() {
    std::vector<double> lse(static_cast<std::size_t>(output.rows()));
    exact_attention<T>(planted.head.view(), mutable_view(output), lse, context);
  }
  double whole_least_ns() {
    return least_ns(context, [&] { whole(); });
  }
  /// Expected by what is measured so far.
  double expected_ns(const CostModel& model) const {
    return expected_recover_ns(shape(), planted.starts, options.T, model) + expected_apply_ns(shape(), planted.starts, model);
  }
  AttentionShape shape() const {
    return {planted.head.view().size(), width, width, thread_count(context), std::same_as<T, double>};
  }
};

void measure_exact(CostModel& model, const RunContext& context, const RunContext& one) {
  constexpr Index n = 1536;
  constexpr Index wide = 3 * width;
  model.exact_call = exact_ns<float>(32, width, context);
  const double scores =
      expected_exact_ns({.n = n, .width = 1, .value_width = 0}, {.exact = 1.0, .exact_score = 0.0, .exact_call = 0.0});
  const double usual = exact_ns<float>(n, width, one) / scores;
  model.exact = (exact_ns<float>(n, wide, one) / scores - usual) / static_cast<double>(2 * (wide - width));
  model.exact = std::clamp(model.exact, 0.85 * usual / (2 * width), usual / (2 * width));
  model.exact_score = std::max(0.01 * usual, usual - 2.0 * width * model.exact);
  model.exact_double = exact_ns<double>(n, width, one) / (usual * scores);
}

void measure_conv(CostModel& model, const RunContext& context, const RunContext& one) {
  ConvSteps<float> steps(8192, 16, one);
  const double unit = expected_recover_ns(steps.shape(), steps.planted.starts, steps.options.T, {.recover = 1.0});
  model.recover = steps.recover_ns() / unit;
  double numbers = 0.0;
  for (const Index start : steps.planted.starts) numbers += static_cast<double>(steps.shape().n - start);
  model.exponential = steps.exponential_ns() / numbers;
  model.conv_double = ConvSteps<double>(8192, 16, one).whole_least_ns() / steps.whole_least_ns();
  // What the parts leave unexplained of the whole: by numbers of V, and, where there are few of them, by the call.
  constexpr double least_value = 0.05;
  ConvSteps<float> large(16384, 4, one);
  model.conv_value = least_value;
  model.conv_value +=
      std::max(0.0, large.whole_least_ns() - large.expected_ns(model)) / static_cast<double>(large.shape().n * width);
  constexpr double least_call = 1e3;
  ConvSteps<float> small(256, 1, context);
  model.conv_call = least_call;
  const double usual = usual_ns(
      context, [&] { small.exact(); }, [&] { small.whole(); });
  model.conv_call += std::max(0.0, usual - small.expected_ns(model));
}

}  // namespace

CostModel calibrate(const RunContext& context) {
  RunContext quiet = context;
  quiet.progress = {};
  RunContext one = quiet;
  one.threads = 1;
  CostModel model;
  double done = 0.0;
  const auto step = [&] {
    context.report("calibrate", ++done / static_cast<double>(model.transform.size() + model.spectral.size() + 2));
  };
  for (std::size_t i = 0; i < model.transform.size(); ++i, step()) {
    model.transform[i] = transform_ns(Index{1} << (CostModel::smallest_log_block + static_cast<int>(i)), one);
  }
  double bytes = CostModel::smallest_working_set;
  for (double& ns : model.spectral) {
    ns = spectral_ns(bytes, one);
    bytes *= 4.0;
    step();
  }
  model.direct = direct_ns(one);
  measure_exact(model, quiet, one);
  step();
  measure_conv(model, quiet, one);
  step();
  return model;
}

}  // namespace convbasis
