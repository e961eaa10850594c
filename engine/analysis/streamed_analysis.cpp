#include "analysis/streamed_analysis.h"

#include "analysis/sampled_rows.h"
#include "attention/exact_attention.h"
#include "basis/apply.h"
#include "core/aligned.h"
#include "core/errors.h"
#include "core/memory.h"
#include "core/stopwatch.h"
#include "data/planted_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <utility>

namespace convbasis {
namespace {

constexpr Index widest_scores = 64;  ///< d of Q and K
constexpr Index usual_columns = 64;  ///< of a block: the spectra of the lags are read once for all of them
constexpr Index fewest_columns = 8;

double size_of(Index rows, Index columns, std::size_t number_size) {
  return static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(number_size);
}

/// An estimate of the peak, rounded up where the basis decides: starts may all be near 0, so that every lag vector has length n.
std::uint64_t memory_of(const StreamedPlan& plan, std::size_t number_size) {
  const Index n = plan.scores.n;
  const Index segments = plan.options.recover.k + 1;  // one more when the first start is not column 0
  const double block = size_of(n, plan.block_columns, number_size);
  const double inputs = size_of(n, 2 * plan.scores.d, number_size);
  const double lag_vectors = size_of(n, 2 * segments, number_size);  // of scores and of weights
  const double spectra = size_of(n, 2 * segments, number_size);
  const double rows = size_of(n, std::min(n, plan.options.sampled_rows), sizeof(double));
  const double apply = 5.0 * block;                                    // output, spectra of V and of the output
  const double fixed = size_of(n, 64 + 2 * sizeof(double), 1) + 64e6;  // writer, row sums, the program
  return static_cast<std::uint64_t>(block + rows + lag_vectors + fixed + std::max(inputs, spectra + apply));
}

void require_valid_streamed(const PlantedOptions& input, const StreamedOptions& options) {
  require_valid(input);
  require_valid(options.recover, input.n);
  const auto require = [](bool holds, const std::string& problem) {
    if (!holds) throw InvalidArgument(problem);
  };
  require(options.block_columns >= 0, fmt::format("block_columns is {}; it must not be negative", options.block_columns));
  require(options.sampled_rows >= 1, fmt::format("sampled_rows is {}; it must be at least 1", options.sampled_rows));
  require(!options.scale || std::isfinite(*options.scale), "scale is not finite; it must be a number");
  require(options.exact_seconds >= 0.0, fmt::format("exact_seconds is {}; it must be 0 or more", options.exact_seconds));
}

/// Reports every step of a block as progress of the whole, which never goes back.
class BlockProgress {
 public:
  BlockProgress(const RunContext& context, Index blocks) : context_(context), blocks_(blocks) {}

  /// The context of a step that covers the part [from, to) of a block.
  RunContext step(Index block, double from, double to) {
    RunContext own = context_;
    if (!own.progress) return own;
    own.progress = [this, block, from, to](std::string_view, double fraction) {
      const double done = static_cast<double>(block) + from + (to - from) * std::clamp(fraction, 0.0, 1.0);
      highest_ = std::max(highest_, done / static_cast<double>(blocks_));
      context_.report(fmt::format("{} of {} column blocks", block + (done < static_cast<double>(block + 1) ? 0 : 1), blocks_),
                      highest_);
    };
    own.report("", 0.0);
    return own;
  }

