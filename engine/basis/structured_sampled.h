/// \file
/// Fitting the structured model to a long head from some of its rows and columns, without exact attention of the others.
/// Mathematics page, section 7.
///
/// Column factors and lag vectors come from rows of exact attention, one out of each of so many strata; lag vectors are constant
/// on bins of lags, wide enough to hold some entries, and drawn towards their mean over the segments. The mass of each row's rest
/// is then estimated from landmarks, columns at equal steps of (half) the rest's mass and (half) the columns: exp(S_ij) over them
/// against what the model has there. With the exact entries' mass that gives every row its normaliser, too.
#pragma once

#include "attention/head.h"
#include "basis/structured.h"
#include "basis/structured_fit.h"
#include "basis/structured_scaling.h"
#include "core/run_context.h"

#include <vector>

namespace convbasis {

struct SampleOptions {
  Index rows = 1024;      ///< that are looked at, at least 1; all where there are no more
  Index landmarks = 128;  ///< columns that every row is held against, at least 1
  LagSmoothing smoothing = {};

  bool operator==(const SampleOptions&) const = default;
};

/// Throws InvalidArgument, naming what is wrong.
void require_valid(const SampleOptions& options);

/// The longest head that is fitted from all of its rows unless a sample is asked for.
inline constexpr Index full_fit_limit = 8192;

/// What fits from a sample are made from; one for each band and choice of columns.
struct SampledHead {
  RestSums sums;                         ///< over the rows of the sample, each weighted with the size of its stratum
  std::vector<double> lse;               ///< of these rows
  std::vector<double> exact_log_mass;    ///< log sum exp(S_ij) over the exact entries, all n rows
  std::vector<Index> landmarks;          ///< ascending, in the rest
  std::vector<double> landmark_weights;  ///< how many columns each stands for
};

/// Rows of a sample: one of each of `count` strata of about the same size, at a place that a hash of its number picks. With their
/// weights, without their log-sum-exps.
WeightedRows stratified_rows(Index size, Index count);

/// Cost: O(rows n d) for the sample, O(n (w + c) d) for the exact entries. Throws InvalidArgument, Cancelled.
template <Real T>
SampledHead sample_head(const HeadView<T>& head, const StructuredOptions& options, const SampleOptions& sample,
                        const RunContext& context = {});

/// The fit of options.rest. lse and row factors are estimates, but in rows of the sample and in those with few landmarks before
/// them, which are made exact. Cost: 3 rows n multiply-adds a round with lag vectors, O(n landmarks d), one FFT product; memory
/// O(n (k + d)). The result does not depend on the number of threads. Throws Cancelled.
template <Real T>
StructuredFit fit_sampled(const HeadView<T>& head, const SampledHead& sampled, const StructuredOptions& options,
                          const SampleOptions& sample, const RunContext& context = {});

/// Both at once.
template <Real T>
StructuredFit fit_sampled(const HeadView<T>& head, const StructuredOptions& options, const SampleOptions& sample = {},
                          const RunContext& context = {});

}  // namespace convbasis
