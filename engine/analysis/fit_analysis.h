/// \file
/// One head and its structured fit: exact attention, the model, its output and the error. The counterpart of head_analysis.h for
/// fits; mathematics page, section 7.
#pragma once

#include "analysis/error_report.h"
#include "analysis/exact_part.h"
#include "attention/head.h"
#include "basis/apply.h"
#include "basis/structured_fit.h"
#include "basis/structured_sampled.h"
#include "core/run_context.h"

#include <limits>
#include <memory>
#include <optional>

namespace convbasis {

/// The longest head whose fit is held against exact attention of all rows.
inline constexpr Index exact_fit_limit = 65536;

struct FitSeconds {
  double exact = 0.0, fit = 0.0, apply = 0.0;
};

/// Everything that fitting one head gives. Immutable once made; share it between threads freely.
template <Real T>
struct FitAnalysis {
  StructuredOptions options;
  std::shared_ptr<const HeadTensors<T>> tensors;
  std::shared_ptr<const ExactPart<T>> exact;
  std::shared_ptr<const StructuredFit> fit;
  Matrix<T> output;  ///< Y~
  ApplyReport apply;
  ErrorReport error;
  /// ||Y~ - Y||_F / ||Y||_F over odd rows when columns and lags are fitted to even ones; NaN where there is no odd row,
  /// and of a fit to a sample.
  double heldout_error = std::numeric_limits<double>::quiet_NaN();
  FitSeconds seconds;

  HeadView<T> head() const { return tensors->view(); }
};

/// The relative error over the known rows that are odd; NaN when there are none.
template <Real T>
double odd_row_error(const ExactPart<T>& exact, const Matrix<T>& output);

/// Fits the whole of `head`: from a sample of its rows when `sample` says so or the head is longer than full_fit_limit, without
/// held-out error then; exact attention is of some rows alone beyond exact_fit_limit. Cost otherwise: exact attention, two passes
/// over all probabilities, the fit twice (once for the held-out error) and two products. Throws InvalidArgument (bad options),
/// Cancelled.
template <Real T>
FitAnalysis<T> fit_head(HeadTensors<T> head, const StructuredOptions& options, const std::optional<SampleOptions>& sample = {},
                        const RunContext& context = {});

}  // namespace convbasis
