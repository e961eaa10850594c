/// \file
/// The part of CUDA's warp matrix functions that the engine uses, on the CPU: stands in for the real header when the module is
/// built for tests. A lane keeps what it needs for half a row of the result, which is not how a GPU lays pieces out: nothing may
/// depend on that. Memory is read before, and written before, the other lanes have come: what lacks a barrier reads NaN, or old
/// numbers. Sums lose as much as in the least exact of the tensor cores that were measured, those of the V100: M. Fasi,
/// N. J. Higham, M. Mikaitis, S. Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ Computer Science 7:e330, 2021.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <bit>
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
  static constexpr int num_elements = 8;
  float x[num_elements];
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
  for (float& one : piece.x) one = value;
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

inline int exponent_of(double value) { return static_cast<int>(std::bit_cast<std::uint64_t>(value) >> 52U & 0x7FFU); }

/// The part of value that a significand of 24 bits holds whose first bit has this exponent. Rounds towards zero.
inline double truncated(double value, int exponent) {
  const auto lost = static_cast<unsigned>(exponent - exponent_of(value) + 52 - 23);
  return lost > 52U ? 0.0 : std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) & ~std::uint64_t{0} << lost);
}

/// sum + left . right of four numbers: all five are aligned with the largest and cut off, then added, and the sum cut off again.
inline float sum_of_five(float sum, const float* left, const float* right) {
  std::array<double, 5> terms{sum};
  int largest = exponent_of(sum);
  for (std::size_t k = 0; k < 4; ++k) {
    terms[k + 1] = double{left[k]} * double{right[k]};
    largest = std::max(largest, exponent_of(terms[k + 1]));
  }
  double all = 0.0;
  for (const double term : terms) all += truncated(term, largest);
  return static_cast<float>(truncated(all, exponent_of(all)));
}

template <class Layout>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& result, const fragment<matrix_a, 16, 16, 16, __half, row_major>& left,
              const fragment<matrix_b, 16, 16, 16, __half, Layout>& right, const fragment<accumulator, 16, 16, 16, float>& added,
              std::source_location where = std::source_location::current()) {
  for (unsigned c = 0; c < 8; ++c) {
    float sum = added.x[c];
    for (unsigned k = 0; k < 16; k += 4) sum = sum_of_five(sum, left.number + k, right.number[c] + k);
    result.x[c] = sum;
  }
  require_warp(nullptr, 0, where);
}

inline void store_matrix_sync(float* to, const fragment<accumulator, 16, 16, 16, float>& piece, unsigned pitch, layout_t layout,
                              std::source_location where = std::source_location::current()) {
  const unsigned row = cuda_host::lane() / 2;
  const unsigned first = cuda_host::lane() % 2 * 8;
  for (unsigned c = 0; c < 8; ++c) {
    to[layout == mem_row_major ? row * pitch + first + c : (first + c) * pitch + row] = piece.x[c];
  }
  require_warp(to, pitch * sizeof(float), where);
}

}  // namespace nvcuda::wmma
