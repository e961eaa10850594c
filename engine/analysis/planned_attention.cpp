#include "analysis/planned_attention.h"

#include "attention/exact_attention.h"
#include "basis/apply_layout.h"
#include "basis/partitioned.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <memory>

namespace convbasis {
namespace {

/// How many times as fast `items` of equal size are done on several threads.
double speed_up(Index items, int threads) {
  const Index rounds = (items + threads - 1) / threads;
  return static_cast<double>(items) / static_cast<double>(rounds);
}

/// Columns of V are shared out in groups.
double conv_speed_up(const AttentionShape& shape) {
  return speed_up((shape.value_width + channels_of_a_group - 1) / channels_of_a_group, shape.threads);
}

double lag_numbers(const AttentionShape& shape, std::span<const Index> starts) {
  double sum = 0.0;
  for (const Index start : starts) sum += static_cast<double>(shape.n - start);
  return sum;
}

double precision_factor(const AttentionShape& shape, double in_float64) { return shape.float64 ? in_float64 : 1.0; }

template <Real T>
AttentionShape shape_of(const HeadView<T>& head, const RunContext& context) {
  return {head.size(), head.width(), head.value_width(), thread_count(context), std::same_as<T, double>};
}

template <Real T>
void run_exact(const HeadView<T>& head, MutableMatrixView<T> output, const RunContext& context) {
  std::vector<double> lse(static_cast<std::size_t>(head.size()));
  exact_attention<T>(head, output, lse, context);
}

}  // namespace

double expected_exact_ns(const AttentionShape& shape, const CostModel& model) {
  constexpr Index block = 96;  // queries, exact_attention.cpp; on the diagonal they meet half a block of keys in vain
  const auto n = static_cast<double>(shape.n);
  const double scores = 0.5 * n * (n + 1.0 + static_cast<double>(block));
  const double multiply_adds = static_cast<double>(shape.width + shape.value_width);
  const double work = scores * (multiply_adds * model.exact + model.exact_score) * precision_factor(shape, model.exact_double);
  return model.exact_call + work / speed_up((shape.n + block - 1) / block, shape.threads);
}

double expected_recover_ns(const AttentionShape& shape, std::span<const Index> starts, Index T, const CostModel& model) {
  const auto probes =
      static_cast<double>(std::ssize(starts) * static_cast<Index>(std::bit_width(static_cast<std::size_t>(shape.n))));
  const double probed = probes * static_cast<double>(T);
  constexpr double reading = 4.0;  // Q is read once, which takes as long as so many products with it
  const double numbers = lag_numbers(shape, starts) + reading * static_cast<double>(shape.n);
  return precision_factor(shape, model.conv_double) * static_cast<double>(shape.width) * model.recover *
         (probed + numbers / static_cast<double>(shape.threads));
}

double expected_apply_ns(const AttentionShape& shape, std::span<const Index> starts, const CostModel& model) {
  const double exponentials = lag_numbers(shape, starts) * model.exponential;
  const double values = static_cast<double>(shape.n) * static_cast<double>(shape.value_width) * model.conv_value;
  const double products = layout_cost(shape.n, starts, shape.value_width, model);
  return model.conv_call + precision_factor(shape, model.conv_double) * (exponentials + values + products) / conv_speed_up(shape);
}

std::vector<Index> expected_starts(Index n, Index k) {
  std::vector<Index> starts;
  for (Index r = 0; r < k; ++r) starts.push_back(r * n / k);
  return starts;
}

AttentionChoice choose_attention(const AttentionShape& shape, const RecoverOptions& options, const CostModel& model) {
  const std::vector<Index> starts = expected_starts(shape.n, options.k);
  return {expected_exact_ns(shape, model),
          expected_recover_ns(shape, starts, options.T, model) + expected_apply_ns(shape, starts, model)};
}

AttentionChoice choose_attention(const AttentionShape& shape, std::span<const Index> starts, const CostModel& model) {
  return {expected_exact_ns(shape, model), expected_apply_ns(shape, starts, model)};
}

template <Real T>
PlannedReport planned_attention(const HeadView<T>& head, const RecoverOptions& options, MutableMatrixView<T> output,
                                const RunContext& context) {
  require_valid(head);
  require_valid(options, head.size());
  const CostModel model = cost_model();
  const AttentionShape shape = shape_of(head, context);
  PlannedReport report;
  report.before = choose_attention(shape, options, model);
  if (!report.before.conv()) {
    run_exact(head, output, context);
    report.path = fmt::format("exact attention (conv is expected to take {:.2g} times as long)",
                              report.before.conv_ns / report.before.exact_ns);
    return report;
  }
  const Recovery<T> recovery = recover<T>(HeadScores<T>(head), options, context);
  report.after = choose_attention(shape, recovery.basis.starting_at_zero().starts(), model);
  if (!report.after->conv()) {
    run_exact(head, output, context);
    report.path = fmt::format("exact attention (the {} segments found are expected to take {:.2g} times as long)",
                              recovery.basis.count(), report.after->conv_ns / report.after->exact_ns);
    return report;
  }
  auto weights = std::make_shared<const ConvWeights<T>>(exponentiate(recovery.basis, context));
  report.apply = ConvAttentionPlan<T>(std::move(weights), head.value_width(), {}, context).apply(head.value, output, context);
  report.path = fmt::format("{} (exact attention is expected to take {:.2g} times as long)", report.apply->path,
                            report.before.exact_ns / report.before.conv_ns);
  return report;
}

template PlannedReport planned_attention(const HeadView<float>&, const RecoverOptions&, MutableMatrixView<float>,
                                         const RunContext&);
template PlannedReport planned_attention(const HeadView<double>&, const RecoverOptions&, MutableMatrixView<double>,
                                         const RunContext&);

}  // namespace convbasis
