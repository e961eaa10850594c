#include "analysis/head_analysis.h"

#include "analysis/error_report.h"
#include "analysis/stopwatch.h"
#include "attention/exact_attention.h"
#include "core/errors.h"

#include <fmt/format.h>

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
  return 2.0 * std::expm1(2.0 * options.eps) * static_cast<double>(analysis.head().value.cwiseAbs().maxCoeff());
}

/// Everything after exact attention.
template <Real T>
void approximate(HeadAnalysis<T>& analysis, const RunContext& context) {
  const HeadView<T> head = analysis.head();
  analysis.seconds.exact = analysis.exact->seconds;
  Stopwatch watch;
  analysis.recovery = recover<T>(HeadScores<T>(head), analysis.options, context);
  analysis.seconds.recover = watch.lap();
  context.report("apply", 0.0);
  analysis.weights = std::make_shared<const ConvWeights<T>>(exponentiate(analysis.recovery.basis, context));
  const ConvAttentionPlan<T> plan(analysis.weights, head.value_width(), {}, context);
  analysis.output.resize(head.size(), head.value_width());
  analysis.apply = plan.apply(head.value, mutable_view(analysis.output), context);
  analysis.seconds.apply = watch.lap();
  analysis.error =
      compare(head, analysis.exact->lse, view(analysis.exact->output), *analysis.weights, view(analysis.output), context);
  analysis.bound = error_bound(analysis);
}

}  // namespace

template <Real T>
HeadAnalysis<T> analyze_head(HeadTensors<T> tensors, const RecoverOptions& options, const RunContext& context) {
  const Index n = tensors.query.rows();
  return analyze_head(std::make_shared<const HeadTensors<T>>(std::move(tensors)), n, options, context);
}

template <Real T>
HeadAnalysis<T> analyze_head(std::shared_ptr<const HeadTensors<T>> tensors, Index n, const RecoverOptions& options,
                             const RunContext& context) {
  require_valid(tensors->view());
  if (n < 1 || n > tensors->query.rows())
    throw InvalidArgument(fmt::format("n = {} is not in [1, {}]", n, tensors->query.rows()));
  require_valid(options, n);
  const HeadView<T> head = tensors->view(n);
  auto exact = std::make_shared<ExactPart<T>>();
  exact->output.resize(head.size(), head.value_width());
  exact->lse.resize(static_cast<std::size_t>(head.size()));
  Stopwatch watch;
  exact_attention<T>(head, mutable_view(exact->output), exact->lse, context);
  exact->seconds = watch.lap();
  HeadAnalysis<T> analysis;
  analysis.options = options;
  analysis.tensors = std::move(tensors);
  analysis.n = n;
  analysis.exact = std::move(exact);
  approximate(analysis, context);
  return analysis;
}

template <Real T>
HeadAnalysis<T> reanalyze_head(const HeadAnalysis<T>& earlier, const RecoverOptions& options, const RunContext& context) {
  require_valid(options, earlier.n);
  HeadAnalysis<T> analysis;
  analysis.options = options;
  analysis.tensors = earlier.tensors;
  analysis.n = earlier.n;
  analysis.exact = earlier.exact;
  approximate(analysis, context);
  return analysis;
}

template HeadAnalysis<float> analyze_head(HeadTensors<float>, const RecoverOptions&, const RunContext&);
template HeadAnalysis<double> analyze_head(HeadTensors<double>, const RecoverOptions&, const RunContext&);
template HeadAnalysis<float> analyze_head(std::shared_ptr<const HeadTensors<float>>, Index, const RecoverOptions&,
                                          const RunContext&);
template HeadAnalysis<double> analyze_head(std::shared_ptr<const HeadTensors<double>>, Index, const RecoverOptions&,
                                           const RunContext&);
template HeadAnalysis<float> reanalyze_head(const HeadAnalysis<float>&, const RecoverOptions&, const RunContext&);
template HeadAnalysis<double> reanalyze_head(const HeadAnalysis<double>&, const RecoverOptions&, const RunContext&);

}  // namespace convbasis
