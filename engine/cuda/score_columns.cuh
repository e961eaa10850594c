/// \file
/// Lag vectors of given columns on a GPU: mirrors basis/score_columns. Mathematics page, section 2.
#pragma once

#include "cuda/exact_tiles.cuh"

namespace convbasis::cuda {

struct ScoreColumnsArguments {
  DeviceRows query;   ///< some rows of Q, rows x d
  DeviceRows key;     ///< the keys of the columns, k x d
  const float* bias;  ///< by lag; may be null
  const int* starts;  ///< k columns
  int first_row;      ///< of `query`
  float scale;
  float* scores;  ///< scores[r rows + i] = S(first_row + i, starts[r]), 0 above the diagonal
};

/// 64 queries against 64 of the columns.
__global__ void __launch_bounds__(tile_threads) score_columns_kernel(ScoreColumnsArguments a) {
  CONVBASIS_SHARED(float, query_tile, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, key_tile, product_depth* tile_pitch);
  const int first_row = static_cast<int>(blockIdx.x) * tile_size;
  const int first_column = static_cast<int>(blockIdx.y) * tile_size;
  float product[tile_each][tile_each];
  multiply_tile(a.query, first_row, a.key, first_column, query_tile, key_tile, product);
  for (int i = 0; i < tile_each; ++i) {
    const int row = first_row + tile_each * thread_y() + i;
    for (int j = 0; j < tile_each; ++j) {
      const int column = first_column + thread_x() + tile_side * j;
      if (row >= a.query.rows || column >= a.key.rows) continue;
      const int lag = a.first_row + row - a.starts[column];
      const float bias = a.bias != nullptr && lag >= 0 ? a.bias[lag] : 0.0F;
      a.scores[static_cast<std::size_t>(column) * a.query.rows + row] = lag >= 0 ? a.scale * product[i][j] + bias : 0.0F;
    }
  }
}

inline cudaError_t launch_score_columns(const ScoreColumnsArguments& arguments, cudaStream_t stream) {
  const dim3 grid(tiles_of(arguments.query.rows), tiles_of(arguments.key.rows));
  return launch("score_columns", &score_columns_kernel, grid, dim3(tile_threads), stream, arguments);
}

}  // namespace convbasis::cuda
