/// \file
/// Scores and exact attention of chosen rows, for inputs that are too long for all of them. Mathematics page, section 1.
#pragma once

#include "attention/head.h"
#include "core/aligned.h"
#include "core/run_context.h"

#include <span>
#include <vector>

namespace convbasis {

/// Scores of chosen queries against stretches of keys. Immutable; safe to use from any thread. Memory: rows * d numbers.
template <Real T>
class RowScores {
 public:
  /// Keys of one tile at most.
  static constexpr Index tile_keys = 256;

  /// Where a tile is written: one for each thread.
  class Tile {
   public:
    /// The scores of the x-th chosen row against the tile's keys; valid for rows that see the first of them.
    T* row(Index x) { return scores_.data() + x * tile_keys; }

   private:
    friend class RowScores;
    AlignedVector<T> packed_, scores_;
  };

  /// `rows` ascending in [0, n). The head must outlive this object. Throws InvalidArgument.
  RowScores(const HeadView<T>& head, std::span<const Index> rows);

  std::span<const Index> rows() const { return rows_; }
  /// The first chosen row that sees `key`, as a place among the chosen rows.
  Index first_to_see(Index key) const;
  /// S_ij for the chosen rows from first_to_see(key) on and the keys [key, key + count), count <= tile_keys; the mask is not
  /// applied. Cost O(rows count d).
  void compute(Index key, Index count, Tile& tile) const;

 private:
  void read_matrix(Index first, Index key, Index count, Tile& tile) const;

  HeadView<T> head_;
  std::vector<Index> rows_;
  AlignedVector<T> queries_;  ///< times the scale
};

/// output.row(x) = row rows[x] of softmax(scale Q K^T, causal) V and lse[x] its log-sum-exp. `rows` ascending in [0, n). An
/// output without columns asks for the log-sum-exps alone, which saves V. Cost: rows * n * (d + output.cols()) multiply-adds at
/// most. Accuracy: sums in T over 256 keys, in double beyond. The result does not depend on the number of threads. Throws
/// InvalidArgument for shapes that do not fit, Cancelled.
template <Real T>
void exact_rows(const HeadView<T>& head, std::span<const Index> rows, MutableMatrixView<T> output, std::span<double> lse,
                const RunContext& context = {});

}  // namespace convbasis