 private:
  const RunContext& context_;
  Index blocks_;
  double highest_ = 0.0;
};

/// Seconds of exact attention over the first `size` tokens.
template <Real T>
double exact_seconds(const HeadView<T>& head, Index size, const RunContext& context) {
  Matrix<T> output(size, head.value_width());
  std::vector<double> lse(static_cast<std::size_t>(size));
  const HeadView<T> first{rows(head.query, 0, size), rows(head.key, 0, size), rows(head.value, 0, size), head.scale};
  Stopwatch watch;
  exact_attention<T>(first, mutable_view(output), lse, context);
  return watch.lap();
}

/// Grows the size until it takes `wanted` seconds; the shortest of three times there, in favour of exact attention.
template <Real T>
ExactEstimate estimate_exact(const HeadView<T>& head, Index value_width, double wanted, const RunContext& context) {
  const Index n = head.size();
  ExactEstimate estimate{.measured_n = std::min<Index>(n, 2048), .measured_width = head.value_width()};
  for (;;) {
    estimate.measured_seconds = exact_seconds(head, estimate.measured_n, context);
    if (estimate.measured_n == n || estimate.measured_seconds >= wanted) break;
    const double factor = std::clamp(std::sqrt(1.2 * wanted / estimate.measured_seconds), 1.5, 8.0);
    estimate.measured_n = std::min(n, static_cast<Index>(std::ceil(factor * static_cast<double>(estimate.measured_n))));
  }
  for (int repeat = 1; repeat < 3; ++repeat) {
    estimate.measured_seconds = std::min(estimate.measured_seconds, exact_seconds(head, estimate.measured_n, context));
  }
  const double length = static_cast<double>(n) / static_cast<double>(estimate.measured_n);
  const double width =
      static_cast<double>(head.width() + value_width) / static_cast<double>(head.width() + estimate.measured_width);
  estimate.seconds = estimate.measured_seconds * length * length * width;
  estimate.extrapolated = estimate.measured_n < n || estimate.measured_width < value_width;
  return estimate;
}

/// One run: prepare() what all blocks share, then block by block.
template <Real T>
class Run {
 public:
  Run(const StreamedPlan& plan, const ColumnSink<T>& sink, const RunContext& context)
      : context_(context),
        sink_(sink),
        progress_(context, plan.blocks()),
        n_(plan.scores.n),
        width_(plan.block_columns),
        value_(static_cast<std::size_t>(n_ * width_)) {
    result_.plan = plan;
  }

  StreamedAnalysis all() {
    Stopwatch whole;
    prepare();
    output_ = Scratch<T>(value_.size());
    for (Index block = 0; block < result_.plan.blocks(); ++block) do_block(block);
    result_.relative_error = check_->relative_error();
    result_.worst_row_error = check_->worst_row_error();
    result_.seconds.total = whole.lap();
    return std::move(result_);
  }

 private:
  void prepare() {
    const StreamedOptions& options = result_.plan.options;
    StreamedSeconds& seconds = result_.seconds;
    Stopwatch watch;
    Planted<T> planted = make_planted_scores<T>(result_.plan.scores, context_);
    result_.scale = options.scale.value_or(planted.head.scale);
    result_.planted_starts = planted.starts;
    result_.planted_delta = planted.delta;
    seconds.plant = watch.lap();
    make_value(0, context_);
    seconds.values += watch.lap();
    const HeadView<T> head{view(planted.head.query), view(planted.head.key), value_of(0), result_.scale};
    const Recovery<T> recovery = recover<T>(HeadScores<T>(head), options.recover, context_);
    result_.starts.assign(recovery.basis.starts().begin(), recovery.basis.starts().end());
    result_.monotone = recovery.monotone;
    seconds.recover = watch.lap();
    check_.emplace(head.query, head.key, head.scale, choose_rows(n_, options.sampled_rows, planted.starts), context_);
    result_.rows.assign(check_->rows().begin(), check_->rows().end());
    seconds.check += watch.lap();
    result_.exact = estimate_exact(head, result_.plan.value_width, options.exact_seconds, context_);
    seconds.exact = watch.lap();
    planted = {};  // Q and K are not needed any more
    watch.lap();
    auto weights = std::make_shared<const ConvWeights<T>>(exponentiate(recovery.basis, context_));
    plan_.emplace(std::move(weights), width_, ApplyOptions{}, context_);
    seconds.plan = watch.lap();
  }

  void do_block(Index block) {
    StreamedSeconds& seconds = result_.seconds;
    Stopwatch watch;
    if (block > 0) make_value(block, progress_.step(block, 0.0, 0.05));
    seconds.values += watch.lap();
    const MatrixView<T> value = value_of(block);
    const MutableMatrixView<T> output(output_.data(), n_, value.cols(), Eigen::OuterStride<>(width_));
    const ApplyReport report = plan_->apply(value, output, progress_.step(block, 0.05, 0.8));
    add_rescued(report.rescued);
    result_.path = report.path;
    seconds.apply += watch.lap();
    const MatrixView<T> done(output.data(), n_, value.cols(), Eigen::OuterStride<>(width_));
    check_->add(value, done, progress_.step(block, 0.8, 0.9));
    seconds.check += watch.lap();
    if (sink_) sink_(done, progress_.step(block, 0.9, 1.0));
    context_.check();
    progress_.step(block, 1.0, 1.0);
    seconds.write += watch.lap();
  }

