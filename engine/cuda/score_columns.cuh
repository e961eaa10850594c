/// \file
/// Lag vectors of given columns on a GPU: mirrors basis/score_columns. Mathematics page, section 2.
#pragma once

#include "cuda/exact_tiles.cuh"

namespace convbasis::cuda {

struct ScoreColumnsArguments {
  DeviceRows query;            ///< Q, n x d
  DeviceRows key;              ///< the keys of the columns, k x d
  const float* bias;           ///< by lag; may be null
  const int* starts;           ///< k columns
  const long long* positions;  ///< where each lag vector begins in `lags`
  float scale;
  float* lags;  ///< lags[positions[r] + t] = S(starts[r] + t, starts[r])
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
      const int lag = row - a.starts[column];
      if (lag >= 0) a.lags[a.positions[column] + lag] = a.scale * product[i][j] + (a.bias != nullptr ? a.bias[lag] : 0.0F);
    }
  }
}

inline cudaError_t launch_score_columns(const ScoreColumnsArguments& arguments, cudaStream_t stream) {
  const dim3 grid(tiles_of(arguments.query.rows), tiles_of(arguments.key.rows));
  return launch("score_columns", &score_columns_kernel, grid, dim3(tile_threads), 0, stream, arguments);
}

}  // namespace convbasis::cuda
