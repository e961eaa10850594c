/// \file
/// Exact causal attention on a GPU, streamed: mirrors attention/exact_attention. Mathematics page, section 1.
///
/// A block takes 64 queries past the keys they see, 64 at a time. The 16 threads that share a query keep its running maximum and
/// sum (online softmax). A launch may have some of the keys only; the next one goes on with what it left. Tiles come in the same
/// order however keys are cut into launches, and the result does not depend on that, nor on scheduling.
#pragma once

#include "cuda/device_head.cuh"

namespace convbasis::cuda {

struct ExactAttentionOutput {
  float* output = nullptr;   ///< queries x d_v; between launches not divided by the sum yet
  double* lse = nullptr;     ///< queries
  float* largest = nullptr;  ///< queries, between launches; null where one launch does all
  float* sum = nullptr;      ///< likewise
  int d_v = 0;
};

/// What a thread keeps of its four queries.
template <int columns>
struct AttentionRows {
  float largest[tile_each], sum[tile_each], output[tile_each][columns];
};

/// Of the queries [first, first + 64) of the launch: nothing seen yet, or what the launch before left. Of rows past the end,
/// which are there then, it left nothing, and nothing is kept.
template <int columns, class T>
__device__ inline void begin_rows(const DeviceHead<T>& head, const ExactAttentionOutput& out, int first,
                                  AttentionRows<columns>& rows) {
  load_rows<columns>(head.begins ? nullptr : out.output, first, head.queries, out.d_v, rows.output);
  for (int i = 0; i < tile_each; ++i) {
    const int row = first + tile_each * thread_y() + i;
    const bool known = !head.begins && row < head.queries;
    rows.largest[i] = known ? out.largest[row] : -INFINITY;
    rows.sum[i] = known ? out.sum[row] : 0.0F;
  }
}

/// Takes in a tile of products of queries from `first` on and keys from `at` on: makes them weights, exp(score - the largest
/// score so far), with those of pairs that do not see each other 0.
template <int columns, class T>
__device__ inline void weigh_tile(const DeviceHead<T>& head, int first, int at, AttentionRows<columns>& rows,
                                  float (&score)[tile_each][tile_each]) {
  for (int i = 0; i < tile_each; ++i) {
    const int row = head.first_query + first + tile_each * thread_y() + i;
    float tile_largest = rows.largest[i];
    for (int j = 0; j < tile_each; ++j) {
      const int column = head.first_key + at + thread_x() + tile_side * j;
      // Rows past the end see the first keys; nothing of them is kept.
      const bool seen = column <= row && row - column < head.n;
      score[i][j] = seen ? score_of(head, score[i][j], row, column) : -INFINITY;
      tile_largest = fmaxf(tile_largest, score[i][j]);
    }
    tile_largest = largest_of_row(tile_largest);
    // A row past the end may have seen nothing yet.
    const float shift = tile_largest == -INFINITY ? 0.0F : tile_largest;
    const float shrink = expf(rows.largest[i] - shift);
    rows.largest[i] = tile_largest;
    float weights = 0.0F;
    for (float& one : score[i]) {
      one = expf(one - shift);
      weights += one;
    }
    rows.sum[i] = rows.sum[i] * shrink + sum_of_row(weights);
    for (float& one : rows.output[i]) one *= shrink;
  }
}

/// Writes the results, or what the next launch goes on with. The output is `unit` times too large.
template <int columns, class T>
__device__ inline void end_rows(const DeviceHead<T>& head, const ExactAttentionOutput& out, int first, float unit,
                                AttentionRows<columns>& rows) {
  for (int i = 0; i < tile_each; ++i) {
    const int row = first + tile_each * thread_y() + i;
    if (head.ends) {
      for (float& one : rows.output[i]) one /= unit * rows.sum[i];
    }
    if (thread_x() != 0 || row >= head.queries) continue;
    if (head.ends) {
      out.lse[row] = static_cast<double>(rows.largest[i]) + log(static_cast<double>(rows.sum[i]));
    } else {
      out.largest[row] = rows.largest[i];
      out.sum[row] = rows.sum[i];
    }
  }
  store_rows<columns>(rows.output, 1.0F, first, head.queries, out.d_v, out.output);
}

template <int columns>
__global__ void __launch_bounds__(tile_threads, blocks_at_once<columns>)
    exact_attention_kernel(DeviceHead<float> head, ExactAttentionOutput out) {
  CONVBASIS_SHARED(float, query_tile, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, key_tile, product_depth* tile_pitch);
  CONVBASIS_SHARED(float, weight_tile, tile_size* tile_pitch);  // by key, then by query
  CONVBASIS_SHARED(float, value_tile, sum_depth* columns* tile_side);
  const int first = last_tiles_first();
  const DeviceRows query{head.query, head.queries, head.d};
  const DeviceRows key{head.key, head.keys, head.d};
  const DeviceRows value{head.value, head.keys, head.value_width};
  AttentionRows<columns> rows;
  begin_rows(head, out, first, rows);
  for (int at = 0; tile_seen(head, first, at); at += tile_size) {
    float score[tile_each][tile_each];
    multiply_tile(query, first, key, at, query_tile, key_tile, score);
    weigh_tile(head, first, at, rows, score);
    store_by_key(score, weight_tile);
    add_weighted_rows<columns>(weight_tile, value, at, value_tile, rows.output);
  }
  end_rows(head, out, first, 1.0F, rows);
}

inline cudaError_t launch_exact_attention(const DeviceHead<float>& head, const ExactAttentionOutput& output,
                                          cudaStream_t stream) {
  return with_columns(output.d_v, [&](auto columns) {
    return launch("exact_attention", &exact_attention_kernel<columns>, dim3(tiles_of(head.queries)), dim3(tile_threads), stream,
                  head, output);
  });
}

}  // namespace convbasis::cuda
