/// \file
/// What the kernels of exact attention, forward and backward, are made of: products of tiles of 64 x 64.
///
/// A block's 256 threads form a square of 16 x 16. Of a tile, thread (y, x) has rows 4 y ... 4 y + 3 and columns x, x + 16, x +
/// 32, x + 48. Sums run over the inner index in ascending order, always.
#pragma once

#include "cuda/launch.h"

#include <cmath>
#include <type_traits>

namespace convbasis::cuda {

inline constexpr int tile_size = 64;  // rows, and columns, of a tile
inline constexpr int tile_side = 16;  // threads along a side of the square
inline constexpr int tile_each = 4;   // rows, and columns, of a thread
inline constexpr int tile_threads = tile_side * tile_side;
inline constexpr int tile_pitch = 68;  // of a row of 64 in shared memory: neighbours start in different banks, 16 bytes aligned
inline constexpr int product_depth = 32;  // columns of both factors in shared memory at a time
inline constexpr int sum_depth = 8;       // rows of what is summed in shared memory at a time

/// Blocks that a multiprocessor shall have room for: what a thread holds of wide rows leaves registers for one.
template <int columns>
inline constexpr int blocks_at_once = columns == 16 ? 1 : 2;

/// A row-major matrix of `rows` x `width` numbers on the device, without gaps; fewer than 2^31, so that 32 bits count them: wider
/// addresses take registers that the kernels do not have.
template <class T>
struct DeviceMatrix {
  const T* data = nullptr;
  int rows = 0, width = 0;
};
using DeviceRows = DeviceMatrix<float>;

__device__ inline int thread_y() { return static_cast<int>(threadIdx.x) / tile_side; }
__device__ inline int thread_x() { return static_cast<int>(threadIdx.x) % tile_side; }

/// Rows [first, first + 64) and columns [column, column + 32) of source, transposed, zero outside of it.
__device__ inline void load_transposed(const DeviceRows& source, int first, int column, float* target) {
  constexpr int run = 8;  // neighbours that a warp reads of each of four rows: 32 bytes, and on the way out 32 banks
  for (int at = static_cast<int>(threadIdx.x); at < tile_size * product_depth; at += tile_threads) {
    const int row = at / run % tile_size;
    const int depth = at / (run * tile_size) * run + at % run;
    const bool inside = first + row < source.rows && column + depth < source.width;
    target[depth * tile_pitch + row] = inside ? source.data[(first + row) * source.width + column + depth] : 0.0F;
  }
}

/// product[i][j] = left row (first + 4 y + i) . right row (key + x + 16 j); both of the same width. Zero for rows past the end.
/// Begins without a barrier, ends with one.
__device__ inline void multiply_tile(const DeviceRows& left, int left_first, const DeviceRows& right, int right_first,
                                     float* left_tile, float* right_tile, float (&product)[tile_each][tile_each]) {
  const int y = thread_y();
  const int x = thread_x();
  for (auto& row : product) {
    for (float& one : row) one = 0.0F;
  }
  for (int column = 0; column < left.width; column += product_depth) {
    load_transposed(left, left_first, column, left_tile);
    load_transposed(right, right_first, column, right_tile);
    __syncthreads();
    for (int depth = 0; depth < product_depth; ++depth) {
      float l[tile_each], r[tile_each];
      for (int i = 0; i < tile_each; ++i) l[i] = left_tile[depth * tile_pitch + tile_each * y + i];
      for (int j = 0; j < tile_each; ++j) r[j] = right_tile[depth * tile_pitch + x + tile_side * j];
      for (int i = 0; i < tile_each; ++i) {
        for (int j = 0; j < tile_each; ++j) product[i][j] += l[i] * r[j];
      }
    }
    __syncthreads();
  }
}

/// Four neighbours in shared memory, written at once: one by one, lanes would meet in the same banks.
struct alignas(16) FourFloats {
  float number[tile_each];
};

/// Writes a thread's part of a tile for add_weighted_rows(): by key then query, or by query then key.
__device__ inline void store_by_key(const float (&part)[tile_each][tile_each], float* tile) {
  for (int j = 0; j < tile_each; ++j) {
    FourFloats of_a_key;
    for (int i = 0; i < tile_each; ++i) of_a_key.number[i] = part[i][j];
    float* to = tile + (thread_x() + tile_side * j) * tile_pitch + tile_each * thread_y();
    *reinterpret_cast<FourFloats*>(to) = of_a_key;
  }
}
__device__ inline void store_by_query(const float (&part)[tile_each][tile_each], float* tile) {
  for (int i = 0; i < tile_each; ++i) {
    for (int j = 0; j < tile_each; ++j) tile[(tile_each * thread_y() + i) * tile_pitch + thread_x() + tile_side * j] = part[i][j];
  }
}

/// output[i][c] += sum_k weight_tile[k][4 y + i] * rows row (first + k), column x + 16 c, over 64 k. `weight_tile` has been
/// written by all threads, without a barrier since; it may be written again after the next barrier.
template <int columns>
__device__ inline void add_weighted_rows(const float* weight_tile, const DeviceRows& rows, int first, float* row_tile,
                                         float (&output)[tile_each][columns]) {
  constexpr int width = columns * tile_side;
  const int y = thread_y();
  const int x = thread_x();
  for (int part = 0; part < tile_size; part += sum_depth) {
    __syncthreads();  // weights are written; the rows before these are read
    for (int at = static_cast<int>(threadIdx.x); at < sum_depth * width; at += tile_threads) {
      const int row = first + part + at / width;
      const int column = at % width;
      const bool inside = row < rows.rows && column < rows.width;
      row_tile[at] = inside ? rows.data[row * rows.width + column] : 0.0F;
    }
    __syncthreads();
    for (int k = 0; k < sum_depth; ++k) {
      float weight[tile_each];
      for (int i = 0; i < tile_each; ++i) weight[i] = weight_tile[(part + k) * tile_pitch + tile_each * y + i];
      for (int c = 0; c < columns; ++c) {
        const float one = row_tile[k * width + x + tile_side * c];
        for (int i = 0; i < tile_each; ++i) output[i][c] += weight[i] * one;
      }
    }
  }
}

/// Fills what the threads hold with zeros, or with rows [first, first + 64) of source, as far as it has them.
template <int columns>
__device__ inline void load_rows(const float* source, int first, int rows, int width, float (&held)[tile_each][columns]) {
  for (int i = 0; i < tile_each; ++i) {
    const int row = first + tile_each * thread_y() + i;
    for (int c = 0; c < columns; ++c) {
      const int column = thread_x() + tile_side * c;
      const bool inside = source != nullptr && row < rows && column < width;
      held[i][c] = inside ? source[row * width + column] : 0.0F;
    }
  }
}

/// Rows [first, first + 64) of target, as far as it has them, from what the threads hold times `factor`.
template <int columns>
__device__ inline void store_rows(const float (&held)[tile_each][columns], float factor, int first, int rows, int width,
                                  float* target) {
  for (int i = 0; i < tile_each; ++i) {
    const int row = first + tile_each * thread_y() + i;
    for (int c = 0; c < columns; ++c) {
      const int column = thread_x() + tile_side * c;
      if (row < rows && column < width) target[static_cast<std::size_t>(row) * width + column] = factor * held[i][c];
    }
  }
}

/// The largest of 16 neighbouring lanes' numbers, and their sum: all 16 get the same bits.
__device__ inline float largest_of_row(float value) {
  for (int with = tile_side / 2; with > 0; with /= 2) value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFU, value, with));
  return value;
}
__device__ inline float sum_of_row(float value) {
  for (int with = tile_side / 2; with > 0; with /= 2) value += __shfl_xor_sync(0xFFFFFFFFU, value, with);
  return value;
}

/// Calls start(columns) with the number of columns of a thread, 4, 8 or 16, that 16 threads need for `width` <= 256 columns.
template <class Start>
cudaError_t with_columns(int width, const Start& start) {
  if (width <= 4 * tile_side) return start(std::integral_constant<int, 4>());
  if (width <= 8 * tile_side) return start(std::integral_constant<int, 8>());
  return start(std::integral_constant<int, 16>());
}

inline unsigned tiles_of(int n) { return static_cast<unsigned>((n + tile_size - 1) / tile_size); }

}  // namespace convbasis::cuda
