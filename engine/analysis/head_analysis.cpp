#include "analysis/head_analysis.h"

#include "analysis/error_report.h"
#include "analysis/stopwatch.h"
#include "attention/exact_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace convbasis {
namespace {

template <Real T>
std::optional<double> error_bound(const HeadAnalysis<T>& analysis) {
  const RecoverOptions& options = analysis.options;
  if (options.eps > options.delta / (5.0 * static_cast<double>(options.T))) return std::nullopt;
  // Scores of equal true value differ by the rounding of their sums of products, some units of T's rounding of the largest.
  double largest = 1.0;
  for (Index r = 0; r < analysis.recovery.basis.count(); ++r) {
    for (const T score : analysis.recovery.basis.lag_vector(r)) largest = std::max(largest, std::abs(static_cast<double>(score)));
  }
  const double rounding = 32.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * largest;
  if (!(analysis.error.max_score_error <= 2.0 * options.eps + rounding)) return std::nullopt;
  return 2.0 * std::expm1(2.0 * options.eps) * static_cast<double>(analysis.head.value.cwiseAbs().maxCoeff());
}

/// Everything after exact attention.
template <Real T>
void approximate(HeadAnalysis<T>& analysis, const RunContext& context) {
  const HeadView<T> head = analysis.head.view();
  Stopwatch watch;
  analysis.recovery = recover<T>(HeadScores<T>(head), analysis.options, context);
  analysis.seconds.recover = watch.lap();
  context.report("apply", 0.0);
  analysis.weights = std::make_shared<const ConvWeights<T>>(exponentiate(analysis.recovery.basis, context));
  const ConvAttentionPlan<T> plan(analysis.weights, head.value_width(), {}, context);
  analysis.output.resize(head.size(), head.value_width());
  analysis.apply = plan.apply(head.value, mutable_view(analysis.output), context);
  analysis.seconds.apply = watch.lap();
  analysis.error = compare(head, analysis.lse, view(analysis.exact_output), *analysis.weights, view(analysis.output), context);
  analysis.bound = error_bound(analysis);
}

}  // namespace

template <Real T>
HeadAnalysis<T> analyze_head(HeadTensors<T> tensors, const RecoverOptions& options, const RunContext& context) {
  HeadAnalysis<T> analysis;
  analysis.options = options;
  analysis.head = std::move(tensors);
  const HeadView<T> head = analysis.head.view();
  require_valid(head);
  require_valid(options, head.size());
  analysis.exact_output.resize(head.size(), head.value_width());
  analysis.lse.resize(static_cast<std::size_t>(head.size()));
  Stopwatch watch;
  exact_attention<T>(head, mutable_view(analysis.exact_output), analysis.lse, context);
  analysis.seconds.exact = watch.lap();
  approximate(analysis, context);
  return analysis;
}

template <Real T>
HeadAnalysis<T> reanalyze_head(const HeadAnalysis<T>& earlier, const RecoverOptions& options, const RunContext& context) {
  require_valid(options, earlier.head.view().size());
  HeadAnalysis<T> analysis;
  analysis.options = options;
  analysis.head = earlier.head;
  analysis.exact_output = earlier.exact_output;
  analysis.lse = earlier.lse;
  analysis.seconds.exact = earlier.seconds.exact;
  approximate(analysis, context);
  return analysis;
}

template HeadAnalysis<float> analyze_head(HeadTensors<float>, const RecoverOptions&, const RunContext&);
template HeadAnalysis<double> analyze_head(HeadTensors<double>, const RecoverOptions&, const RunContext&);
template HeadAnalysis<float> reanalyze_head(const HeadAnalysis<float>&, const RecoverOptions&, const RunContext&);
template HeadAnalysis<double> reanalyze_head(const HeadAnalysis<double>&, const RecoverOptions&, const RunContext&);

}  // namespace convbasis
