/// \file
/// One attention head as the engine sees it, and single scores of it. Mathematics page, section 1.
#pragma once

#include "core/types.h"

#include <memory>
#include <span>
#include <vector>

namespace convbasis {

/// The score of a key that a query must not see, such as one outside a sliding window or of probability 0. Its weight is 0 in
/// either precision beside any score that a model makes, and unlike minus infinity it leaves no NaN where scores are subtracted.
inline constexpr double masked_score = -1e4;

/// Scores that were given as they are, not as queries and keys: a lower-triangular matrix, in a file usually.
template <Real T>
class ScoreMatrix {
 public:
  virtual ~ScoreMatrix() = default;
  virtual Index size() const = 0;
  /// out(x, y) = S(row + x, column + y). Entries above the diagonal may be anything. The caller stays inside the matrix.
  /// Any thread may read. Throws FileError.
  virtual void read(Index row, Index column, MutableMatrixView<T> out) const = 0;
};

/// Query (n x d), key (n x d) and value (n x d_v) of one head; the scores are, on and below the diagonal,
/// S_ij = scale * Q_i . K_j + bias[i - j], or what `matrix` says where there is one (query and key are n x 0 then).
/// A view: the tensors must outlive it.
template <Real T>
struct HeadView {
  MatrixView<T> query;
  MatrixView<T> key;
  MatrixView<T> value;
  double scale;
  std::span<const T> bias = {};            ///< position bias by lag, at least n numbers; empty: none
  const ScoreMatrix<T>* matrix = nullptr;  ///< of at least n rows

  Index size() const { return query.rows(); }         ///< n, tokens
  Index width() const { return query.cols(); }        ///< d, of query and key; 0 for a head that is given by its scores
  Index value_width() const { return value.cols(); }  ///< d_v
};

/// Owned tensors of one head.
template <Real T>
struct HeadTensors {
  Matrix<T> query;
  Matrix<T> key;
  Matrix<T> value;
  double scale = 1.0;
  std::vector<T> bias = {};                                ///< see HeadView
  std::shared_ptr<const ScoreMatrix<T>> matrix = nullptr;  ///< see HeadView

  HeadView<T> view() const {
    return {convbasis::view(query), convbasis::view(key), convbasis::view(value), scale, bias, matrix.get()};
  }
  /// The first n tokens only; causal attention of a prefix is a prefix of causal attention. Needs n <= query.rows().
  HeadView<T> view(Index n) const {
    const HeadView<T> all = view();
    return {rows(all.query, 0, n), rows(all.key, 0, n), rows(all.value, 0, n), scale, bias, matrix.get()};
  }
};

/// Throws InvalidArgument unless the shapes fit each other, n >= 1, d >= 1 (0 with a matrix, which has no bias), d_v >= 1 and
/// scale is finite.
template <Real T>
void require_valid(const HeadView<T>& head);

/// The score S_ij of query i and key j <= i. Cost O(d). The caller keeps i and j in range.
template <Real T>
T score(const HeadView<T>& head, Index query, Index key);

/// scores[y] += bias[query - key - y], the position bias of the query against the keys from `key` on, as far as it sees them.
template <Real T>
void add_bias(const HeadView<T>& head, Index query, Index key, T* scores, Index count);

/// Scores S_ij for i in [query, query + tile.rows()), j in [key, key + tile.cols()), the mask not applied.
/// Cost O(rows * cols * d). Throws InvalidArgument when the tile leaves the matrix.
template <Real T>
void score_tile(const HeadView<T>& head, Index query, Index key, MutableMatrixView<T> tile);

/// Attention probabilities P_ij = exp(S_ij - lse_i) of the same tile, exactly zero above the diagonal.
/// `lse` are the n row log-sum-exps that exact_attention() gives. Cost O(rows * cols * d).
template <Real T>
void probability_tile(const HeadView<T>& head, std::span<const double> lse, Index query, Index key, MutableMatrixView<T> tile);

}  // namespace convbasis
