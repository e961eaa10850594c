/// \file
/// Fitting the structured model to a head from all of its probabilities. Mathematics page, section 7.
#pragma once

#include "attention/head.h"
#include "basis/structured_fit.h"
#include "basis/structured_sums.h"
#include "core/run_context.h"

#include <optional>
#include <span>
#include <vector>

namespace convbasis {

/// Which entries of a head are exact, and how its columns are cut, for given options.
struct Structure {
  ExactEntries exact;
  std::vector<Index> starts;  ///< of the segments; empty for k = 0
};

/// Cost: one pass over the probabilities of `rows`, O(rows n d). Throws InvalidArgument, Cancelled.
template <Real T>
Structure choose_structure(const HeadView<T>& head, const WeightedRows& rows, const StructuredOptions& options,
                           const RunContext& context = {});

/// What all fits of one structure are made from.
struct HeadSums {
  RestSums all;                  ///< over all rows
  std::optional<RestSums> even;  ///< over rows 0, 2, 4, ...; where a fit is to be held against rows that it has not seen
};

/// `lse` are the row log-sum-exps of exact attention. Cost: one pass over all probabilities. Throws InvalidArgument, Cancelled.
template <Real T>
HeadSums gather_sums(const HeadView<T>& head, std::span<const double> lse, const Structure& structure, bool heldout,
                     const RunContext& context = {});

/// The fit to all rows of `sums`.
template <Real T>
StructuredFit fit_structured(const HeadView<T>& head, std::span<const double> lse, const RestSums& sums,
                             const StructuredOptions& options, const RunContext& context = {});

/// Column factors and lag vectors fitted to the even rows; odd rows have their own mass and nothing else of their own. The error
/// over odd rows is then one over rows that the fit has not seen. Which columns are exact, and where segments start, is not
/// fitted anew. `sums` must have even ones.
template <Real T>
StructuredFit fit_heldout(const HeadView<T>& head, std::span<const double> lse, const HeadSums& sums,
                          const StructuredOptions& options, const RunContext& context = {});

/// All of the above at once: the model of `options` for a head. Cost: two passes over all probabilities, O(n^2 d), and 3 n^2 / 2
/// multiply-adds for each round with lag vectors. Memory: O(n (d + k)). Throws InvalidArgument, Cancelled.
template <Real T>
StructuredFit fit_structured(const HeadView<T>& head, std::span<const double> lse, const StructuredOptions& options,
                             const RunContext& context = {});

}  // namespace convbasis
