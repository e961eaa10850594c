/// \file
/// Attention by a matrix of low rank, of two kinds that are never to be confused: the truncated SVD of P, a yardstick that has
/// read all of P, and polynomial features of queries and keys, which an engine could compute. Mathematics page, section 5.
#pragma once

#include "analysis/exact_part.h"
#include "analysis/yardsticks.h"
#include "attention/head.h"
#include "core/run_context.h"
#include "lowrank/lowrank_attention.h"

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
  Index degree = 2;  ///< of features, 0 to max_exp_degree
  bool operator==(const RankOptions&) const = default;
};

/// Largest rank of an SVD: its dense steps, which cannot be stopped, take some seconds there.
inline constexpr Index svd_rank_limit = 1024;

/// Why features of this degree cannot be made for queries and keys of `width` numbers and values of `value_width`, and what could
/// be: too many of them for the memory that they may take, in float. Empty when they can.
std::string feature_problem(Index degree, Index width, Index value_width);

/// Throws InvalidArgument, with what would do, for a rank or degree that is none, for an SVD of more than yardstick_limit tokens,
/// for features of a head that has a position bias or is given by its scores, and for feature_problem(): before any work.
template <Real T>
void require_valid(const RankOptions& options, const HeadView<T>& head);

/// P~ of one head. Only its causal part counts: what the factors of an SVD hold above the diagonal is dropped, as no key is seen
/// there. That costs nothing (running sums) and brings P~ nearer to P, though not always Y~ to Y: see unmasked_error. Immutable;
/// for any thread. The head must outlive one of features.
template <Real T>
struct RankApproximation {
  RankOptions options;
  Index rank = 0;                ///< of an SVD k; of features their number
  MatrixFactors<T> factors;      ///< of an SVD: U and V Sigma, n x k each, largest singular value first; else empty
  std::vector<double> singular;  ///< of an SVD: its k singular values, descending
  std::vector<double> lse;       ///< of an SVD: of exact attention, all rows
  /// Of an SVD: ||L R^T V - Y||_F / ||Y||_F with what is above the diagonal kept: the figure of the ladder's rung.
  double unmasked_error = std::numeric_limits<double>::quiet_NaN();
  std::shared_ptr<const LowRankResult<T>> features;  ///< null of an SVD

  /// P~ of one row, for the columns from `column` on, all of them <= row. Cost O(size of target * k).
  void probabilities(Index row, Index column, std::span<T> target) const;
  /// S~ likewise, which compares with S: log P~ + lse of an SVD, the logarithm of the weight of features; masked_score where that
  /// is not positive.
  void scores(Index row, Index column, std::span<T> target) const;
};

/// The approximation, and P~ V in `output` (n x d_v). `exact` must be complete for an SVD. Cost of an SVD: 4 n^2 (k + 8)
/// multiply-adds; memory n^2 numbers. Of features: see lowrank_attention(), by features or from scores, whichever is cheaper. The
/// result does not depend on the number of threads. Throws InvalidArgument as require_valid() and for an incomplete exact part,
/// Cancelled.
template <Real T>
RankApproximation<T> approximate_by_rank(const HeadView<T>& head, const ExactPart<T>& exact, const RankOptions& options,
                                         Matrix<T>& output, const RunContext& context = {});

/// What was done, for people: "truncated SVD of rank 16, causal part", "2145 features of degree 2".
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
