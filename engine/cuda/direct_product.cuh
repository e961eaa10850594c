/// \file
/// Short segments as small dense products on a GPU: mirrors basis/direct_product.
#pragma once

#include "cuda/exact_tiles.cuh"

namespace convbasis::cuda {

/// One column of A that is multiplied directly: its lags begin at `position`.
struct DirectColumn {
  long long position;
  int column;
};

struct DirectArguments {
  const float* lags;
  const DirectColumn* columns;  ///< ascending
  int count;
  const float* value;   ///< rows of `width` numbers: of the listed columns alone; for the transposed product all n
  int n, width;         ///< width at most 256
  const float* factor;  ///< of output rows, or of value rows for the transposed product; may be null
  float* output;        ///< n x width
};

__device__ inline float direct_weight(const DirectArguments& a, int row, int at) {
  if (at >= a.count || row >= a.n) return 0.0F;
  const DirectColumn column = a.columns[at];
  return row >= column.column ? a.lags[column.position + (row - column.column)] : 0.0F;
}

/// output row i += factor_i sum over the columns. 64 rows a block.
template <int columns>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>) direct_product_kernel(DirectArguments a) {
  CONVBASIS_SHARED(float, weight_tile, tile_size* tile_pitch);
  CONVBASIS_SHARED(float, row_tile, sum_depth* columns* tile_side);
  const int first = (static_cast<int>(gridDim.x) - 1 - static_cast<int>(blockIdx.x)) * tile_size;  // the dearest first
  float sum[tile_each][columns];
  for (auto& row : sum) {
    for (float& one : row) one = 0.0F;
  }
  const DeviceRows value{a.value, a.count, a.width};
  for (int at = 0; at < a.count && a.columns[at].column < first + tile_size; at += tile_size) {
    for (int i = 0; i < tile_each; ++i) {
      for (int j = 0; j < tile_each; ++j) {
        const int row = tile_each * thread_y() + i;
        const int column = thread_x() + tile_side * j;
        weight_tile[column * tile_pitch + row] = direct_weight(a, first + row, at + column);
      }
    }
    add_weighted_rows<columns>(weight_tile, value, at, row_tile, sum);
    __syncthreads();  // the last weights are read
  }
  for (int i = 0; i < tile_each; ++i) {
    const int row = first + tile_each * thread_y() + i;
    for (int c = 0; c < columns; ++c) {
      const int column = thread_x() + tile_side * c;
      if (row >= a.n || column >= a.width) continue;
      float& target = a.output[static_cast<std::size_t>(row) * a.width + column];
      target += (a.factor != nullptr ? a.factor[row] : 1.0F) * sum[i][c];
    }
  }
}

/// output row j = sum over rows i of A_ij factor_i value row i, for the listed columns j. 64 columns a block.
template <int columns>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>) direct_transpose_kernel(DirectArguments a) {
  CONVBASIS_SHARED(float, weight_tile, tile_size* tile_pitch);
  CONVBASIS_SHARED(float, row_tile, sum_depth* columns* tile_side);
  const int first = static_cast<int>(blockIdx.x) * tile_size;
  float sum[tile_each][columns];
  for (auto& row : sum) {
    for (float& one : row) one = 0.0F;
  }
  const DeviceRows value{a.value, a.n, a.width};
  for (int at = a.columns[first].column / tile_size * tile_size; at < a.n; at += tile_size) {
    for (int i = 0; i < tile_each; ++i) {
      for (int j = 0; j < tile_each; ++j) {
        const int row = tile_each * thread_y() + i;
        const int column = thread_x() + tile_side * j;
        const float factor = a.factor != nullptr && at + row < a.n ? a.factor[at + row] : 1.0F;
        weight_tile[row * tile_pitch + column] = factor * direct_weight(a, at + row, first + column);
      }
    }
    add_weighted_rows<columns>(weight_tile, value, at, row_tile, sum);
    __syncthreads();  // the last weights are read
  }
  for (int i = 0; i < tile_each; ++i) {
    const int at = first + tile_each * thread_y() + i;
    if (at >= a.count) continue;
    for (int c = 0; c < columns; ++c) {
      const int column = thread_x() + tile_side * c;
      if (column < a.width) a.output[static_cast<std::size_t>(a.columns[at].column) * a.width + column] = sum[i][c];
    }
  }
}

inline cudaError_t launch_direct_product(const DirectArguments& arguments, bool transpose, cudaStream_t stream) {
  const dim3 grid(tiles_of(transpose ? arguments.count : arguments.n));
  return with_columns(arguments.width, [&](auto columns) {
    return launch(transpose ? "direct_transpose" : "direct_product",
                  transpose ? &direct_transpose_kernel<columns> : &direct_product_kernel<columns>, grid, dim3(tile_threads), 0,
                  stream, arguments);
  });
}

}  // namespace convbasis::cuda
