#include "basis/score_columns.h"

#include "attention/kernels.h"
#include "core/aligned.h"
#include "core/errors.h"
#include "core/threads.h"

#include <algorithm>
#include <string>

namespace convbasis {

template <Real T>
std::vector<std::vector<T>> ScoreColumns<T>::read_whole(std::span<const Index> columns, const RunContext& context) const {
  std::vector<std::vector<T>> lags(columns.size());
  parallel_for(context, std::ssize(columns), [&](Index r, int) {
    const auto index = static_cast<std::size_t>(r);
    lags[index].resize(static_cast<std::size_t>(size() - columns[index]));
    read(columns[index], lags[index]);
  });
  return lags;
}

template <Real T>
HeadScores<T>::HeadScores(const HeadView<T>& head) : head_(head) {
  require_valid(head);
}

template <Real T>
void HeadScores<T>::read(Index column, std::span<T> lags) const {
  if (head_.matrix) return head_.matrix->read(column, column, {lags.data(), std::ssize(lags), 1, Eigen::OuterStride<>(1)});
  const T* key = head_.key.data() + column * head_.key.outerStride();
  kernels::multiply_vector<T>(rows(head_.query, column, static_cast<Index>(lags.size())), key, static_cast<T>(head_.scale),
                              lags.data());
  for (std::size_t t = 0; t < lags.size() && !head_.bias.empty(); ++t) lags[t] += head_.bias[t];
}

template <Real T>
std::vector<std::vector<T>> HeadScores<T>::read_whole(std::span<const Index> columns, const RunContext& context) const {
  constexpr Index fewest = 6;  // below, a product of whole panels does more than it saves
  if (std::ssize(columns) < fewest) return ScoreColumns<T>::read_whole(columns, context);
  if (head_.matrix) return read_whole_from_matrix(columns, context);
  const Index depth = head_.width();
  const Index width = kernels::panel_width<T>();
  Matrix<T> keys(std::ssize(columns), depth);
  std::vector<std::vector<T>> lags(columns.size());
  for (std::size_t r = 0; r < columns.size(); ++r) {
    keys.row(static_cast<Index>(r)) = static_cast<T>(head_.scale) * head_.key.row(columns[r]);
    lags[r].resize(static_cast<std::size_t>(size() - columns[r]));
  }
  const Index padded = round_up(keys.rows(), width);
  AlignedVector<T> packed(static_cast<std::size_t>(padded * depth));
  kernels::pack_transposed<T>(view(keys), packed.data());
  constexpr Index tile_rows = 64;
  parallel_for(context, (size() + tile_rows - 1) / tile_rows, [&](Index item, int) {
    const Index first = item * tile_rows;
    const Index count = std::min(tile_rows, size() - first);
    const Index causal = std::lower_bound(columns.begin(), columns.end(), first + count) - columns.begin();
    if (causal == 0) return;
    Matrix<T> tile(count, padded);
    kernels::multiply<T>(count, depth, (causal + width - 1) / width, head_.query.data() + first * head_.query.outerStride(),
                         head_.query.outerStride(), packed.data(), depth * width, tile.data(), padded, false);
    for (Index r = 0; r < causal; ++r) {
      const Index column = columns[static_cast<std::size_t>(r)];
      T* target = lags[static_cast<std::size_t>(r)].data() + (first - column);
      for (Index a = std::max<Index>(0, column - first); a < count; ++a) target[a] = tile(a, r);
    }
  });
  for (std::size_t r = 0; r < lags.size() && !head_.bias.empty(); ++r) {
    for (std::size_t t = 0; t < lags[r].size(); ++t) lags[r][t] += head_.bias[t];
  }
  return lags;
}

template <Real T>
std::vector<std::vector<T>> HeadScores<T>::read_whole_from_matrix(std::span<const Index> columns,
                                                                  const RunContext& context) const {
  std::vector<std::vector<T>> lags(columns.size());
  for (std::size_t r = 0; r < columns.size(); ++r) lags[r].resize(static_cast<std::size_t>(size() - columns[r]));
  // Whole stretches of rows: a file gives a row as fast as one of its numbers.
  parallel_for(context, size() - columns.front(), [&](Index item, int) {
    const Index row = columns.front() + item;
    const Index causal = std::upper_bound(columns.begin(), columns.end(), row) - columns.begin();
    RowVector<T> stretch(columns[static_cast<std::size_t>(causal - 1)] - columns.front() + 1);
    head_.matrix->read(row, columns.front(), {stretch.data(), 1, stretch.size(), Eigen::OuterStride<>(stretch.size())});
    for (std::size_t r = 0; r < static_cast<std::size_t>(causal); ++r) {
      lags[r][static_cast<std::size_t>(row - columns[r])] = stretch(columns[r] - columns.front());
    }
  });
  return lags;
}

template <Real T>
MatrixScores<T>::MatrixScores(MatrixView<T> matrix) : matrix_(matrix) {
  if (matrix.rows() != matrix.cols()) {
    throw InvalidArgument("matrix is " + std::to_string(matrix.rows()) + " x " + std::to_string(matrix.cols()) +
                          "; it must be square");
  }
}

template <Real T>
void MatrixScores<T>::read(Index column, std::span<T> lags) const {
  for (std::size_t t = 0; t < lags.size(); ++t) lags[t] = matrix_(column + static_cast<Index>(t), column);
}

template class ScoreColumns<float>;
template class ScoreColumns<double>;
template class HeadScores<float>;
template class HeadScores<double>;
template class MatrixScores<float>;
template class MatrixScores<double>;

}  // namespace convbasis
