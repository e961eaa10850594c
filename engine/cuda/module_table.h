/// \file
/// What the GPU module offers to the program: a table of C functions, so that either side may be built by another compiler. The
/// program loads the module at run time and links no CUDA library itself. Numbers are float, or half where it is said, row-major;
/// sizes are in elements.
#pragma once

#include <stddef.h>
#include <stdint.h>

// NOLINTBEGIN(modernize-use-using,modernize-deprecated-headers): C on both sides of the seam

#ifdef __cplusplus
extern "C" {
#endif

/// Raised whenever a struct or a function here changes. The module answers to its own version alone.
#define CONVBASIS_CUDA_VERSION 3

enum ConvbasisCudaResult {
  CONVBASIS_CUDA_DONE = 0,
  CONVBASIS_CUDA_FAILED = 1,         ///< the text says which call, and why
  CONVBASIS_CUDA_OUT_OF_MEMORY = 2,  ///< of the device
  CONVBASIS_CUDA_CANCELLED = 3
};

/// What is kept of a device between calls: streams, memory, FFT plans. Several threads may call with the same one at the same
/// time; each gets a part of its own.
typedef struct ConvbasisCudaPool ConvbasisCudaPool;

/// How a call is run. `stopped` may be null; it is asked between pieces of work, on the calling thread. `text`, of `text_size`
/// characters, gets a line about what went wrong.
typedef struct ConvbasisCudaCall {
  ConvbasisCudaPool* pool;
  int (*stopped)(void* state);
  void* state;
  char* text;
  size_t text_size;
} ConvbasisCudaCall;

typedef struct ConvbasisCudaDevice {
  char name[256];
  int major, minor;  ///< compute capability
  uint64_t memory;   ///< bytes
} ConvbasisCudaDevice;

/// Heads that share n, d, d_v, scale and bias. Rows of a matrix are `stride` numbers apart, all of width d or d_v.
/// query[h] for h < heads; key and value of head h are key[h / queries_of_a_key]. With `half` these three are IEEE half-precision
/// numbers, and exact attention is computed from them as such, on tensor cores.
typedef struct ConvbasisCudaHeads {
  const void* const* query;
  const void* const* key;
  const void* const* value;
  int half;
  int64_t query_stride, key_stride, value_stride;
  const float* bias;  ///< by lag, n numbers, or null
  int64_t n, d, d_v;  ///< d and d_v at most 256
  int64_t heads, queries_of_a_key;
  float scale;
} ConvbasisCudaHeads;

/// A lower-triangular matrix A in segment form, D^-1 A with it, and how its product is cut (basis/apply_layout.h).
typedef struct ConvbasisCudaWeights {
  int64_t n, segments;
  const int64_t* starts;
  const float* const* lags;  ///< of segment r: n - starts[r] numbers
  const float* row_factor;   ///< 1 / D_i
  int64_t block;             ///< B; 0 when there are no pieces
  int64_t pieces;
  const int64_t* piece_segment;
  const int64_t* piece_block;
  const int64_t* piece_first;
  const int64_t* piece_last;
  int64_t direct_segments;
  const int64_t* direct_segment;
} ConvbasisCudaWeights;

typedef struct ConvbasisCudaPlan ConvbasisCudaPlan;

typedef struct ConvbasisCudaTable {
  int version;
  /// Up to `capacity` devices; `count` gets how many there are. The call's pool is not looked at.
  int (*devices)(ConvbasisCudaDevice* devices, int capacity, int* count, const ConvbasisCudaCall* call);
  /// Of a device. The call's pool is not looked at.
  int (*create_pool)(int device, ConvbasisCudaPool** pool, const ConvbasisCudaCall* call);
  /// Frees what no call is using.
  void (*release_memory)(ConvbasisCudaPool* pool);
  /// After all calls and plans with it.
  void (*destroy_pool)(ConvbasisCudaPool* pool);
  /// output[h]: n x d_v; lse[h]: n.
  int (*exact_attention)(const ConvbasisCudaHeads* heads, float* const* output, int64_t output_stride, double* const* lse,
                         const ConvbasisCudaCall* call);
  /// From output Y, lse and G of each head; query gradients by head, key and value gradients by key head, all without gaps.
  int (*exact_backward)(const ConvbasisCudaHeads* heads, const float* const* output, const double* const* lse,
                        const float* const* output_gradient, int64_t output_stride, float* const* query, float* const* key,
                        float* const* value, const ConvbasisCudaCall* call);
  /// lags[r][t] = S(starts[r] + t, starts[r]) of the first head, for t < n - starts[r].
  int (*score_columns)(const ConvbasisCudaHeads* heads, const int64_t* starts, int64_t count, float* const* lags,
                       const ConvbasisCudaCall* call);
  int (*create_plan)(const ConvbasisCudaWeights* weights, ConvbasisCudaPlan** plan, const ConvbasisCudaCall* call);
  /// output = D^-1 A value, or with `transpose` A^T D^-1 value; both n x columns. With `half` the value is half-precision
  /// numbers.
  int (*apply)(const ConvbasisCudaPlan* plan, const void* value, int half, int64_t value_stride, int64_t columns, int transpose,
               float* output, int64_t output_stride, const ConvbasisCudaCall* call);
  void (*destroy_plan)(ConvbasisCudaPlan* plan);
} ConvbasisCudaTable;

/// The module's one symbol. Null unless `version` is its own.
const ConvbasisCudaTable* convbasis_cuda_table(int version);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-using,modernize-deprecated-headers)
