/// \file
/// Exact causal attention on a GPU, streamed: mirrors attention/exact_attention. Mathematics page, section 1.
///
/// A block takes 64 queries of one head past all keys they see, 64 at a time. The 16 threads that share a query keep its running
/// maximum and sum (online softmax). The result does not depend on scheduling.
#pragma once

#include "cuda/exact_tiles.cuh"

namespace convbasis::cuda {

/// Heads one after the other, row-major without gaps, on the device.
struct DeviceHeads {
  const float* query = nullptr;  ///< heads x n x d
  const float* key = nullptr;    ///< key_heads x n x d
  const float* value = nullptr;  ///< key_heads x n x d_v
  const float* bias = nullptr;   ///< by lag, n numbers, the same for all heads; may be null
  int n = 0, d = 0, d_v = 0;     ///< d_v at most 256
  int heads = 1;
  int queries_of_a_key = 1;  ///< query head h reads key head h / queries_of_a_key
  float scale = 1.0F;
};

struct ExactAttentionOutput {
  float* output = nullptr;  ///< heads x n x d_v
  double* lse = nullptr;    ///< heads x n
};

__device__ inline DeviceRows rows_of(const float* all, std::size_t head, int n, int width) {
  return {all + head * static_cast<std::size_t>(n) * width, n, width};
}

/// S_ij of a causal pair from the dot product.
__device__ inline float score_of(const DeviceHeads& heads, float product, int row, int column) {
  return heads.scale * product + (heads.bias != nullptr ? heads.bias[row - column] : 0.0F);
}

template <int columns>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>)
    exact_attention_kernel(DeviceHeads heads, ExactAttentionOutput out) {
  CONVBASIS_SHARED(float, query_tile, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, key_tile, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, weight_tile, tile_size* tile_pitch);  // by key, then by query
  CONVBASIS_SHARED(float, value_tile, sum_depth* columns* tile_side);
  const int n = heads.n;
  const int first = (static_cast<int>(gridDim.x) - 1 - static_cast<int>(blockIdx.x)) * tile_size;  // the dearest first
  const std::size_t head = blockIdx.y;
  const std::size_t key_head = head / heads.queries_of_a_key;
  const DeviceRows query = rows_of(heads.query, head, n, heads.d);
  const DeviceRows key = rows_of(heads.key, key_head, n, heads.d);
  const DeviceRows value = rows_of(heads.value, key_head, n, heads.d_v);

  float largest[tile_each], sum[tile_each], output[tile_each][columns];
  for (int i = 0; i < tile_each; ++i) {
    largest[i] = -INFINITY;
    sum[i] = 0.0F;
    for (float& one : output[i]) one = 0.0F;
  }
  for (int at = 0; at <= first; at += tile_size) {
    float score[tile_each][tile_each];
    multiply_tile(query, first, key, at, query_tile, key_tile, score);
    for (int i = 0; i < tile_each; ++i) {
      const int row = first + tile_each * thread_y() + i;
      float tile_largest = largest[i];
      for (int j = 0; j < tile_each; ++j) {
        const int column = at + thread_x() + tile_side * j;
        // Rows past the end see the first keys; nothing of them is kept.
        const bool seen = column <= row && row - column < n;
        score[i][j] = seen ? score_of(heads, score[i][j], row, column) : -INFINITY;
        tile_largest = fmaxf(tile_largest, score[i][j]);
      }
      tile_largest = largest_of_row(tile_largest);
      // A row past the end may have seen nothing yet.
      const float shift = tile_largest == -INFINITY ? 0.0F : tile_largest;
      const float shrink = expf(largest[i] - shift);
      largest[i] = tile_largest;
      float weights = 0.0F;
      for (int j = 0; j < tile_each; ++j) {
        const float weight = expf(score[i][j] - shift);
        weights += weight;
        weight_tile[(thread_x() + tile_side * j) * tile_pitch + tile_each * thread_y() + i] = weight;
      }
      sum[i] = sum[i] * shrink + sum_of_row(weights);
      for (float& one : output[i]) one *= shrink;
    }
    add_weighted_rows<columns>(weight_tile, value, at, value_tile, output);
  }
  for (int i = 0; i < tile_each; ++i) {
    const int row = first + tile_each * thread_y() + i;
    for (float& one : output[i]) one /= sum[i];
    if (thread_x() == 0 && row < n) {
      out.lse[head * n + row] = static_cast<double>(largest[i]) + log(static_cast<double>(sum[i]));
    }
  }
  store_rows<columns>(output, 1.0F, first, n, heads.d_v, out.output + head * static_cast<std::size_t>(n) * heads.d_v);
}

inline cudaError_t launch_exact_attention(const DeviceHeads& heads, const ExactAttentionOutput& output, cudaStream_t stream) {
  const dim3 grid(tiles_of(heads.n), static_cast<unsigned>(heads.heads));
  return with_columns(heads.d_v, [&](auto columns) {
    return launch("exact_attention", &exact_attention_kernel<columns>, grid, dim3(tile_threads), 0, stream, heads, output);
  });
}

}  // namespace convbasis::cuda
