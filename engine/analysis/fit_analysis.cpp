#include "analysis/fit_analysis.h"

#include "analysis/stopwatch.h"
#include "basis/structured.h"
#include "basis/structured_apply.h"

#include <cmath>
#include <utility>
#include <vector>

namespace convbasis {

template <Real T>
double odd_row_error(const ExactPart<T>& exact, const Matrix<T>& output) {
  double difference = 0.0;
  double size = 0.0;
  bool any = false;
  for (std::size_t x = 0; x < exact.rows.size(); ++x) {
    if (exact.rows[x] % 2 == 0) continue;
    any = true;
    const Eigen::RowVectorXd wanted = exact.output.row(static_cast<Index>(x)).template cast<double>();
    difference += (output.row(exact.rows[x]).template cast<double>() - wanted).squaredNorm();
    size += wanted.squaredNorm();
  }
  if (!any) return std::numeric_limits<double>::quiet_NaN();
  return difference == 0.0 ? 0.0 : std::sqrt(difference / size);
}

namespace {

template <Real T>
ApplyReport apply(const HeadView<T>& head, std::shared_ptr<const StructuredFit> fit, Matrix<T>& output,
                  const RunContext& context) {
  const StructuredPlan<T> plan(std::move(fit), head.value_width(), {}, context);
  return plan.apply(head, mutable_view(output), context);
}

/// From all rows, with the held-out error.
template <Real T>
void fit_all_rows(FitAnalysis<T>& analysis, const RunContext& context) {
  const HeadView<T> head = analysis.head();
  std::vector<double> lse;
  for (Index i = 0; i < head.size(); ++i) lse.push_back((*analysis.exact->normalisers)[i]);
  const std::span<const double> normalisers(lse);
  Stopwatch watch;
  const Structure structure = choose_structure(head, WeightedRows::every(normalisers, 0, 1), analysis.options, context);
  const HeadSums sums = gather_sums(head, normalisers, structure, true, context);
  analysis.fit = std::make_shared<const StructuredFit>(fit_structured(head, normalisers, sums.all, analysis.options, context));
  analysis.seconds.fit = watch.lap();
  apply(head, std::make_shared<const StructuredFit>(fit_heldout(head, normalisers, sums, analysis.options, context)),
        analysis.output, context);
  analysis.heldout_error = odd_row_error(*analysis.exact, analysis.output);
}

}  // namespace

template <Real T>
FitAnalysis<T> fit_head(HeadTensors<T> tensors, const StructuredOptions& options, const std::optional<SampleOptions>& sample,
                        const RunContext& context) {
  require_valid(tensors.view());
  require_valid(options, tensors.value.rows());
  if (sample) require_valid(*sample);
  FitAnalysis<T> analysis;
  analysis.options = options;
  analysis.tensors = std::make_shared<const HeadTensors<T>>(std::move(tensors));
  const HeadView<T> head = analysis.head();
  const Index n = head.size();
  analysis.exact = std::make_shared<const ExactPart<T>>(
      n > exact_fit_limit ? sampled_exact_part(head, std::make_shared<RowNormalisers>(n), context) : exact_part(head, context));
  analysis.seconds.exact = analysis.exact->seconds;
  analysis.output.resize(n, head.value_width());
  Stopwatch watch;
  if (sample || n > full_fit_limit) {
    analysis.fit = std::make_shared<const StructuredFit>(fit_sampled(head, options, sample.value_or(SampleOptions{}), context));
    analysis.seconds.fit = watch.lap();
  } else {
    fit_all_rows(analysis, context);
  }
  watch.lap();
  analysis.apply = apply(head, analysis.fit, analysis.output, context);
  analysis.seconds.apply = watch.lap();
  analysis.error = compare(head, *analysis.exact, *analysis.fit, view(analysis.output), context);
  return analysis;
}

template double odd_row_error(const ExactPart<float>&, const Matrix<float>&);
template double odd_row_error(const ExactPart<double>&, const Matrix<double>&);
template FitAnalysis<float> fit_head(HeadTensors<float>, const StructuredOptions&, const std::optional<SampleOptions>&,
                                     const RunContext&);
template FitAnalysis<double> fit_head(HeadTensors<double>, const StructuredOptions&, const std::optional<SampleOptions>&,
                                      const RunContext&);

}  // namespace convbasis
