/// \file
/// Attention by a matrix of low rank, of two kinds that are never to be confused: the truncated SVD of P, a yardstick that has
/// read all of P, and polynomial features of queries and keys, which an engine could compute. Mathematics page, section 5.
#pragma once

#include "analysis/exact_part.h"
#include "analysis/yardsticks.h"
#include "attention/head.h"
#include "core/run_context.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convbasis {

enum class RankKind : std::uint8_t {
  svd,      ///< truncated SVD of P: of all matrices of rank k the nearest in the Frobenius norm, so none does much better
  features  ///< exp(q.k) as phi(q).phi(k) with all monomials up to a degree
};
/// "svd", "features": as the command line calls them.
constexpr std::string_view name_of(RankKind kind) { return kind == RankKind::svd ? "svd" : "features"; }

struct RankOptions {
  RankKind kind = RankKind::svd;
  Index k = 16;      ///< rank of an SVD, 1 to n, and at most svd_rank_limit
  Index degree = 2;  ///< of features, at least 0
  bool operator==(const RankOptions&) const = default;
};

/// Largest rank of an SVD: its small eigenproblem, which cannot be stopped, takes a second there.
inline constexpr Index svd_rank_limit = 1024;

/// Throws InvalidArgument, with what would do, for a rank or degree that is none, for an SVD of more than yardstick_limit tokens,
/// and for features that would take more memory than they may: before any work.
template <Real T>
void require_valid(const RankOptions& options, const HeadView<T>& head);

/// P~ of one head. Only its causal part counts: what the factors of an SVD hold above the diagonal is dropped, as no key is seen
/// there; dropping it costs nothing (running sums) and brings P~ nearer to P. Immutable; for any thread.
template <Real T>
struct RankApproximation {
  RankOptions options;
  Index rank = 0;                ///< of an SVD k; of features their number
  MatrixFactors<T> factors;      ///< of an SVD: U and V Sigma, n x k each, largest singular value first; else empty
  std::vector<double> singular;  ///< of an SVD: its k singular values, descending
  std::vector<double> lse;       ///< of an SVD: of exact attention, all rows
  /// Of an SVD: ||L R^T V - Y||_F / ||Y||_F with what is above the diagonal kept: the figure of the ladder's rung.
  double unmasked_error = std::numeric_limits<double>::quiet_NaN();

  /// P~ of one row, for the columns from `column` on, all of them <= row. Cost O(size of target * k).
  void probabilities(Index row, Index column, std::span<T> target) const;
  /// S~ = log P~ + lse likewise, which compares with S; masked_score where P~ is not positive.
  void scores(Index row, Index column, std::span<T> target) const;
};

/// The approximation, and P~ V in `output` (n x d_v). `exact` must be complete for an SVD. Cost of an SVD: 4 n^2 (k + 8)
/// multiply-adds. Memory: n^2 numbers. The result does not depend on the number of threads. Throws InvalidArgument as
/// require_valid() and for an incomplete exact part, Cancelled.
template <Real T>
RankApproximation<T> approximate_by_rank(const HeadView<T>& head, const ExactPart<T>& exact, const RankOptions& options,
                                         Matrix<T>& output, const RunContext& context = {});

/// What was done, for people: "truncated SVD of rank 16, causal part".
template <Real T>
std::string describe(const RankApproximation<T>& approximation);

/// The truncated SVD of the head's P, its columns in the order of descending singular values. `lse` of all rows.
template <Real T>
MatrixFactors<T> probability_factors(const HeadView<T>& head, std::span<const double> lse, Index rank,
                                     const RunContext& context = {});

/// output = (the causal part of left right^T) value, n x d_v, by running sums. Cost: 2 n k d_v multiply-adds.
template <Real T>
Matrix<T> causal_factored_product(const MatrixFactors<T>& factors, MatrixView<T> value, const RunContext& context = {});

}  // namespace convbasis
