/// \file
/// What a launch of an exact kernel works on.
#pragma once

#include "cuda/exact_tiles.cuh"

namespace convbasis::cuda {

/// Some queries of a head and some of its keys, row-major without gaps, on the device. Both begin at a multiple of 64.
template <class T>
struct DeviceHead {
  const T* query = nullptr;     ///< queries x d
  const T* key = nullptr;       ///< keys x d
  const T* value = nullptr;     ///< keys x value_width
  const float* bias = nullptr;  ///< by lag, n numbers; may be null
  int n = 0;                    ///< of the whole head
  int first_query = 0, queries = 0;
  int first_key = 0, keys = 0;
  int d = 0, value_width = 0;  ///< of rows on the device, at most 256
  float scale = 1.0F;
  /// Whether this launch has the first keys that the queries see (of gradients of keys: the first queries that see the keys), and
  /// whether it has the last.
  bool begins = true, ends = true;
};

/// S_ij of a causal pair from the dot product.
template <class T>
__device__ inline float score_of(const DeviceHead<T>& head, float product, int row, int column) {
  return head.scale * product + (head.bias != nullptr ? head.bias[row - column] : 0.0F);
}

/// The first query of a block's tile: the dearest first.
__device__ inline int last_tiles_first() { return (static_cast<int>(gridDim.x) - 1 - static_cast<int>(blockIdx.x)) * tile_size; }

/// Whether a query of the tile from `first` on sees a key from `at` on.
template <class T>
__device__ inline bool tile_seen(const DeviceHead<T>& head, int first, int at) {
  return at < head.keys && head.first_key + at <= head.first_query + first;
}

}  // namespace convbasis::cuda
