#include "attention/head.h"

#include "attention/kernels.h"
#include "core/aligned.h"
#include "core/errors.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace convbasis {
namespace {

std::string shape(Index rows, Index cols) { return std::to_string(rows) + " x " + std::to_string(cols); }

/// Throws unless the tile at (row, column) lies inside an n x n matrix.
void require_tile_inside(Index n, Index row, Index column, Index rows, Index cols) {
  if (row < 0 || column < 0 || rows > n - row || cols > n - column) {
    throw InvalidArgument("tile at (" + std::to_string(row) + ", " + std::to_string(column) + ") of size " + shape(rows, cols) +
                          " leaves the " + shape(n, n) + " matrix");
  }
}

template <Real T>
void require_valid_matrix(const ScoreMatrix<T>& matrix, Index n, Index depth, bool biased) {
  if (matrix.size() < n) {
    throw InvalidArgument("the score matrix has " + std::to_string(matrix.size()) + " rows; it must have " + std::to_string(n) +
                          ", one for each row of the value");
  }
  if (depth != 0 || biased) throw InvalidArgument("a head that is given by its scores has neither query, key nor bias");
}

}  // namespace

template <Real T>
void require_valid(const HeadView<T>& head) {
  const auto& [query, key, value, scale, bias, matrix] = head;
  if (matrix) require_valid_matrix(*matrix, query.rows(), query.cols(), !bias.empty());
  if (query.rows() < 1 || (query.cols() < 1 && !matrix) || value.cols() < 1) {
    throw InvalidArgument("query is " + shape(query.rows(), query.cols()) + " and value " + shape(value.rows(), value.cols()) +
                          "; each needs at least one row and one column");
  }
  if (key.rows() != query.rows() || key.cols() != query.cols()) {
    throw InvalidArgument("key is " + shape(key.rows(), key.cols()) + "; it must be " + shape(query.rows(), query.cols()) +
                          " like query");
  }
  if (value.rows() != query.rows()) {
    throw InvalidArgument("value has " + std::to_string(value.rows()) + " rows; it must have " + std::to_string(query.rows()) +
                          " like query and key");
  }
  if (!std::isfinite(scale)) throw InvalidArgument("scale is not finite; it is usually 1/sqrt(d)");
  if (!bias.empty() && std::ssize(bias) < query.rows()) {
    throw InvalidArgument("bias has " + std::to_string(bias.size()) + " lags; it must have one for each of the " +
                          std::to_string(query.rows()) + " tokens, or none");
  }
}

template <Real T>
T score(const HeadView<T>& head, Index query, Index key) {
  if (head.matrix) {
    T entry;
    head.matrix->read(query, key, {&entry, 1, 1, Eigen::OuterStride<>(1)});
    return entry;
  }
  const T product = static_cast<T>(head.scale) * head.query.row(query).dot(head.key.row(key));
  return head.bias.empty() ? product : product + head.bias[static_cast<std::size_t>(query - key)];
}

template <Real T>
void score_tile(const HeadView<T>& head, Index query, Index key, MutableMatrixView<T> tile) {
  require_tile_inside(head.size(), query, key, tile.rows(), tile.cols());
  if (head.matrix) return head.matrix->read(query, key, tile);
  const Index depth = head.width();
  const Index width = kernels::panel_width<T>();
  const Index panels = (tile.cols() + width - 1) / width;
  AlignedVector<T> packed(static_cast<std::size_t>(panels * width * depth));
  kernels::pack_transposed<T>(rows(head.key, key, tile.cols()), packed.data());
  Matrix<T> scores(tile.rows(), panels * width);
  kernels::multiply<T>(tile.rows(), depth, panels, head.query.data() + query * head.query.outerStride(), head.query.outerStride(),
                       packed.data(), depth * width, scores.data(), scores.cols(), false);
  tile = static_cast<T>(head.scale) * scores.leftCols(tile.cols());
  for (Index a = 0; a < tile.rows(); ++a) add_bias(head, query + a, key, tile.data() + a * tile.outerStride(), tile.cols());
}

template <Real T>
void add_bias(const HeadView<T>& head, Index query, Index key, T* scores, Index count) {
  if (head.bias.empty()) return;
  const Index causal = std::clamp<Index>(query - key + 1, 0, count);
  const T* bias = head.bias.data() + (query - key);
  for (Index y = 0; y < causal; ++y) scores[y] += bias[-y];
}

template <Real T>
void probability_tile(const HeadView<T>& head, std::span<const double> lse, Index query, Index key, MutableMatrixView<T> tile) {
  if (static_cast<Index>(lse.size()) != head.size()) {
    throw InvalidArgument("lse has " + std::to_string(lse.size()) + " entries; it must have one for each of the " +
                          std::to_string(head.size()) + " rows");
  }
  score_tile(head, query, key, tile);
  for (Index a = 0; a < tile.rows(); ++a) {
    const Index row = query + a;
    const Index causal = std::clamp<Index>(row - key + 1, 0, tile.cols());
    T* values = tile.data() + a * tile.outerStride();
    kernels::exp_shifted<T>(values, causal, static_cast<T>(lse[static_cast<std::size_t>(row)]), values);
    std::fill(values + causal, values + tile.cols(), T{0});
  }
}

template void require_valid(const HeadView<float>&);
template void require_valid(const HeadView<double>&);
template void add_bias(const HeadView<float>&, Index, Index, float*, Index);
template void add_bias(const HeadView<double>&, Index, Index, double*, Index);
template float score(const HeadView<float>&, Index, Index);
template double score(const HeadView<double>&, Index, Index);
template void score_tile(const HeadView<float>&, Index, Index, MutableMatrixView<float>);
template void score_tile(const HeadView<double>&, Index, Index, MutableMatrixView<double>);
template void probability_tile(const HeadView<float>&, std::span<const double>, Index, Index, MutableMatrixView<float>);
template void probability_tile(const HeadView<double>&, std::span<const double>, Index, Index, MutableMatrixView<double>);

}  // namespace convbasis
