/// \file
/// One attention head as the engine sees it, and single scores of it. Mathematics page, section 1.
#pragma once

#include "core/types.h"

#include <span>

namespace convbasis {

/// Query (n x d), key (n x d) and value (n x d_v) of one head; the scores are scale * Q K^T on and below the diagonal.
/// A view: the tensors must outlive it.
template <Real T>
struct HeadView {
  MatrixView<T> query;
  MatrixView<T> key;
  MatrixView<T> value;
  double scale;

  Index size() const { return query.rows(); }         ///< n, tokens
  Index width() const { return query.cols(); }        ///< d, of query and key
  Index value_width() const { return value.cols(); }  ///< d_v
};

/// Owned tensors of one head.
template <Real T>
struct HeadTensors {
  Matrix<T> query;
  Matrix<T> key;
  Matrix<T> value;
  double scale = 1.0;

  HeadView<T> view() const { return {convbasis::view(query), convbasis::view(key), convbasis::view(value), scale}; }
  /// The first n tokens only; causal attention of a prefix is a prefix of causal attention. Needs n <= query.rows().
  HeadView<T> view(Index n) const {
    const HeadView<T> all = view();
    return {rows(all.query, 0, n), rows(all.key, 0, n), rows(all.value, 0, n), scale};
  }
};

/// Throws InvalidArgument unless the shapes fit each other, n >= 1, d >= 1, d_v >= 1 and scale is finite.
template <Real T>
void require_valid(const HeadView<T>& head);

/// The score S_ij = scale * Q_i . K_j of query i and key j. Cost O(d). The caller keeps i and j in range.
template <Real T>
T score(const HeadView<T>& head, Index query, Index key);

/// Scores S_ij for i in [query, query + tile.rows()), j in [key, key + tile.cols()), the mask not applied.
/// Cost O(rows * cols * d). Throws InvalidArgument when the tile leaves the matrix.
template <Real T>
void score_tile(const HeadView<T>& head, Index query, Index key, MutableMatrixView<T> tile);

/// Attention probabilities P_ij = exp(S_ij - lse_i) of the same tile, exactly zero above the diagonal.
/// `lse` are the n row log-sum-exps that exact_attention() gives. Cost O(rows * cols * d).
template <Real T>
void probability_tile(const HeadView<T>& head, std::span<const double> lse, Index query, Index key, MutableMatrixView<T> tile);

}  // namespace convbasis
