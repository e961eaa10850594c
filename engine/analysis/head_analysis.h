/// \file
/// One head, analysed: exact attention, its conv basis, a structured fit or a matrix of low rank, and the error. What
/// `convscope analyze` prints and what the window shows.
#pragma once

#include "analysis/approximation.h"
#include "analysis/error_report.h"
#include "analysis/exact_part.h"
#include "analysis/rank_approximation.h"
#include "attention/head.h"
#include "basis/apply.h"
#include "basis/recover.h"
#include "basis/structured_fit.h"
#include "basis/structured_sampled.h"
#include "core/run_context.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace convbasis {

struct AnalysisSeconds {
  double exact = 0.0, recover = 0.0, apply = 0.0;  ///< recover: what finding the approximation took, whatever it is
};

/// Everything that analysing one head gives. Immutable once made; share it between threads freely.
template <Real T>
struct HeadAnalysis {
  RecoverOptions options;
  std::shared_ptr<const HeadTensors<T>> tensors;  ///< may hold more tokens than were analysed
  Index n = 0;                                    ///< how many were: the first n
  std::shared_ptr<const ExactPart<T>> exact;      ///< shared by all analyses of the same tokens
  Matrix<T> output;                               ///< Y~; empty until it is assessed
  Recovery<T> recovery;
  std::shared_ptr<const ConvWeights<T>> weights;
  /// Null when the approximation is a recovered basis. Otherwise it is this fit, `options` say nothing but k, and recovery and
  /// weights hold its lag vectors g_r alone (as scores log g_r), for whoever draws them.
  std::shared_ptr<const StructuredFit> fit;
  StructuredOptions fit_options;
  /// Null unless the approximation is a matrix of low rank. Then `options` say nothing but k, of an SVD; the recovered basis is
  /// empty, and weights are null.
  std::shared_ptr<const RankApproximation<T>> rank;
  /// Of a fit, where it was asked for: ||Y~ - Y||_F / ||Y||_F over odd rows when columns and lags are fitted to even ones.
  double heldout_error = ErrorReport::unknown;
  ApplyReport apply;
  ErrorReport error;
  /// 2 (e^{2 eps} - 1) max |V|, only where it is proved: eps <= delta / (5 T), and the recovered scores are within 2 eps of the
  /// true ones (measured: error.max_score_error, up to rounding). Real heads have none.
  std::optional<double> bound;
  AnalysisSeconds seconds;

  bool assessed() const { return output.rows() == n && !error.row_error.empty(); }
  HeadView<T> head() const { return tensors->view(n); }  ///< the tokens that were analysed
  Approximation<T> approximation() const {
    if (rank) return Approximation<T>(rank);
    return fit ? Approximation<T>(fit) : Approximation<T>(weights);
  }
};

/// Analyses the whole of `head`. Throws InvalidArgument (bad options), Cancelled.
template <Real T>
HeadAnalysis<T> analyze_head(HeadTensors<T> head, const RecoverOptions& options, const RunContext& context = {});

/// The first half of it, of as many tokens as `exact` is of: recovery and weights, which is what maps are drawn from. Output,
/// apply and error stay empty. `starts`, unless empty, are taken in place of those that Recover would find. Throws
/// InvalidArgument (bad options or starts, more tokens than there are), Cancelled.
template <Real T>
HeadAnalysis<T> recover_head(std::shared_ptr<const HeadTensors<T>> head, std::shared_ptr<const ExactPart<T>> exact,
                             const RecoverOptions& options, const RunContext& context = {}, std::vector<Index> starts = {});

/// How a fit is made.
struct FitWay {
  bool heldout = false;  ///< once more, to half of the rows, for the error on the others
  /// From so many rows alone, without held-out error. Unset: from all rows up to full_fit_limit tokens, from a sample beyond.
  std::optional<SampleOptions> sample = std::nullopt;

  bool sampled(Index n) const { return sample || n > full_fit_limit; }
};

/// The same by a structured fit. `exact` must be complete unless the fit is made from a sample. Throws InvalidArgument (bad
/// options, or an exact part that does not do), Cancelled.
template <Real T>
HeadAnalysis<T> fit_head(std::shared_ptr<const HeadTensors<T>> head, std::shared_ptr<const ExactPart<T>> exact,
                         const StructuredOptions& options, const FitWay& way, const RunContext& context = {});

/// The longest head whose fit, or features, are held against exact attention of all rows.
inline constexpr Index exact_fit_limit = 65536;

/// Exact attention, the fit, output and error of the whole of `head`; the held-out error, too, where the fit is made from all
/// rows. Throws InvalidArgument (bad options), Cancelled.
template <Real T>
HeadAnalysis<T> analyze_head_by_fit(HeadTensors<T> head, const StructuredOptions& options,
                                    const std::optional<SampleOptions>& sample = {}, const RunContext& context = {});

/// The same by a matrix of low rank, with its output. `exact` must be complete for an SVD. Throws InvalidArgument (options that
/// require_valid() refuses, or an exact part that does not do), Cancelled.
template <Real T>
HeadAnalysis<T> rank_head(std::shared_ptr<const HeadTensors<T>> head, std::shared_ptr<const ExactPart<T>> exact,
                          const RankOptions& options, const RunContext& context = {});

/// Exact attention, low rank and error of the whole of `head`. Throws InvalidArgument (bad options), Cancelled.
template <Real T>
HeadAnalysis<T> analyze_head_by_rank(HeadTensors<T> head, const RankOptions& options, const RunContext& context = {});

/// The second half: the output, unless it is there already, and the error over the rows that `exact`, which becomes the analysis'
/// own, knows. Throws Cancelled; the analysis is then as it was, or complete but for the error.
template <Real T>
void assess_head(HeadAnalysis<T>& analysis, std::shared_ptr<const ExactPart<T>> exact, const RunContext& context = {});

/// As above, but keeps tokens and exact part of an earlier analysis, so that turning k, T, delta or eps does not pay for exact
/// attention again.
template <Real T>
HeadAnalysis<T> reanalyze_head(const HeadAnalysis<T>& earlier, const RecoverOptions& options, const RunContext& context = {});

}  // namespace convbasis
