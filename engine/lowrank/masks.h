/// \file
/// 0/1 masks of attention as values, each with what its product costs. S_i is the set of columns of row i. Mathematics page,
/// section 5.
#pragma once

#include "core/types.h"

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace convbasis {

/// Columns [begin, end); empty where begin == end.
struct Interval {
  Index begin;
  Index end;
  Index size() const { return end - begin; }
  bool operator==(const Interval&) const = default;
};

/// Continuous rows: the columns of each row are one interval. Immutable. Memory O(n).
class IntervalMask {
 public:
  /// Any intervals, one a row. Throws InvalidArgument unless 0 <= begin <= end <= n for each of the n of them.
  explicit IntervalMask(std::vector<Interval> rows);
  /// [0, i]. Throws InvalidArgument for n < 0, as those below do.
  static IntervalMask causal(Index n);
  /// The last `window` columns up to i: [i - window + 1, i]. Throws InvalidArgument for a window < 1.
  static IntervalMask sliding_window(Index n, Index window);
  /// LongLoRA's groups for one head, causal: groups of `group` tokens that begin at shift, shift + group, ..., and the tokens
  /// before `shift` a group of their own; a row sees its group as far as itself. LongLoRA shifts half of the heads by group / 2.
  /// Its last half group and its first are one group there; here they are two, for a token must not see what lies behind it.
  /// Throws InvalidArgument unless group >= 1 and 0 <= shift < group.
  static IntervalMask shifted_groups(Index n, Index group, Index shift);

  Index size() const { return static_cast<Index>(rows_.size()); }
  const Interval& row(Index i) const { return rows_[static_cast<std::size_t>(i)]; }
  bool contains(Index i, Index j) const { return row(i).begin <= j && j < row(i).end; }
  /// Whether neither begin nor end ever falls from one row to the next: then a window slides over the columns.
  bool is_sliding() const;
  /// sum_i |S_i xor S_{i-1}|, S_{-1} empty: what the row-change way costs.
  Index changes() const;
  /// sum_i |S_i|, the ones.
  Index ones() const;

 private:
  std::vector<Interval> rows_;
};

/// Any mask by the columns that come or go from one row to the next. Immutable. Memory O(n + changes).
class RowChangeMask {
 public:
  /// changes[i]: S_i xor S_{i-1}, ascending, each in [0, n). Throws InvalidArgument.
  explicit RowChangeMask(const std::vector<std::vector<Index>>& changes);
  /// The same mask as continuous rows.
  explicit RowChangeMask(const IntervalMask& mask);

  Index size() const { return static_cast<Index>(first_.size()) - 1; }
  /// S_i xor S_{i-1}, ascending.
  std::pair<const Index*, const Index*> row(Index i) const {
    return {columns_.data() + first_[static_cast<std::size_t>(i)], columns_.data() + first_[static_cast<std::size_t>(i) + 1]};
  }
  /// Cost O(log n).
  bool contains(Index i, Index j) const;
  Index changes() const { return static_cast<Index>(columns_.size()); }

 private:
  void list_rows();

  std::vector<Index> first_{0};  ///< of each row's changes, and the end
  std::vector<Index> columns_;
  std::vector<Index> first_of_column_;  ///< the same by column: the rows in which it comes or goes
  std::vector<Index> rows_;
};

/// r' different rows. Immutable. Memory O(n + sum of the sets).
class DistinctRowsMask {
 public:
  /// Row i sees the columns sets[set_of[i]], ascending. Throws InvalidArgument.
  DistinctRowsMask(std::vector<std::vector<Index>> sets, std::vector<Index> set_of);

  Index size() const { return static_cast<Index>(set_of_.size()); }
  Index distinct() const { return static_cast<Index>(sets_.size()); }
  const std::vector<Index>& set(Index s) const { return sets_[static_cast<std::size_t>(s)]; }
  Index set_of(Index i) const { return set_of_[static_cast<std::size_t>(i)]; }
  /// Cost O(log n).
  bool contains(Index i, Index j) const;
  /// The sum of the sizes of the sets.
  Index members() const;

 private:
  std::vector<std::vector<Index>> sets_;
  std::vector<Index> set_of_;
};

/// r' different columns: the transpose of a mask of r' different rows.
class DistinctColumnsMask {
 public:
  /// Column j is seen by the rows sets[set_of[j]], ascending. Throws InvalidArgument.
  DistinctColumnsMask(std::vector<std::vector<Index>> sets, std::vector<Index> set_of)
      : transposed_(std::move(sets), std::move(set_of)) {}

  Index size() const { return transposed_.size(); }
  bool contains(Index i, Index j) const { return transposed_.contains(j, i); }
  const DistinctRowsMask& transposed() const { return transposed_; }

 private:
  DistinctRowsMask transposed_;
};

using Mask = std::variant<IntervalMask, RowChangeMask, DistinctRowsMask, DistinctColumnsMask>;

Index size(const Mask& mask);
bool contains(const Mask& mask, Index i, Index j);
/// Ones and zeros, n x n: for small n.
Matrix<double> dense(const Mask& mask);

}  // namespace convbasis
