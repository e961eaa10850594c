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
  // For the transposed product: its columns are few, and a block that took all rows of its own would be one of a few at work.
  int part_rows = 0;         ///< whole tiles
  float* partial = nullptr;  ///< by part, listed column, number
};

/// A of a row and the column at this place of the list; 0 past the ends and above the diagonal.
__device__ inline float direct_weight(const DirectArguments& a, int row, int at) {
  if (at >= a.count || row >= a.n) return 0.0F;
  const DirectColumn column = a.columns[at];
  return row >= column.column ? a.lags[column.position + (row - column.column)] : 0.0F;
}

/// A thread's part of the tile of rows from `row` on and listed columns from `at` on.
__device__ inline void direct_weights(const DirectArguments& a, int row, int at, float (&part)[tile_each][tile_each]) {
  for (int i = 0; i < tile_each; ++i) {
    for (int j = 0; j < tile_each; ++j) {
      part[i][j] = direct_weight(a, row + tile_each * thread_y() + i, at + thread_x() + tile_side * j);
    }
  }
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
    float weight[tile_each][tile_each];
    direct_weights(a, first, at, weight);
    store_by_key(weight, weight_tile);
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

/// partial[p][j] = sum over rows i of part p of A_ij factor_i value row i, for the listed columns j. 64 columns a block.
template <int columns>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>) direct_transpose_kernel(DirectArguments a) {
  CONVBASIS_SHARED(float, weight_tile, tile_size* tile_pitch);
  CONVBASIS_SHARED(float, row_tile, sum_depth* columns* tile_side);
  const int first = static_cast<int>(blockIdx.x) * tile_size;
  const int begin = static_cast<int>(blockIdx.y) * a.part_rows;
  const int end = a.n - begin < a.part_rows ? a.n : begin + a.part_rows;
  float sum[tile_each][columns];
  for (auto& row : sum) {
    for (float& one : row) one = 0.0F;
  }
  const DeviceRows value{a.value, a.n, a.width};
  for (int at = max(begin, a.columns[first].column / tile_size * tile_size); at < end; at += tile_size) {
    float weight[tile_each][tile_each];
    direct_weights(a, at, first, weight);
    for (int i = 0; i < tile_each; ++i) {
      const int row = at + tile_each * thread_y() + i;
      const float factor = a.factor != nullptr && row < a.n ? a.factor[row] : 1.0F;
      for (float& one : weight[i]) one *= factor;
    }
    store_by_query(weight, weight_tile);
    add_weighted_rows<columns>(weight_tile, value, at, row_tile, sum);
    __syncthreads();  // the last weights are read
  }
  const std::size_t part = static_cast<std::size_t>(blockIdx.y) * a.count * a.width;
  store_rows<columns>(sum, 1.0F, first, a.count, a.width, a.partial + part);
}

/// output row j = the sum over the parts, in their order, for the listed columns j.
__global__ void add_parts_kernel(DirectArguments a, int parts) {
  const int at = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (at >= a.count * a.width) return;
  float sum = 0.0F;
  for (int part = 0; part < parts; ++part) sum += a.partial[static_cast<std::size_t>(part) * a.count * a.width + at];
  a.output[static_cast<std::size_t>(a.columns[at / a.width].column) * a.width + at % a.width] = sum;
}

inline cudaError_t launch_direct_product(const DirectArguments& arguments, cudaStream_t stream) {
  return with_columns(arguments.width, [&](auto columns) {
    return launch("direct_product", &direct_product_kernel<columns>, dim3(tiles_of(arguments.n)), dim3(tile_threads), stream,
                  arguments);
  });
}

inline cudaError_t launch_direct_transpose(const DirectArguments& arguments, int parts, cudaStream_t stream) {
  const dim3 grid(tiles_of(arguments.count), static_cast<unsigned>(parts));
  const cudaError_t error = with_columns(arguments.width, [&](auto columns) {
    return launch("direct_transpose", &direct_transpose_kernel<columns>, grid, dim3(tile_threads), stream, arguments);
  });
  if (error != cudaSuccess) return error;
  const int numbers = arguments.count * arguments.width;
  return launch("add_parts", &add_parts_kernel, dim3(static_cast<unsigned>((numbers + tile_threads - 1) / tile_threads)),
                dim3(tile_threads), stream, arguments, parts);
}

}  // namespace convbasis::cuda
