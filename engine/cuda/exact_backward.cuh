/// \file
/// Gradients of exact causal attention on a GPU, streamed: mirrors attention/exact_backward. Mathematics page, section 4.
///
/// Every sum belongs to one block and needs no atomics: dQ takes 64 queries past all their keys, dK and dV take 64 keys past all
/// their queries. Each makes the probabilities anew from the stored log-sum-exps: eight tile products where five would do with
/// atomics, and the result does not depend on scheduling. With grouped queries, a key head's gradient sums over the query heads
/// that read it, in their order.
#pragma once

#include "cuda/exact_attention.cuh"

namespace convbasis::cuda {

struct ExactBackwardArguments {
  const double* lse = nullptr;             ///< heads x n
  const float* output_gradient = nullptr;  ///< G, heads x n x d_v
  const float* delta = nullptr;            ///< G_i . Y_i, heads x n
  float* query = nullptr;                  ///< dQ, heads x n x d
  float* key = nullptr;                    ///< dK, key_heads x n x d
  float* value = nullptr;                  ///< dV, key_heads x n x d_v
};

/// delta[i] = gradient row i . output row i, one warp a row, summed in double.
__global__ void output_products_kernel(const float* gradient, const float* output, int rows, int width, float* delta) {
  constexpr int warp = 32;
  const int row = static_cast<int>(blockIdx.x) * (tile_threads / warp) + static_cast<int>(threadIdx.x) / warp;
  const int lane = static_cast<int>(threadIdx.x) % warp;
  double sum = 0.0;
  if (row < rows) {
    for (int c = lane; c < width; c += warp) {
      const std::size_t at = static_cast<std::size_t>(row) * width + c;
      sum += static_cast<double>(gradient[at]) * static_cast<double>(output[at]);
    }
  }
  for (int with = warp / 2; with > 0; with /= 2) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, with);
  if (row < rows && lane == 0) delta[row] = static_cast<float>(sum);
}

/// A thread's part of a tile: P, or dS.
struct TilePart {
  float entry[tile_each][tile_each];
};

struct TileMemory {
  float* left;
  float* right;
};

/// P, or with `gradient` dS, of the tile of queries from `row` on and keys from `column` on; zero where the query does not see
/// the key, or does not exist.
template <bool gradient>
__device__ inline TilePart tile_part(const DeviceHeads& heads, const ExactBackwardArguments& a, std::size_t head, int row,
                                     int column, const TileMemory& memory) {
  const std::size_t key_head = head / heads.queries_of_a_key;
  const int n = heads.n;
  TilePart tile, product;
  multiply_tile(rows_of(heads.query, head, n, heads.d), row, rows_of(heads.key, key_head, n, heads.d), column, memory.left,
                memory.right, tile.entry);
  if constexpr (gradient) {
    multiply_tile(rows_of(a.output_gradient, head, n, heads.d_v), row, rows_of(heads.value, key_head, n, heads.d_v), column,
                  memory.left, memory.right, product.entry);
  }
  for (int i = 0; i < tile_each; ++i) {
    const int query = row + tile_each * thread_y() + i;
    const bool exists = query < n;
    const float lse = exists ? static_cast<float>(a.lse[head * n + query]) : 0.0F;
    const float delta = exists && gradient ? a.delta[head * n + query] : 0.0F;
    for (int j = 0; j < tile_each; ++j) {
      const int key = column + thread_x() + tile_side * j;
      const bool seen = exists && key <= query;
      float& entry = tile.entry[i][j];
      entry = seen ? expf(score_of(heads, entry, query, key) - lse) : 0.0F;
      if constexpr (gradient) entry *= product.entry[i][j] - delta;
    }
  }
  return tile;
}

/// Writes a thread's part of a tile for add_weighted_rows(): by key then query, or by query then key.
__device__ inline void store_by_key(const float (&part)[tile_each][tile_each], float* tile) {
  for (int i = 0; i < tile_each; ++i) {
    for (int j = 0; j < tile_each; ++j) tile[(thread_x() + tile_side * j) * tile_pitch + tile_each * thread_y() + i] = part[i][j];
  }
}
__device__ inline void store_by_query(const float (&part)[tile_each][tile_each], float* tile) {
  for (int i = 0; i < tile_each; ++i) {
    for (int j = 0; j < tile_each; ++j) tile[(tile_each * thread_y() + i) * tile_pitch + thread_x() + tile_side * j] = part[i][j];
  }
}