  MatrixView<T> value_of(Index block) const {
    return {value_.data(), n_, result_.plan.columns(block), Eigen::OuterStride<>(width_)};
  }

  void make_value(Index block, const RunContext& context) {
    const Index first = block * width_;
    make_values<T>(result_.plan.scores.seed, 0, first,
                   {value_.data(), n_, result_.plan.columns(block), Eigen::OuterStride<>(width_)}, context);
  }

  void add_rescued(const std::vector<Index>& rows) {
    std::vector<Index> all;
    std::set_union(result_.rescued.begin(), result_.rescued.end(), rows.begin(), rows.end(), std::back_inserter(all));
    result_.rescued = std::move(all);
  }

  const RunContext& context_;
  const ColumnSink<T>& sink_;
  BlockProgress progress_;
  const Index n_;
  const Index width_;          // columns of a block
  Scratch<T> value_, output_;  // one block each, n x width
  std::optional<SampledRows<T>> check_;
  std::optional<ConvAttentionPlan<T>> plan_;
  StreamedAnalysis result_;
};

}  // namespace

bool needs_streaming(const PlantedOptions& input, std::size_t number_size) {
  const auto n = static_cast<double>(input.n);
  const auto d = static_cast<double>(input.d);
  const double value_width = input.value_width > 0 ? static_cast<double>(input.value_width) : d;
  const double multiply_adds = n * (n + 1.0) / 2.0 * (d + value_width);
  const double bytes = n * (2.0 * d + 3.0 * value_width) * static_cast<double>(number_size);
  return multiply_adds > 5e12 || bytes > 0x1p32;
}

template <Real T>
StreamedPlan plan_streamed(const PlantedOptions& input, const StreamedOptions& options) {
  require_valid_streamed(input, options);
  StreamedPlan plan{.options = options, .scores = input, .width = input.d};
  plan.scores.d = std::min(input.d, widest_scores);
  plan.value_width = input.value_width > 0 ? input.value_width : input.d;
  plan.scores.value_width = plan.value_width;
  plan.available = options.memory_limit > 0 ? options.memory_limit : available_memory();
  plan.block_columns = std::min(options.block_columns > 0 ? options.block_columns : usual_columns, plan.value_width);
  const auto too_much = [&] { return plan.available && plan.memory > *plan.available; };
  plan.memory = memory_of(plan, sizeof(T));
  while (too_much() && options.block_columns == 0 && plan.block_columns > fewest_columns) {
    plan.block_columns = std::max(plan.block_columns / 2, fewest_columns);
    plan.memory = memory_of(plan, sizeof(T));
  }
  if (too_much()) {
    throw Error(fmt::format("this needs about {:.3g} GB of memory and {:.3g} GB are available; choose a smaller n or k",
                            1e-9 * static_cast<double>(plan.memory), 1e-9 * static_cast<double>(*plan.available)));
  }
  return plan;
}

double StreamedAnalysis::tokens_per_second() const { return static_cast<double>(plan.scores.n) / conv_seconds(); }

double StreamedAnalysis::equivalent_operations_per_second() const {
  const auto n = static_cast<double>(plan.scores.n);
  return n * n * static_cast<double>(plan.scores.d + plan.value_width) / conv_seconds();
}

template <Real T>
StreamedAnalysis analyze_streamed(const StreamedPlan& plan, const ColumnSink<T>& sink, const RunContext& context) {
  return Run<T>(plan, sink, context).all();
}

template StreamedPlan plan_streamed<float>(const PlantedOptions&, const StreamedOptions&);
template StreamedPlan plan_streamed<double>(const PlantedOptions&, const StreamedOptions&);
template StreamedAnalysis analyze_streamed(const StreamedPlan&, const ColumnSink<float>&, const RunContext&);
template StreamedAnalysis analyze_streamed(const StreamedPlan&, const ColumnSink<double>&, const RunContext&);

}  // namespace convbasis
