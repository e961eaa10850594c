/// \file
/// One head, analysed: exact attention, its conv basis, the approximation and the error. What `convscope analyze` prints
/// and what the window shows.
#pragma once

#include "analysis/error_report.h"
#include "analysis/exact_part.h"
#include "attention/head.h"
#include "basis/apply.h"
#include "basis/recover.h"
#include "core/run_context.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace convbasis {

struct AnalysisSeconds {
  double exact = 0.0, recover = 0.0, apply = 0.0;
};

/// Everything that analysing one head gives. Immutable once made; share it between threads freely.
template <Real T>
struct HeadAnalysis {
  RecoverOptions options;
  std::shared_ptr<const HeadTensors<T>> tensors;  ///< may hold more tokens than were analysed
  Index n = 0;                                    ///< how many were: the first n
  std::shared_ptr<const ExactPart<T>> exact;      ///< shared by all analyses of the same tokens
  Matrix<T> output;                               ///< Y~
  Recovery<T> recovery;
  std::shared_ptr<const ConvWeights<T>> weights;
  ApplyReport apply;
  ErrorReport error;
  /// 2 (e^{2 eps} - 1) max |V|, only where it is proved: eps <= delta / (5 T), and the recovered scores are within 2 eps of the
  /// true ones (measured: error.max_score_error, up to rounding). Real heads have none.
  std::optional<double> bound;
  AnalysisSeconds seconds;

  HeadView<T> head() const { return tensors->view(n); }  ///< the tokens that were analysed
};

/// Analyses the whole of `head`. Throws InvalidArgument (bad options), Cancelled.
template <Real T>
HeadAnalysis<T> analyze_head(HeadTensors<T> head, const RecoverOptions& options, const RunContext& context = {});

/// As above, of the first n tokens of tensors that are shared, with an exact part of them, complete or not. Throws
/// InvalidArgument unless it is that of n tokens.
template <Real T>
HeadAnalysis<T> analyze_head(std::shared_ptr<const HeadTensors<T>> head, std::shared_ptr<const ExactPart<T>> exact,
                             const RecoverOptions& options, const RunContext& context = {});

/// As above, but keeps tokens and exact part of an earlier analysis, so that turning k, T, delta or eps does not pay for exact
/// attention again.
template <Real T>
HeadAnalysis<T> reanalyze_head(const HeadAnalysis<T>& earlier, const RecoverOptions& options, const RunContext& context = {});

}  // namespace convbasis
