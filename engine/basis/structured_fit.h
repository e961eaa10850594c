/// \file
/// A structured model of attention: a band and some columns kept exactly, and a product of few vectors for the rest.
/// Mathematics page, section 7.
///
/// P~_ij = P_ij where i - j < band or j is one of `columns`; elsewhere (causal) the rest A_ij = a_i b_j g_r[i - j], where r is
/// the segment that column j lies in. Without lag vectors g = 1, and the rest has rank one.
#pragma once

#include "attention/head.h"
#include "basis/conv_basis.h"
#include "core/run_context.h"

#include <span>
#include <vector>

namespace convbasis {

/// What stands in for the rest.
enum class RestKind {
  dropped,  ///< nothing: A = 0. The exact entries are the whole softmax, lse is theirs
  uniform,  ///< every row spreads its rest evenly: b = g = 1
  fitted    ///< a, b and the lag vectors
};

/// Which entries of a column count when the exact columns are chosen.
enum class ColumnRule {
  whole,        ///< all
  outside_band  ///< those that the band does not make exact anyway
};

struct StructuredOptions {
  Index band = 64;     ///< w in [0, n]: lags below it are exact
  Index columns = 16;  ///< c in [0, n]: so many columns are exact
  Index k = 16;        ///< lag vectors, at least 0; there are fewer where the rest has fewer columns
  ColumnRule column_rule = ColumnRule::whole;
  RestKind rest = RestKind::fitted;
  int rounds = 10;          ///< of proportional fitting at most, at least 1
  double tolerance = 1e-6;  ///< a round that lowers the objective by less than this part of the rest's mass is the last

  bool operator==(const StructuredOptions&) const = default;
};

/// Throws InvalidArgument, naming what is wrong, unless `options` fit a head of `size` tokens.
void require_valid(const StructuredOptions& options, Index size);

/// Which entries of an n x n causal matrix are exact.
struct ExactEntries {
  Index size = 0;
  Index band = 0;
  std::vector<Index> columns = {};  ///< ascending

  bool has_column(Index column) const;
  /// Of a causal entry. Cost O(log c).
  bool contains(Index row, Index column) const { return row - column < band || has_column(column); }
};

/// A fitted model. Immutable once made; safe to read from any thread. Memory: O(n + sum_r (n - start(r))) numbers.
struct StructuredFit {
  ExactEntries exact = {};
  std::vector<double> lse = {};            ///< P_ij = exp(S_ij - lse_i) of the exact entries
  std::vector<double> row_factor = {};     ///< a, n numbers; 0 in rows without a rest
  std::vector<double> column_factor = {};  ///< b, n numbers; 0 on the exact columns
  /// g: one lag vector for each segment of the columns, 0 for lags below the band, its largest entry 1. No segment at all: g = 1.
  ConvBasis<double> lags = ConvBasis<double>(0);
  /// sum M log(M / A) - M + A over the rest M, in nats, before the first round, b = g = 1, and after each step of each: b, g
  /// (where there are lag vectors), a.
  std::vector<double> objective = {};
  int rounds = 0;        ///< that were made
  bool sampled = false;  ///< from some rows only; lse and row_factor are then estimates

  Index size() const { return exact.size; }
  Index k() const { return lags.count(); }
  /// A_ij of a causal entry outside the exact ones; 0 elsewhere. Cost O(log c + log k).
  double rest(Index row, Index column) const;
  /// A for i in [row, ...), j in [column, ...); exactly zero in exact entries and above the diagonal.
  template <Real T>
  void rest_tile(Index row, Index column, MutableMatrixView<T> tile) const;
  /// P~ of the head that was fitted, for the same entries. Cost O(rows * cols * d). Throws InvalidArgument when the tile leaves
  /// the matrix.
  template <Real T>
  void probability_tile(const HeadView<T>& head, Index row, Index column, MutableMatrixView<T> tile) const;
};

}  // namespace convbasis
