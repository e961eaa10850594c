/// \file
/// The conv basis: a segmentation of the columns of a lower-triangular matrix with one lag vector for each segment.
/// Conv-Basis paper (arXiv 2405.05219), definitions of conv(b, m) and k-conv basis; mathematics page, section 2.
#pragma once

#include "core/types.h"

#include <memory>
#include <span>
#include <vector>

namespace convbasis {

/// H = sum_r conv(b_r, m_r), kept as lag vectors u_r = b_1 + ... + b_r: for a column j in segment r, that is
/// start(r) <= j < end(r), H_ij = u_r[i - j] for i >= j. Columns before start(0) are zero.
/// Immutable; safe to read from any thread; copies share the lag vectors. Memory: sum_r (n - start(r)) numbers.
template <Real T>
class ConvBasis {
 public:
  /// The empty basis of the n x n zero matrix.
  explicit ConvBasis(Index size = 0) : size_(size) {}
  /// `starts` strictly ascending in [0, size); `lag_vectors[r]` of length size - starts[r]. Throws InvalidArgument otherwise.
  ConvBasis(Index size, std::vector<Index> starts, std::vector<std::vector<T>> lag_vectors);

  Index size() const { return size_; }                                ///< n
  Index count() const { return static_cast<Index>(starts_.size()); }  ///< k
  std::span<const Index> starts() const { return starts_; }
  Index start(Index r) const { return starts_[static_cast<std::size_t>(r)]; }  ///< s_r, first column of segment r
  Index end(Index r) const { return r + 1 < count() ? start(r + 1) : size_; }  ///< one past its last column
  Index extent(Index r) const { return size_ - start(r); }                     ///< m_r
  /// u_r, of length m_r: what the first column of the segment holds from the diagonal down.
  std::span<const T> lag_vector(Index r) const { return *lag_vectors_[static_cast<std::size_t>(r)]; }
  /// b_r = u_r - u_{r-1} cut to length m_r, the paper's basis vector. Cost O(m_r).
  std::vector<T> basis_vector(Index r) const;

  /// The same matrix as a basis that starts at column 0: with a segment of zeros in front where needed. Shares the lag vectors.
  ConvBasis starting_at_zero() const;
  /// The basis of the first `count` segments: the last of them then reaches to the end. Shares the lag vectors.
  ConvBasis first(Index count) const;

  /// The segment that column j belongs to, -1 for a column before start(0). Cost O(log k).
  Index segment_of(Index column) const;
  /// H_ij; zero above the diagonal. Cost O(log k).
  T entry(Index row, Index column) const;
  /// H for i in [row, row + tile.rows()), j in [column, column + tile.cols()). Cost O(rows * cols + cols log k).
  void tile(Index row, Index column, MutableMatrixView<T> tile) const;
  /// H of one row, for the columns from `column` on, all of them <= row. Cost O(size of target + k).
  void row(Index row, Index column, std::span<T> target) const;

 private:
  Index size_;
  std::vector<Index> starts_;
  std::vector<std::shared_ptr<const std::vector<T>>> lag_vectors_;
};

}  // namespace convbasis
