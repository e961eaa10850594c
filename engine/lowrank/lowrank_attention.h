/// \file
/// Attention by the rank basis: exp(score) as a polynomial, which is a dot product of features, under a mask. Mathematics page,
/// section 5.
#pragma once

#include "attention/head.h"
#include "core/run_context.h"
#include "lowrank/features.h"
#include "lowrank/masks.h"
#include "lowrank/operations.h"

#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace convbasis {

/// How the weights are summed; the result is the same up to rounding.
enum class LowRankWay {
  features,  ///< through the features, wherever a block of rows sees a whole block of columns
  scores,    ///< every weight from its score, as exact attention does: any degree, quadratic
  cheaper,   ///< whichever has fewer multiply-adds; scores where the features pass the memory limit
};

struct LowRankOptions {
  Index degree = 2;
  ExpFit fit = ExpFit::sampled;
  /// For taylor, chebyshev and relative: the scores that the polynomial is for; empty: what a sample of them shows, up to 32 rows
  /// with up to 256 columns each, evenly spread over the causal triangle. The sampled fit always reads that sample.
  std::optional<std::pair<double, double>> interval = {};
  /// Scores are taken against the keys less their mean, which moves the scores of a row by one number, and so changes nothing in
  /// exact attention, but makes the interval smaller. The mean is over all keys.
  bool centre_keys = true;
  LowRankWay way = LowRankWay::features;
  double memory_limit = 1024.0 * 1024.0 * 1024.0;  ///< bytes, for the features and their running sums
};

/// The weights of the rank basis, entry by entry: phi(q) . phi(k) is the polynomial of the score. Immutable; safe to use from any
/// thread. Holds a copy of the keys; the head must outlive it.
template <Real T>
class LowRankScores {
 public:
  /// Throws InvalidArgument for a head that has a position bias or is given by its scores, for features need queries and keys,
  /// and for values that are not finite. Cost O(n d) and 8192 scores.
  LowRankScores(const HeadView<T>& head, const LowRankOptions& options);

  Index size() const { return head_.size(); }
  const HeadView<T>& head() const { return head_; }
  const ExpPolynomial& polynomial() const { return polynomial_; }
  /// The keys that scores are taken against, less their mean when centred.
  MatrixView<T> key() const { return view(*key_); }

  /// weights[y] = the polynomial of the score of (row, column + y), whatever the mask says. May be negative. Cost O(d) each.
  void weight_row(Index row, Index column, std::span<T> weights) const;

 private:
  HeadView<T> head_;
  std::shared_ptr<const Matrix<T>> key_;
  ExpPolynomial polynomial_;
};

template <Real T>
struct LowRankResult {
  LowRankScores<T> scores;
  Mask mask;
  Matrix<T> output = {};             ///< Y~, n x d_v; zero in rows that are not positive
  std::vector<double> row_sum = {};  ///< D~_i, with the polynomial's shift in it
  Index degree = 0;
  Index features = 0;        ///< C(d + g, g), whether made or not
  Index not_positive = 0;    ///< rows whose sum is not above 0: they have no probabilities
  bool by_features = false;  ///< whether blocks that are seen whole went through features; false: every weight is from its score
  double bytes = 0.0;        ///< of features and running sums
  Operations operations = {};

  /// P~_ij of row `row` for the columns from `column` on; zero outside the mask, and in a row that is not positive.
  void probability_row(Index row, Index column, std::span<T> target) const;
  /// The same for the rows from `row` on. The caller stays inside the matrix.
  void probability_tile(Index row, Index column, MutableMatrixView<T> tile) const;
};

/// Y~ = D~^-1 (W o phi(Q) phi(K)^T) V.
///
/// Continuous rows (IntervalMask) are streamed: rows and keys are cut into blocks; whole blocks of keys that a block of rows sees
/// are one running sum of phi(k) (v, 1)^T, r x (d_v + 1) numbers; the rest of its keys are taken one by one, from their scores. A
/// window that slides keeps two stacks of such sums, so nothing is ever subtracted; the second stack holds one sum for each block
/// in the window. No n x r matrix is made. Other masks take the n x r features as a whole, and the masked products.
/// Cost, causal: lowrank_cost(), and up to a quarter more within the blocks. Memory beside the features: O(n (d + d_v)).
/// Accuracy: sums in T, so T's rounding times sum_p |a_p| (scale |q| |k|)^p over D~_i, and slowly more with n (a running sum of n
/// / 100 blocks). Thread-safe; the result does not depend on the number of threads. Throws InvalidArgument for shapes that do not
/// fit, scores that are not finite and, before any work, for features that pass the memory limit; Cancelled.
template <Real T>
LowRankResult<T> lowrank_attention(const HeadView<T>& head, const Mask& mask, const LowRankOptions& options = {},
                                   const RunContext& context = {});
/// Under the causal mask.
template <Real T>
LowRankResult<T> lowrank_attention(const HeadView<T>& head, const LowRankOptions& options = {}, const RunContext& context = {});

/// Multiply-adds of causal attention through features, 2 n r (d_v + 2) with r = C(d + g, g), and of exact attention: the rank
/// basis is cheaper only where r is below n (d + d_v) / (4 (d_v + 2)), about half of n when d = d_v.
double lowrank_cost(Index n, Index width, Index value_width, Index degree);
double exact_cost(Index n, Index width, Index value_width);
/// Bytes of features and running sums under the causal mask, what memory_limit is compared with.
template <Real T>
double lowrank_bytes(Index width, Index value_width, Index degree);

}  // namespace convbasis
