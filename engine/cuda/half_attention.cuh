/// \file
/// Exact causal attention of queries, keys and values that are stored as halves, by tensor cores. As exact_attention.cuh, but for
/// the products. Scores are exact up to their sum in float. A weight in [0, 1] is the sum of two halves, so that it keeps 22
/// bits.
#pragma once

#include "cuda/exact_attention.cuh"
#include "cuda/tensor_product.cuh"

namespace convbasis::cuda {

/// What weights are multiplied with before they become halves, which have no digits below 6e-8: 2^14.
inline constexpr float weight_unit = 16384.0F;

/// As multiply_tile(), of halves. Begins without a barrier; what it has read may be written again when it returns, `sums` not
/// before the next barrier.
__device__ inline void multiply_half_tile(const DeviceMatrix<Half>& left, int left_first, const DeviceMatrix<Half>& right,
                                          int right_first, Half* left_tile, Half* right_tile, float* sums,
                                          float (&product)[tile_each][tile_each]) {
  WarpSums own;
  for (int column = 0; column < left.width; column += tile_size) {
    load_half_tile(left, left_first, column, left_tile);
    load_half_tile(right, right_first, column, right_tile);
    __syncthreads();
    own.add<true>({left_tile}, right_tile, left.width - column < tile_size ? left.width - column : tile_size);
    __syncthreads();
  }
  own.store(sums);
  __syncthreads();
  for (int i = 0; i < tile_each; ++i) {
    for (int j = 0; j < tile_each; ++j) {
      product[i][j] = sums[(tile_each * thread_y() + i) * tile_pitch + thread_x() + tile_side * j];
    }
  }
}

/// Writes a thread's weights, times weight_unit, as the sum of two halves: by query, then key.
__device__ inline void split_weights(const float (&weight)[tile_each][tile_each], Half* high_tile, Half* low_tile) {
  for (int i = 0; i < tile_each; ++i) {
    for (int j = 0; j < tile_each; ++j) {
      const int at = (tile_each * thread_y() + i) * half_pitch + thread_x() + tile_side * j;
      const float scaled = weight_unit * weight[i][j];
      const Half high = __float2half_rn(scaled);
      high_tile[at] = high;
      low_tile[at] = __float2half_rn(scaled - __half2float(high));
    }
  }
}

/// As add_weighted_rows(), times weight_unit, of weights from split_weights(). `sums` has been read, without a barrier since; all
/// may be written again after the next barrier but one.
template <int columns>
__device__ inline void add_half_rows(const Half* high_tile, const Half* low_tile, const DeviceMatrix<Half>& value, int first,
                                     Half* value_tile, float* sums, float (&output)[tile_each][columns]) {
  for (int c = 0; c < columns; c += tile_each) {  // 64 columns of the output at a time
    load_half_tile(value, first, tile_side * c, value_tile);
    __syncthreads();  // weights and values are written; the sums before these are read
    WarpSums own;
    own.add<false>({high_tile, low_tile}, value_tile, tile_size);
    own.store(sums);
    __syncthreads();
    for (int i = 0; i < tile_each; ++i) {
      for (int j = 0; j < tile_each; ++j) {
        output[i][c + j] += sums[(tile_each * thread_y() + i) * tile_pitch + thread_x() + tile_side * j];
      }
    }
  }
}

template <int columns>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>)
    half_attention_kernel(DeviceHead<Half> head, ExactAttentionOutput out) {
  CONVBASIS_SHARED(Half, high_tile, tile_size * half_pitch);  // of queries, then the high halves of weights
  CONVBASIS_SHARED(Half, low_tile, tile_size * half_pitch);
  CONVBASIS_SHARED(Half, row_tile, tile_size * half_pitch);  // of keys, then of values
  CONVBASIS_SHARED(float, sums, tile_size* tile_pitch);
  const int first = last_tiles_first();
  const DeviceMatrix<Half> query{head.query, head.queries, head.d};
  const DeviceMatrix<Half> key{head.key, head.keys, head.d};
  const DeviceMatrix<Half> value{head.value, head.keys, head.value_width};
  AttentionRows<columns> rows;
  begin_rows(head, out, first, rows);
  for (int at = 0; tile_seen(head, first, at); at += tile_size) {
    float score[tile_each][tile_each];
    multiply_half_tile(query, first, key, at, high_tile, row_tile, sums, score);
    weigh_tile(head, first, at, rows, score);
    split_weights(score, high_tile, low_tile);
    add_half_rows<columns>(high_tile, low_tile, value, at, row_tile, sums, rows.output);
  }
  end_rows(head, out, first, weight_unit, rows);
}

inline cudaError_t launch_half_attention(const DeviceHead<Half>& head, const ExactAttentionOutput& output, cudaStream_t stream) {
  return with_columns(output.d_v, [&](auto columns) {
    return launch("half_attention", &half_attention_kernel<columns>, dim3(tiles_of(head.queries)), dim3(tile_threads), stream,
                  head, output);
  });
}

}  // namespace convbasis::cuda
