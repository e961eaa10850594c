/// \file
/// One head in a few numbers and a small picture: what the table and the grid of a model's heads show. Unlike HeadAnalysis it
/// keeps neither tensors nor outputs, so that a thousand heads fit in memory.
#pragma once

#include "attention/head.h"
#include "basis/recover.h"
#include "core/run_context.h"

#include <optional>
#include <vector>

namespace convbasis {

struct HeadSummaryOptions {
  RecoverOptions recover = {};
  double target_error = 0.05;  ///< the relative output error that k_for_target is to reach, > 0
  Index most_k = 256;          ///< the largest k tried for it, >= 1; cut to n
  Index sink = 4;              ///< the first columns, >= 1, whose share of the attention is sink_mass
  Index band = 16;             ///< the last lags, >= 1, whose share of the attention is band_mass

  bool operator==(const HeadSummaryOptions&) const = default;
};

/// The relative output error ||Y~ - Y||_F / ||Y||_F of Recover with k segments.
struct ErrorAtK {
  Index k = 0;
  double error = 0.0;
};

inline constexpr Index thumbnail_side = 64;

/// All figures propagate NaN. The masses and the entropy are of exact attention, means over rows.
struct HeadSummary {
  HeadSummaryOptions options;
  Index n = 0;

  double entropy = 0.0;           ///< - sum_j P_ij log2 P_ij, in bits
  double relative_entropy = 0.0;  ///< entropy of row i over its largest, log2(i + 1); rows from 1 on; NaN for n = 1
  double sink_mass = 0.0;         ///< sum of P_ij over j < sink; rows i >= sink, as it is 1 before; NaN when there are none
  double band_mass = 0.0;         ///< sum of P_ij over i - j < band; rows i >= band; NaN when there are none

  double error = 0.0;    ///< at options.recover.k
  Index found = 0;       ///< segments found with that k
  Index most_found = 0;  ///< with the largest k that was tried, which is most_tried
  Index most_tried = 0;
  /// Empty when no measured k reached the target. Otherwise the first of 1, 2, 4, ... that did, refined by bisection down to its
  /// predecessor. The error need not fall with k, so a smaller one can exist.
  std::optional<Index> k_for_target;
  std::vector<ErrorAtK> errors;  ///< all that were measured, by ascending k; k is the number of segments used

  /// The exact probabilities, thumbnail_side squared, row-major: pixel (a, b) is the mean over the causal cells of rows
  /// [a n / side, (a + 1) n / side) and likewise columns; NaN where there is none. Below n = side a cell spans several pixels.
  std::vector<float> thumbnail;

  /// The error with another k where it was measured already: for k among `errors`, and for every k >= most_found when most_tried
  /// brought no more.
  std::optional<double> error_at(Index k) const;
};

/// Throws InvalidArgument, naming what is wrong, unless `options` fit a head of `size` tokens.
void require_valid(const HeadSummaryOptions& options, Index size);

/// Cost: exact attention, its n^2 / 2 probabilities once more, one recovery with the largest k and about log2(k) + 2 (up to twice
/// that where the target is reached) applications of a basis: O(n^2 d + k n d). Memory O(n (d + k)), nothing n x n. The masses
/// and the picture do not depend on the number of threads. Throws InvalidArgument, Cancelled.
template <Real T>
HeadSummary summarize_head(const HeadView<T>& head, const HeadSummaryOptions& options, const RunContext& context = {});

/// The same head with another k: only `error` and `found` are made anew, for exact attention and one application. `earlier` must
/// be of this head. Throws InvalidArgument when n differs or k is not in [1, n], Cancelled.
template <Real T>
HeadSummary with_k(const HeadSummary& earlier, const HeadView<T>& head, Index k, const RunContext& context = {});

/// As above from what is known already; empty when error_at(k) is.
std::optional<HeadSummary> with_known_k(const HeadSummary& earlier, Index k);

}  // namespace convbasis