template <int columns>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>)
    query_gradient_kernel(DeviceHeads heads, ExactBackwardArguments a) {
  CONVBASIS_SHARED(float, left, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, right, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, weight_tile, tile_size* tile_pitch);
  CONVBASIS_SHARED(float, row_tile, sum_depth* columns* tile_side);
  const int first = (static_cast<int>(gridDim.x) - 1 - static_cast<int>(blockIdx.x)) * tile_size;  // the dearest first
  const std::size_t head = blockIdx.y;
  const DeviceRows key = rows_of(heads.key, head / heads.queries_of_a_key, heads.n, heads.d);
  float gradient[tile_each][columns];
  for (auto& row : gradient) {
    for (float& one : row) one = 0.0F;
  }
  for (int at = 0; at <= first; at += tile_size) {
    const TilePart tile = tile_part<true>(heads, a, head, first, at, {left, right});
    store_by_key(tile.entry, weight_tile);
    add_weighted_rows<columns>(weight_tile, key, at, row_tile, gradient);
  }
  store_rows<columns>(gradient, heads.scale, first, heads.n, heads.d,
                      a.query + head * static_cast<std::size_t>(heads.n) * heads.d);
}

/// dV, the sum over queries of P and rows of G, or dK, that of dS and rows of Q, of 64 keys.
template <int columns, bool of_value>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>)
    key_gradient_kernel(DeviceHeads heads, ExactBackwardArguments a) {
  CONVBASIS_SHARED(float, left, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, right, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, weight_tile, tile_size* tile_pitch);
  CONVBASIS_SHARED(float, row_tile, sum_depth* columns* tile_side);
  const int first = static_cast<int>(blockIdx.x) * tile_size;  // the dearest first: these keys are seen by the most queries
  const std::size_t key_head = blockIdx.y;
  const int width = of_value ? heads.d_v : heads.d;
  float gradient[tile_each][columns];
  for (auto& row : gradient) {
    for (float& one : row) one = 0.0F;
  }
  for (int one = 0; one < heads.queries_of_a_key; ++one) {
    const std::size_t head = key_head * heads.queries_of_a_key + one;
    const DeviceRows rows = rows_of(of_value ? a.output_gradient : heads.query, head, heads.n, width);
    for (int at = first; at < heads.n; at += tile_size) {
      const TilePart tile = tile_part<!of_value>(heads, a, head, at, first, {left, right});
      store_by_query(tile.entry, weight_tile);
      add_weighted_rows<columns>(weight_tile, rows, at, row_tile, gradient);
    }
  }
  store_rows<columns>(gradient, of_value ? 1.0F : heads.scale, first, heads.n, width,
                      (of_value ? a.value : a.key) + key_head * static_cast<std::size_t>(heads.n) * width);
}

/// All of it. `delta` is written first. d and d_v at most 256.
inline cudaError_t launch_exact_backward(const DeviceHeads& heads, const float* output, const ExactBackwardArguments& a,
                                         float* delta, cudaStream_t stream) {
  constexpr int rows_of_a_block = tile_threads / 32;
  const int rows = heads.heads * heads.n;
  const dim3 all(static_cast<unsigned>((rows + rows_of_a_block - 1) / rows_of_a_block));
  const dim3 block(tile_threads);
  const dim3 by_query(tiles_of(heads.n), static_cast<unsigned>(heads.heads));
  const dim3 by_key(tiles_of(heads.n), static_cast<unsigned>(heads.heads / heads.queries_of_a_key));
  cudaError_t error = launch("output_products", &output_products_kernel, all, block, 0, stream, a.output_gradient, output, rows,
                             heads.d_v, delta);
  if (error != cudaSuccess) return error;
  error = with_columns(heads.d, [&](auto columns) {
    return launch("query_gradient", &query_gradient_kernel<columns>, by_query, block, 0, stream, heads, a);
  });
  if (error != cudaSuccess) return error;
  error = with_columns(heads.d, [&](auto columns) {
    return launch("key_gradient", &key_gradient_kernel<columns, false>, by_key, block, 0, stream, heads, a);
  });
  if (error != cudaSuccess) return error;
  return with_columns(heads.d_v, [&](auto columns) {
    return launch("value_gradient", &key_gradient_kernel<columns, true>, by_key, block, 0, stream, heads, a);
  });
}

}  // namespace convbasis::cuda
