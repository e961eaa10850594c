/// \file
/// Gradients of exact causal attention on a GPU, streamed: mirrors attention/exact_backward. Mathematics page, section 4.
///
/// Every sum belongs to one block and needs no atomics: dQ takes 64 queries past all their keys, dK and dV take 64 keys past all
/// their queries. Each makes the probabilities anew from the stored log-sum-exps: eight tile products where five would do with
/// atomics, and the result does not depend on scheduling, nor on how rows are cut into launches.
#pragma once

#include "cuda/device_head.cuh"

namespace convbasis::cuda {

/// Of the head's queries.
struct ExactBackwardArguments {
  const double* lse = nullptr;             ///< queries
  const float* output_gradient = nullptr;  ///< G, queries x d_v
  const float* delta = nullptr;            ///< G_i . Y_i, queries
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
__device__ inline TilePart tile_part(const DeviceHead<float>& head, const ExactBackwardArguments& a, int row, int column,
                                     const TileMemory& memory) {
  TilePart tile, product;
  multiply_tile({head.query, head.queries, head.d}, row, {head.key, head.keys, head.d}, column, memory.left, memory.right,
                tile.entry);
  if constexpr (gradient) {
    multiply_tile({a.output_gradient, head.queries, head.value_width}, row, {head.value, head.keys, head.value_width}, column,
                  memory.left, memory.right, product.entry);
  }
  for (int i = 0; i < tile_each; ++i) {
    const int query = row + tile_each * thread_y() + i;
    const bool exists = query < head.queries;
    const double lse = exists ? a.lse[query] : 0.0;
    const auto high = static_cast<float>(lse);  // two floats have its digits, and subtracting them is exact enough
    const auto low = static_cast<float>(lse - high);
    const float delta = exists && gradient ? a.delta[query] : 0.0F;
    for (int j = 0; j < tile_each; ++j) {
      const int key = head.first_key + column + thread_x() + tile_side * j;
      const bool seen = exists && key <= head.first_query + query;
      float& entry = tile.entry[i][j];
      entry = seen ? expf(score_of(head, entry, head.first_query + query, key) - high - low) : 0.0F;
      if constexpr (gradient) entry *= product.entry[i][j] - delta;
    }
  }
  return tile;
}

/// dQ of the launch's queries: queries x d, unscaled between launches.
template <int columns>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>)
    query_gradient_kernel(DeviceHead<float> head, ExactBackwardArguments a, float* query_gradient) {
  CONVBASIS_SHARED(float, left, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, right, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, weight_tile, tile_size* tile_pitch);
  CONVBASIS_SHARED(float, row_tile, sum_depth* columns* tile_side);
  const int first = last_tiles_first();
  const DeviceRows key{head.key, head.keys, head.d};
  float gradient[tile_each][columns];
  load_rows<columns>(head.begins ? nullptr : query_gradient, first, head.queries, head.d, gradient);
  for (int at = 0; tile_seen(head, first, at); at += tile_size) {
    const TilePart tile = tile_part<true>(head, a, first, at, {left, right});
    store_by_key(tile.entry, weight_tile);
    add_weighted_rows<columns>(weight_tile, key, at, row_tile, gradient);
  }
  store_rows<columns>(gradient, head.ends ? head.scale : 1.0F, first, head.queries, head.d, query_gradient);
}

/// dV, the sum over queries of P and rows of G, or dK, that of dS and rows of Q, of the launch's keys: keys x d_v or keys x d,
/// dK unscaled between launches.
template <int columns, bool of_value>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>)
    key_gradient_kernel(DeviceHead<float> head, ExactBackwardArguments a, float* key_gradient) {
  CONVBASIS_SHARED(float, left, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, right, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, weight_tile, tile_size* tile_pitch);
  CONVBASIS_SHARED(float, row_tile, sum_depth* columns* tile_side);
  const int first = static_cast<int>(blockIdx.x) * tile_size;  // the dearest first: these keys are seen by the most queries
  const int width = of_value ? head.value_width : head.d;
  const DeviceRows rows{of_value ? a.output_gradient : head.query, head.queries, width};
  float gradient[tile_each][columns];
  load_rows<columns>(head.begins ? nullptr : key_gradient, first, head.keys, width, gradient);
  // Both begin at a multiple of 64: the tile on the diagonal is the first that sees the keys.
  for (int at = max(0, head.first_key + first - head.first_query); at < head.queries; at += tile_size) {
    const TilePart tile = tile_part<!of_value>(head, a, at, first, {left, right});
    store_by_query(tile.entry, weight_tile);
    add_weighted_rows<columns>(weight_tile, rows, at, row_tile, gradient);
  }
  store_rows<columns>(gradient, head.ends && !of_value ? head.scale : 1.0F, first, head.keys, width, key_gradient);
}

inline cudaError_t launch_output_products(const float* gradient, const float* output, int rows, int width, float* delta,
                                          cudaStream_t stream) {
  constexpr int rows_of_a_block = tile_threads / 32;
  const dim3 grid(static_cast<unsigned>((rows + rows_of_a_block - 1) / rows_of_a_block));
  return launch("output_products", &output_products_kernel, grid, dim3(tile_threads), stream, gradient, output, rows, width,
                delta);
}

inline cudaError_t launch_query_gradient(const DeviceHead<float>& head, const ExactBackwardArguments& a, float* query_gradient,
                                         cudaStream_t stream) {
  return with_columns(head.d, [&](auto columns) {
    return launch("query_gradient", &query_gradient_kernel<columns>, dim3(tiles_of(head.queries)), dim3(tile_threads), stream,
                  head, a, query_gradient);
  });
}

/// Both of the keys' gradients.
inline cudaError_t launch_key_gradients(const DeviceHead<float>& head, const ExactBackwardArguments& a, float* key_gradient,
                                        float* value_gradient, cudaStream_t stream) {
  const dim3 grid(tiles_of(head.keys));
  const cudaError_t error = with_columns(head.d, [&](auto columns) {
    return launch("key_gradient", &key_gradient_kernel<columns, false>, grid, dim3(tile_threads), stream, head, a, key_gradient);
  });
  if (error != cudaSuccess) return error;
  return with_columns(head.value_width, [&](auto columns) {
    return launch("value_gradient", &key_gradient_kernel<columns, true>, grid, dim3(tile_threads), stream, head, a,
                  value_gradient);
  });
}

}  // namespace convbasis::cuda
