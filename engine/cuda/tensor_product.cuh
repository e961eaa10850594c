/// \file
/// Products of tiles of 64 x 64 halves on tensor cores: the seam to them. Warps hold pieces of 16 x 16 together, whose layout
/// over lanes is the compiler's own; numbers go in and out through shared memory. Products of halves are exact in float. Tensor
/// cores cut sums off instead of rounding them, and lose the more the more they add to: so they sum 16 products from 0, and what
/// adds that up rounds.
#pragma once

#include "cuda/exact_tiles.cuh"
#include "cuda/half.h"

#include <mma.h>

namespace convbasis::cuda {

namespace wmma = nvcuda::wmma;

inline constexpr int half_pitch = 72;  // of a row of 64 halves in shared memory: eight neighbours start in different banks
inline constexpr int piece = 16;       // rows and columns of what a tensor core multiplies

/// Eight halves as they are read from memory.
struct alignas(16) HalfStep {
  Half number[half_step];
};

/// Rows [first, first + 64) and columns [column, column + 64) of source, zero outside of it. Its width is a multiple of 8.
__device__ inline void load_half_tile(const DeviceMatrix<Half>& source, int first, int column, Half* tile) {
  constexpr int steps = tile_size / half_step;
  for (int at = static_cast<int>(threadIdx.x); at < tile_size * steps; at += tile_threads) {
    const int row = at / steps;
    const int step = at % steps * half_step;
    const bool inside = first + row < source.rows && column + step < source.width;
    HalfStep numbers{};
    if (inside) {
      const Half* from = source.data + (first + row) * source.width + column + step;
      numbers = *reinterpret_cast<const HalfStep*>(from);
    }
    *reinterpret_cast<HalfStep*>(tile + row * half_pitch + step) = numbers;
  }
}

/// A warp's part of a 64 x 64 tile: rows 16 (w / 2) ... + 15, columns 32 (w % 2) ... + 31.
class WarpSums {
 public:
  __device__ WarpSums() {
    for (auto& one : sums_) wmma::fill_fragment(one, 0.0F);
  }

  /// Adds the products of all `left` with right, or with `transposed` right^T, over the first `depth` of the 64 inner indices,
  /// rounded up to 16. The tiles have been written, and a barrier passed.
  template <bool transposed, int lefts>
  __device__ void add(const Half* const (&left)[lefts], const Half* right, int depth) {
    using Layout = std::conditional_t<transposed, wmma::col_major, wmma::row_major>;
    wmma::fragment<wmma::matrix_a, piece, piece, piece, Half, wmma::row_major> rows[lefts];
    wmma::fragment<wmma::matrix_b, piece, piece, piece, Half, Layout> columns;
    // Or pieces that are loaded early take registers that there are not.
    CONVBASIS_ROLLED
    for (int k = 0; k < depth; k += piece) {
      for (int l = 0; l < lefts; ++l) wmma::load_matrix_sync(rows[l], left[l] + first_row() * half_pitch + k, half_pitch);
      for (int p = 0; p < pieces; ++p) {
        const int column = first_column() + piece * p;
        const int at = transposed ? column * half_pitch + k : k * half_pitch + column;
        wmma::load_matrix_sync(columns, right + at, half_pitch);
        Sums part;
        wmma::fill_fragment(part, 0.0F);
        for (int l = 0; l < lefts; ++l) wmma::mma_sync(part, rows[l], columns, part);
        for (int i = 0; i < part.num_elements; ++i) sums_[p].x[i] += part.x[i];
      }
    }
  }
  /// Writes its part of the tile, whose rows are tile_pitch apart.
  __device__ void store(float* tile) const {
    for (int p = 0; p < pieces; ++p) {
      wmma::store_matrix_sync(tile + first_row() * tile_pitch + first_column() + piece * p, sums_[p], tile_pitch,
                              wmma::mem_row_major);
    }
  }

 private:
  using Sums = wmma::fragment<wmma::accumulator, piece, piece, piece, float>;
  static constexpr int pieces = 2;
  static constexpr int warp_size = 32;
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / warp_size; }
  __device__ static int first_row() { return warp() / 2 * piece; }
  __device__ static int first_column() { return warp() % 2 * piece * pieces; }

  Sums sums_[pieces];
};

}  // namespace convbasis::cuda
