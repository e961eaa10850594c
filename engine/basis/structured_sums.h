/// \file
/// What proportional fitting needs of a head's probabilities, gathered in passes over tiles of them; no n x n matrix is kept.
/// Mathematics page, section 7.
#pragma once

#include "attention/head.h"
#include "basis/structured_fit.h"
#include "core/run_context.h"

#include <span>
#include <vector>

namespace convbasis {

/// The rows that a pass looks at, and what each counts for: 1, or more where it stands for others too.
struct WeightedRows {
  std::vector<Index> rows;     ///< ascending
  std::vector<double> weight;  ///< of each
  std::vector<double> lse;     ///< of each

  /// Rows first, first + step, ... of all n, with weight 1. `lse` of all rows.
  static WeightedRows every(std::span<const double> lse, Index first, Index step);
};

/// Sums over the rows, with their weights, for each of the n columns.
struct ColumnSums {
  std::vector<double> squares;          ///< of P_ij^2
  std::vector<double> squares_outside;  ///< of P_ij^2, i - j >= band
  std::vector<double> outside;          ///< of P_ij, i - j >= band
};

/// Cost: O(rows n d). The result does not depend on the number of threads. Throws Cancelled.
template <Real T>
ColumnSums column_sums(const HeadView<T>& head, const WeightedRows& rows, Index band, const RunContext& context = {});

/// The `count` columns whose squares (those of the rule) times ||V_j - mean V||^2 are largest, ascending: those that dropping
/// hurts most.
template <Real T>
std::vector<Index> choose_columns(const ColumnSums& sums, MatrixView<T> value, Index count, ColumnRule rule = ColumnRule::whole);

/// Starts, from 0 on, of at most k segments of about the same `mass`.
std::vector<Index> equal_mass_starts(std::span<const double> mass, Index k);

/// Sums of the rest M, which is P outside of the exact entries.
struct RestSums {
  ExactEntries exact = {};
  std::vector<Index> starts = {};                  ///< of the segments; may be empty
  std::vector<Index> rows = {};                    ///< that were looked at, ascending
  std::vector<double> weight = {};                 ///< of each
  std::vector<double> row = {};                    ///< sum_j M_ij of each, without its weight
  std::vector<double> column = {};                 ///< sum_i weight_i M_ij, n numbers
  std::vector<std::vector<double>> diagonal = {};  ///< of each segment: the weighted sum of M on lag t, n - start numbers
  double log_sum = 0.0;                            ///< sum weight_i M_ij log M_ij

  Index size() const { return exact.size; }
  /// Weighted sum of everything.
  double mass() const;
  /// The same with one segment, or none.
  RestSums with_one_segment() const;
  RestSums without_segments() const;
};

/// Cost: O(rows n d); memory O(n k) and a few dozen times n. The result does not depend on the number of threads. Progress under
/// "structured fit". Throws InvalidArgument for shapes that do not fit, Cancelled.
template <Real T>
RestSums rest_sums(const HeadView<T>& head, const WeightedRows& rows, ExactEntries exact, std::vector<Index> starts,
                   const RunContext& context = {});

/// Of two disjoint sets of rows: of both.
RestSums joined(const RestSums& first, const RestSums& second);

}  // namespace convbasis
