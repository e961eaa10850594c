/// \file
/// What a head is made of: the error of one structured model after the other, each with an ingredient more, and beside them other
/// ways to spend as many operations. Mathematics page, section 7.
#pragma once

#include "analysis/exact_part.h"
#include "attention/head.h"
#include "basis/structured_fit.h"
#include "core/run_context.h"

#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace convbasis {

struct LadderOptions {
  Index band = 64;     ///< w in [0, n]
  Index columns = 16;  ///< c in [0, n]
  Index k = 16;        ///< lag vectors of the top rung, at least 0
  ColumnRule column_rule = ColumnRule::whole;
  int rounds = 10;         ///< of proportional fitting, at least 1
  bool heldout = true;     ///< measure every fit on rows that it has not seen as well
  bool yardsticks = true;  ///< the rungs beside the ladder
  /// Fits from so many rows (structured_sampled.h), at least 0; 0: from all rows up to full_fit_limit tokens, from 1024 beyond.
  /// Such fits have no held-out error.
  Index sample_rows = 0;
  Index rank = 0;            ///< of the non-negative factors; 0: what costs as much as the lag vectors
  int rank_iterations = 60;  ///< of theirs

  bool operator==(const LadderOptions&) const = default;
};

/// Throws InvalidArgument, naming what is wrong, unless `options` fit a head of `size` tokens.
void require_valid(const LadderOptions& options, Index size);

/// The keys of the rungs, in the order in which a ladder has them. Rungs that would repeat another one or that cannot be made are
/// left out: lag vectors that k does not ask for, a wider band where there are none, matrix factors beyond yardstick_limit
/// tokens.
namespace rung {
inline constexpr std::string_view columns = "columns";                    ///< exact columns only, the rest dropped
inline constexpr std::string_view band = "band";                          ///< and the exact band
inline constexpr std::string_view rest_mass = "rest_mass";                ///< and each row's rest, spread evenly
inline constexpr std::string_view rank_one = "rank_one";                  ///< or by one factor for each column
inline constexpr std::string_view one_lag_vector = "one_lag_vector";      ///< and one for each lag
inline constexpr std::string_view lag_vectors = "lag_vectors";            ///< and k for each lag
inline constexpr std::string_view wider_band = "wider_band";              ///< rank one, and a band as dear as the lag vectors
inline constexpr std::string_view nonnegative_rank = "nonnegative_rank";  ///< non-negative factors of the rest
inline constexpr std::string_view truncated_svd = "truncated_svd";        ///< of all of P, neither band nor columns
}  // namespace rung

/// The longest head whose matrix is held in memory for factors of it.
inline constexpr Index yardstick_limit = 4096;

struct LadderRung {
  std::string key;    ///< of namespace rung
  Index band = 0;     ///< w
  Index columns = 0;  ///< c
  Index k = 0;        ///< lag vectors there are
  /// Fits from so many rows (structured_sampled.h), at least 0; 0: from all rows up to full_fit_limit tokens, from 1024 beyond.
  /// Such fits have no held-out error.
  Index sample_rows = 0;
  Index rank = 0;                                                   ///< of matrix factors, for the rungs that are made of them
  double error = 0.0;                                               ///< ||Y~ - Y||_F / ||Y||_F over the rows that are known
  double heldout_error = std::numeric_limits<double>::quiet_NaN();  ///< fitted on even rows, over odd rows; NaN: not measured
  double cost = 0.0;     ///< multiply-adds for each of the n d numbers of V: see ladder_cost()
  double seconds = 0.0;  ///< applying it, plan included
};

struct Ladder {
  LadderOptions options;
  Index n = 0;
  std::vector<LadderRung> rungs;
  double fit_seconds = 0.0;  ///< all fits
  bool monotone = true;      ///< no step of a fit raised its objective, but by rounding

  /// Null when it has none with this key.
  const LadderRung* find(std::string_view key) const;
};

/// Multiply-adds for each of the n d numbers of V: band 2 w, columns 2 c, rank one 2, lag vectors 5 log2(2 n / k) + 2 k.
double ladder_cost(Index n, Index band, Index columns, Index k, bool has_rest);

/// Makes the ladder of a head. `exact` must be of the same head; unknown log-sum-exps of its rows are made known. Errors are over
/// the rows whose exact output is known. Cost: a few passes over all probabilities, O(n^2 d); 3 rounds n^2 multiply-adds for each
/// fit with lag vectors; each rung's own product. Memory: O(n (d + k)); n^2 numbers for the matrix factors. Progress under
/// "ladder". Errors and figures do not depend on the number of threads. Throws InvalidArgument, Cancelled.
template <Real T>
Ladder make_ladder(const HeadView<T>& head, const ExactPart<T>& exact, const LadderOptions& options = {},
                   const RunContext& context = {});

}  // namespace convbasis
