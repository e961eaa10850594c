/// \file
/// Where a basis is recovered from: the columns of a lower-triangular matrix, read entry by entry from the diagonal down.
#pragma once

#include "attention/head.h"
#include "core/run_context.h"
#include "core/types.h"

#include <span>
#include <vector>

namespace convbasis {

/// Reads lag vectors h_j[t] = H_{j+t, j} of a lower-triangular n x n matrix. Implementations are thread-safe.
template <Real T>
class ScoreColumns {
 public:
  virtual ~ScoreColumns() = default;
  virtual Index size() const = 0;
  /// lags[t] = h_column[t] for t < lags.size(). The caller keeps column + lags.size() <= size().
  virtual void read(Index column, std::span<T> lags) const = 0;
  /// The whole lag vectors, of length size() - column, of ascending columns; on the threads of `context`.
  virtual std::vector<std::vector<T>> read_whole(std::span<const Index> columns, const RunContext& context) const;
};

/// The scores of a head. From Q and K: d multiply-adds an entry, no n x n matrix.
template <Real T>
class HeadScores final : public ScoreColumns<T> {
 public:
  explicit HeadScores(const HeadView<T>& head);
  Index size() const override { return head_.size(); }
  void read(Index column, std::span<T> lags) const override;
  /// One product of Q with the keys of all columns, a block of rows at a time.
  std::vector<std::vector<T>> read_whole(std::span<const Index> columns, const RunContext& context) const override;

 private:
  std::vector<std::vector<T>> read_whole_from_matrix(std::span<const Index> columns, const RunContext& context) const;

  HeadView<T> head_;
};

/// An explicit square matrix; entries above the diagonal are ignored.
template <Real T>
class MatrixScores final : public ScoreColumns<T> {
 public:
  /// Throws InvalidArgument unless square.
  explicit MatrixScores(MatrixView<T> matrix);
  Index size() const override { return matrix_.rows(); }
  void read(Index column, std::span<T> lags) const override;

 private:
  MatrixView<T> matrix_;
};

}  // namespace convbasis
