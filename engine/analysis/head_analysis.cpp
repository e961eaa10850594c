#include "analysis/head_analysis.h"

#include "analysis/error_report.h"
#include "basis/structured.h"
#include "basis/structured_apply.h"
#include "core/errors.h"
#include "core/stopwatch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

namespace convbasis {
namespace {

template <Real T>
std::optional<double> error_bound(const HeadAnalysis<T>& analysis) {
  if (analysis.approximation().is_of_weights()) return std::nullopt;
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

/// The lag vectors of a fit as a score basis. Lags of no weight get the score of what is masked.
template <Real T>
ConvBasis<T> log_lags(const StructuredFit& fit) {
  std::vector<Index> starts(fit.lags.starts().begin(), fit.lags.starts().end());
  std::vector<std::vector<T>> logs;
  for (Index r = 0; r < fit.k(); ++r) {
    std::vector<T>& log = logs.emplace_back();
    for (const double g : fit.lags.lag_vector(r)) log.push_back(static_cast<T>(g > 0.0 ? std::log(g) : masked_score));
  }
  return {fit.size(), std::move(starts), std::move(logs)};
}

/// An analysis of as many tokens as the exact part is of. Throws unless the head has them.
template <Real T>
HeadAnalysis<T> begin_analysis(std::shared_ptr<const HeadTensors<T>> tensors, std::shared_ptr<const ExactPart<T>> exact) {
  require_valid(tensors->view());
  const Index n = exact->normalisers->size();
  if (n > tensors->query.rows()) {
    throw InvalidArgument(fmt::format("the exact part is of {} tokens; the head has {}", n, tensors->query.rows()));
  }
  HeadAnalysis<T> analysis;
  analysis.n = n;
  analysis.tensors = std::move(tensors);
  analysis.exact = std::move(exact);
  return analysis;
}

/// Exact attention of all rows, or of some where the head is longer than exact_fit_limit.
template <Real T>
std::shared_ptr<const ExactPart<T>> affordable_exact_part(const HeadView<T>& head, const RunContext& context) {
  const Index n = head.size();
  return std::make_shared<const ExactPart<T>>(
      n > exact_fit_limit ? sampled_exact_part(head, std::make_shared<RowNormalisers>(n), context) : exact_part(head, context));
}

template <Real T>
void fit_all_rows(HeadAnalysis<T>& analysis, bool heldout, const RunContext& context) {
  const HeadView<T> head = analysis.head();
  const StructuredOptions& options = analysis.fit_options;
  const std::vector<double> lse = analysis.exact->normalisers->all();
  const Structure structure = choose_structure(head, WeightedRows::every(lse, 0, 1), options, context);
  const HeadSums sums = gather_sums<T>(head, lse, structure, heldout, context);
  analysis.fit = std::make_shared<const StructuredFit>(fit_structured<T>(head, lse, sums.all, options, context));
  if (!heldout) return;
  const auto half = std::make_shared<const StructuredFit>(fit_heldout<T>(head, lse, sums, options, context));
  analysis.heldout_error = odd_row_error(*analysis.exact, fit_output(head, half, context).first);
}

}  // namespace

template <Real T>
HeadAnalysis<T> fit_head(std::shared_ptr<const HeadTensors<T>> tensors, std::shared_ptr<const ExactPart<T>> exact,
                         const StructuredOptions& options, const FitWay& way, const RunContext& context) {
  HeadAnalysis<T> analysis = begin_analysis(std::move(tensors), std::move(exact));
  require_valid(options, analysis.n);
  if (way.sample) require_valid(*way.sample);
  if (!way.sampled(analysis.n) && !analysis.exact->complete()) {
    throw InvalidArgument(fmt::format("a fit to all entries needs exact attention of all {} rows; {} are known", analysis.n,
                                      analysis.exact->rows.size()));
  }
  analysis.options.k = options.k;
  analysis.fit_options = options;
  Stopwatch watch;
  if (way.sampled(analysis.n)) {
    const SampleOptions sample = way.sample.value_or(SampleOptions{});
    analysis.fit = std::make_shared<const StructuredFit>(fit_sampled<T>(analysis.head(), options, sample, context));
  } else {
    fit_all_rows(analysis, way.heldout, context);
  }
  analysis.recovery.basis = log_lags<T>(*analysis.fit);
  analysis.weights = std::make_shared<const ConvWeights<T>>(exponentiate(analysis.recovery.basis, context));
  analysis.seconds.recover = watch.lap();
  return analysis;
}

template <Real T>
HeadAnalysis<T> recover_head(std::shared_ptr<const HeadTensors<T>> tensors, std::shared_ptr<const ExactPart<T>> exact,
                             const RecoverOptions& options, const RunContext& context, std::vector<Index> starts) {
  HeadAnalysis<T> analysis = begin_analysis(std::move(tensors), std::move(exact));
  require_valid(options, analysis.n);
  analysis.options = options;
  Stopwatch watch;
  const HeadScores<T> scores(analysis.head());
  analysis.recovery = starts.empty() ? recover<T>(scores, options, context) : recover_at<T>(scores, std::move(starts), context);
  analysis.seconds.recover = watch.lap();
  context.report("apply", 0.0);
  analysis.weights = std::make_shared<const ConvWeights<T>>(exponentiate(analysis.recovery.basis, context));
  analysis.seconds.apply = watch.lap();
  return analysis;
}

template <Real T>
HeadAnalysis<T> rank_head(std::shared_ptr<const HeadTensors<T>> tensors, std::shared_ptr<const ExactPart<T>> exact,
                          const RankOptions& options, const RunContext& context) {
  HeadAnalysis<T> analysis = begin_analysis(std::move(tensors), std::move(exact));
  analysis.options.k = options.k;
  analysis.recovery.basis = ConvBasis<T>(analysis.n);
  Stopwatch watch;
  analysis.rank = std::make_shared<const RankApproximation<T>>(
      approximate_by_rank(analysis.head(), *analysis.exact, options, analysis.output, context));
  analysis.apply.path = describe(*analysis.rank);
  analysis.seconds.recover = watch.lap();
  return analysis;
}

template <Real T>
void assess_head(HeadAnalysis<T>& analysis, std::shared_ptr<const ExactPart<T>> exact, const RunContext& context) {
  const HeadView<T> head = analysis.head();
  if (analysis.output.rows() == 0) {
    Stopwatch watch;
    Matrix<T> output;
    if (analysis.fit) {
      std::tie(output, analysis.apply) = fit_output(head, analysis.fit, context);
    } else {
      output.resize(head.size(), head.value_width());
      const ConvAttentionPlan<T> plan(analysis.weights, head.value_width(), {}, context);
      analysis.apply = plan.apply(head.value, mutable_view(output), context);
    }
    analysis.output = std::move(output);
    analysis.seconds.apply += watch.lap();
  }
  analysis.exact = std::move(exact);
  analysis.seconds.exact = analysis.exact->seconds;
  analysis.error = compare(head, *analysis.exact, analysis.approximation(), view(analysis.output), context);
  analysis.bound = error_bound(analysis);
}

template <Real T>
HeadAnalysis<T> analyze_head(HeadTensors<T> tensors, const RecoverOptions& options, const RunContext& context) {
  require_valid(tensors.view());
  require_valid(options, tensors.query.rows());
  auto shared = std::make_shared<const HeadTensors<T>>(std::move(tensors));
  const auto exact = std::make_shared<const ExactPart<T>>(exact_part(shared->view(), context));
  HeadAnalysis<T> analysis = recover_head(std::move(shared), exact, options, context);
  assess_head(analysis, exact, context);
  return analysis;
}

template <Real T>
HeadAnalysis<T> analyze_head_by_fit(HeadTensors<T> tensors, const StructuredOptions& options,
                                    const std::optional<SampleOptions>& sample, const RunContext& context) {
  require_valid(tensors.view());
  const Index n = tensors.value.rows();
  require_valid(options, n);
  const FitWay way{.heldout = true, .sample = sample};
  auto shared = std::make_shared<const HeadTensors<T>>(std::move(tensors));
  const auto exact = affordable_exact_part(shared->view(), context);
  HeadAnalysis<T> analysis = fit_head(std::move(shared), exact, options, way, context);
  assess_head(analysis, exact, context);
  return analysis;
}

template <Real T>
HeadAnalysis<T> analyze_head_by_rank(HeadTensors<T> tensors, const RankOptions& options, const RunContext& context) {
  const HeadView<T> head = tensors.view();
  require_valid(head);
  require_valid(options, head);
  auto shared = std::make_shared<const HeadTensors<T>>(std::move(tensors));
  const auto exact = affordable_exact_part(shared->view(), context);
  HeadAnalysis<T> analysis = rank_head(std::move(shared), exact, options, context);
  assess_head(analysis, exact, context);
  return analysis;
}

template <Real T>
HeadAnalysis<T> reanalyze_head(const HeadAnalysis<T>& earlier, const RecoverOptions& options, const RunContext& context) {
  HeadAnalysis<T> analysis = recover_head(earlier.tensors, earlier.exact, options, context);
  assess_head(analysis, earlier.exact, context);
  return analysis;
}

template HeadAnalysis<float> analyze_head(HeadTensors<float>, const RecoverOptions&, const RunContext&);
template HeadAnalysis<double> analyze_head(HeadTensors<double>, const RecoverOptions&, const RunContext&);
template HeadAnalysis<float> recover_head(std::shared_ptr<const HeadTensors<float>>, std::shared_ptr<const ExactPart<float>>,
                                          const RecoverOptions&, const RunContext&, std::vector<Index>);
template HeadAnalysis<float> fit_head(std::shared_ptr<const HeadTensors<float>>, std::shared_ptr<const ExactPart<float>>,
                                      const StructuredOptions&, const FitWay&, const RunContext&);
template HeadAnalysis<double> fit_head(std::shared_ptr<const HeadTensors<double>>, std::shared_ptr<const ExactPart<double>>,
                                       const StructuredOptions&, const FitWay&, const RunContext&);
template HeadAnalysis<float> analyze_head_by_fit(HeadTensors<float>, const StructuredOptions&,
                                                 const std::optional<SampleOptions>&, const RunContext&);
template HeadAnalysis<double> analyze_head_by_fit(HeadTensors<double>, const StructuredOptions&,
                                                  const std::optional<SampleOptions>&, const RunContext&);
template HeadAnalysis<float> rank_head(std::shared_ptr<const HeadTensors<float>>, std::shared_ptr<const ExactPart<float>>,
                                       const RankOptions&, const RunContext&);
template HeadAnalysis<double> rank_head(std::shared_ptr<const HeadTensors<double>>, std::shared_ptr<const ExactPart<double>>,
                                        const RankOptions&, const RunContext&);
template HeadAnalysis<float> analyze_head_by_rank(HeadTensors<float>, const RankOptions&, const RunContext&);
template HeadAnalysis<double> analyze_head_by_rank(HeadTensors<double>, const RankOptions&, const RunContext&);
template void assess_head(HeadAnalysis<float>&, std::shared_ptr<const ExactPart<float>>, const RunContext&);
template HeadAnalysis<double> recover_head(std::shared_ptr<const HeadTensors<double>>, std::shared_ptr<const ExactPart<double>>,
                                           const RecoverOptions&, const RunContext&, std::vector<Index>);
template void assess_head(HeadAnalysis<double>&, std::shared_ptr<const ExactPart<double>>, const RunContext&);
template HeadAnalysis<float> reanalyze_head(const HeadAnalysis<float>&, const RecoverOptions&, const RunContext&);
template HeadAnalysis<double> reanalyze_head(const HeadAnalysis<double>&, const RecoverOptions&, const RunContext&);

}  // namespace convbasis
