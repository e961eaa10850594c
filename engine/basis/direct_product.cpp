#include "basis/direct_product.h"

#include "attention/kernels.h"
#include "core/aligned.h"
#include "core/threads.h"

#include <algorithm>

namespace convbasis {
namespace {

constexpr Index tile_rows = 64;
constexpr Index tile_columns = 256;
constexpr Index transposed_columns = 64;

}  // namespace

template <Real T>
DirectProduct<T>::DirectProduct(const ConvBasis<T>& weights, std::span<const Index> segments) {
  for (const Index r : segments) {
    for (Index j = weights.start(r); j < weights.end(r); ++j) columns_.push_back({j, r});
  }
}

/// Weights of `rows` rows from `row` on and of columns_[first ...), row-major with row length tile_columns.
template <Real T>
void DirectProduct<T>::fill_tile(const ConvBasis<T>& weights, Index row, Index rows, std::size_t first, std::size_t count,
                                 T* tile) const {
  for (std::size_t x = 0; x < count; ++x) {
    const auto [column, segment] = columns_[first + x];
    const T* lags = weights.lag_vector(segment).data();
    for (Index a = 0; a < rows; ++a) {
      const Index lag = row + a - column;
      tile[a * tile_columns + static_cast<Index>(x)] = lag >= 0 ? lags[lag] : T{0};
    }
  }
}

/// The same weights with a row for each column of A, row length tile_rows.
template <Real T>
void DirectProduct<T>::fill_transposed_tile(const ConvBasis<T>& weights, Index row, Index rows, std::size_t first,
                                            std::size_t count, T* tile) const {
  for (std::size_t x = 0; x < count; ++x) {
    const auto [column, segment] = columns_[first + x];
    T* target = tile + static_cast<Index>(x) * tile_rows;
    const Index above = std::clamp<Index>(column - row, 0, rows);
    std::fill_n(target, above, T{0});
    if (above < rows) std::copy_n(weights.lag_vector(segment).data() + (row + above - column), rows - above, target + above);
  }
}

template <Real T>
void DirectProduct<T>::add(const ConvBasis<T>& weights, MatrixView<T> value, std::span<const T> row_factor,
                           MutableMatrixView<T> output, const RunContext& context) const {
  if (columns_.empty()) return;
  const Index width = kernels::panel_width<T>();
  const Index padded = round_up(value.cols(), width);
  Matrix<T> gathered(columns(), value.cols());
  for (Index x = 0; x < columns(); ++x) gathered.row(x) = value.row(columns_[static_cast<std::size_t>(x)].column);
  AlignedVector<T> packed(static_cast<std::size_t>(columns() * padded));
  kernels::pack_columns<T>(view(gathered), packed.data());
  const Index blocks = round_up(value.rows(), tile_rows) / tile_rows;
  // The last rows have the most columns: dearest first.
  parallel_for(context, blocks, [&](Index item, int) {
    const Index row = (blocks - 1 - item) * tile_rows;
    const Index rows_here = std::min(tile_rows, value.rows() - row);
    Matrix<T> tile(tile_rows, tile_columns);
    Matrix<T> sum = Matrix<T>::Zero(rows_here, padded);
    for (Index first = 0; first < columns() && columns_[static_cast<std::size_t>(first)].column < row + rows_here;
         first += tile_columns) {
      const Index count = std::min(tile_columns, columns() - first);
      fill_tile(weights, row, rows_here, static_cast<std::size_t>(first), static_cast<std::size_t>(count), tile.data());
      kernels::multiply<T>(rows_here, count, padded / width, tile.data(), tile_columns, packed.data() + first * width,
                           columns() * width, sum.data(), padded, true);
    }
    for (Index a = 0; a < rows_here; ++a) {
      const T factor = row_factor.empty() ? T{1} : row_factor[static_cast<std::size_t>(row + a)];
      output.row(row + a) += factor * sum.row(a).head(value.cols());
    }
  });
}

template <Real T>
void DirectProduct<T>::apply_transpose(const ConvBasis<T>& weights, MatrixView<T> value, MutableMatrixView<T> output,
                                       const RunContext& context) const {
  if (columns_.empty()) return;
  const Index width = kernels::panel_width<T>();
  const Index padded = round_up(value.cols(), width);
  const Index row_tiles = round_up(value.rows(), tile_rows) / tile_rows;
  Scratch<T> packed(static_cast<std::size_t>(value.rows() * padded));  // one tile of rows after the other
  parallel_for(context, row_tiles, [&](Index item, int) {
    const Index row = item * tile_rows;
    kernels::pack_columns<T>(rows(value, row, std::min(tile_rows, value.rows() - row)), packed.data() + row * padded);
  });
  const Index blocks = round_up(columns(), transposed_columns) / transposed_columns;
  parallel_for(context, blocks, [&](Index item, int) {  // the first columns have the most rows: dearest first
    const auto first = static_cast<std::size_t>(item * transposed_columns);
    const std::size_t count = std::min(static_cast<std::size_t>(transposed_columns), columns_.size() - first);
    Matrix<T> tile(transposed_columns, tile_rows);
    Matrix<T> product(static_cast<Index>(count), padded);
    Matrix<T> sum = Matrix<T>::Zero(static_cast<Index>(count), padded);
    for (Index row = columns_[first].column / tile_rows * tile_rows; row < value.rows(); row += tile_rows) {
      context.check();
      const Index rows_here = std::min(tile_rows, value.rows() - row);
      fill_transposed_tile(weights, row, rows_here, first, count, tile.data());
      kernels::multiply<T>(static_cast<Index>(count), rows_here, padded / width, tile.data(), tile_rows,
                           packed.data() + row * padded, rows_here * width, product.data(), padded, false);
      sum += product;  // tile by tile: shorter chains of additions are more accurate
    }
    for (std::size_t x = 0; x < count; ++x) {
      output.row(columns_[first + x].column) = sum.row(static_cast<Index>(x)).head(value.cols());
    }
  });
}

template class DirectProduct<float>;
template class DirectProduct<double>;

}  // namespace convbasis
