/// \file
/// The part of CUDA's warp matrix functions that the engine uses, on the CPU: stands in for the real header when the module is
/// built for tests. A lane keeps what it needs for half a row of the result, which is not how a GPU lays pieces out: nothing may
/// depend on that. Memory is read before, and written before, the other lanes have come: what lacks a barrier reads NaN, or old
/// numbers.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int m, int n, int k, class T, class Layout = void>
struct fragment;

/// Row lane / 2.
template <>
struct fragment<matrix_a, 16, 16, 16, __half, row_major> {
  float number[16];
};
/// Columns 8 (lane % 2) ... + 7.
template <class Layout>
struct fragment<matrix_b, 16, 16, 16, __half, Layout> {
  float number[8][16];
};
/// Both.
template <>
struct fragment<accumulator, 16, 16, 16, float> {
  float number[8];
};

/// The contract of every function: all lanes with the same address, in one piece of memory that is aligned, and rows apart by a
/// multiple of 16 bytes.
inline void require_warp(const void* address, std::size_t row_bytes, const std::source_location& where) {
  const void* first = nullptr;
  cuda_host::exchange(0xFFFFFFFFU, &address, sizeof address, 0, &first, where);
  if (address != first) cuda_host::broken_contract("lanes of a warp give different addresses of one piece", where);
  if (reinterpret_cast<std::uintptr_t>(address) % 32 != 0)
    cuda_host::broken_contract("a piece is not aligned to 32 bytes", where);
  if (row_bytes % 16 != 0) cuda_host::broken_contract("rows of a piece are not a multiple of 16 bytes apart", where);
}

inline void fill_fragment(fragment<accumulator, 16, 16, 16, float>& piece, float value) {
  for (float& one : piece.number) one = value;
}

inline void load_matrix_sync(fragment<matrix_a, 16, 16, 16, __half, row_major>& piece, const __half* from, unsigned pitch,
                             std::source_location where = std::source_location::current()) {
  const unsigned row = cuda_host::lane() / 2;
  for (unsigned k = 0; k < 16; ++k) piece.number[k] = __half2float(from[row * pitch + k]);
  require_warp(from, pitch * sizeof(__half), where);
}

template <class Layout>
void load_matrix_sync(fragment<matrix_b, 16, 16, 16, __half, Layout>& piece, const __half* from, unsigned pitch,
                      std::source_location where = std::source_location::current()) {
  const unsigned first = cuda_host::lane() % 2 * 8;
  for (unsigned c = 0; c < 8; ++c) {
    for (unsigned k = 0; k < 16; ++k) {
      const bool by_rows = std::is_same_v<Layout, row_major>;
      piece.number[c][k] = __half2float(from[by_rows ? k * pitch + first + c : (first + c) * pitch + k]);
    }
  }
  require_warp(from, pitch * sizeof(__half), where);
}

template <class Layout>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& result, const fragment<matrix_a, 16, 16, 16, __half, row_major>& left,
              const fragment<matrix_b, 16, 16, 16, __half, Layout>& right, const fragment<accumulator, 16, 16, 16, float>& added,
              std::source_location where = std::source_location::current()) {
  for (unsigned c = 0; c < 8; ++c) {
    float sum = added.number[c];
    for (unsigned k = 0; k < 16; ++k) sum += left.number[k] * right.number[c][k];
    result.number[c] = sum;
  }
  require_warp(nullptr, 0, where);
}

inline void store_matrix_sync(float* to, const fragment<accumulator, 16, 16, 16, float>& piece, unsigned pitch, layout_t layout,
                              std::source_location where = std::source_location::current()) {
  const unsigned row = cuda_host::lane() / 2;
  const unsigned first = cuda_host::lane() % 2 * 8;
  for (unsigned c = 0; c < 8; ++c) {
    to[layout == mem_row_major ? row * pitch + first + c : (first + c) * pitch + row] = piece.number[c];
  }
  require_warp(to, pitch * sizeof(float), where);
}

}  // namespace nvcuda::wmma
