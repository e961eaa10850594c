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

}  // namespace

template <Real T>
void require_valid(const HeadView<T>& head) {
  const auto& [query, key, value, scale] = head;
  if (query.rows() < 1 || query.cols() < 1 || value.cols() < 1) {
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
}

template <Real T>
T score(const HeadView<T>& head, Index query, Index key) {
  return static_cast<T>(head.scale) * head.query.row(query).dot(head.key.row(key));
}

template <Real T>
void score_tile(const HeadView<T>& head, Index query, Index key, MutableMatrixView<T> tile) {
  require_tile_inside(head.size(), query, key, tile.rows(), tile.cols());
  const Index depth = head.width();
  const Index width = kernels::panel_width<T>();
  const Index panels = (tile.cols() + width - 1) / width;
  AlignedVector<T> packed(static_cast<std::size_t>(panels * width * depth));
  kernels::pack_transposed<T>(rows(head.key, key, tile.cols()), packed.data());
  Matrix<T> scores(tile.rows(), panels * width);
  kernels::multiply<T>(tile.rows(), depth, panels, head.query.data() + query * head.query.outerStride(), head.query.outerStride(),
                       packed.data(), depth * width, scores.data(), scores.cols(), false);
  tile = static_cast<T>(head.scale) * scores.leftCols(tile.cols());
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
template float score(const HeadView<float>&, Index, Index);
template double score(const HeadView<double>&, Index, Index);
template void score_tile(const HeadView<float>&, Index, Index, MutableMatrixView<float>);
template void score_tile(const HeadView<double>&, Index, Index, MutableMatrixView<double>);
template void probability_tile(const HeadView<float>&, std::span<const double>, Index, Index, MutableMatrixView<float>);
template void probability_tile(const HeadView<double>&, std::span<const double>, Index, Index, MutableMatrixView<double>);

}  // namespace convbasis
