/// \file
/// Between rows of numbers and what FFTs work on, for partitioned convolution on a GPU: mirrors basis/block_transform and
/// basis/twist, where the right-angle convolution is explained. A spectrum is B complex numbers; cuFFT takes them there and back.
#pragma once

#include "cuda/launch.h"

namespace convbasis::cuda {

/// A complex number, laid out as cuFFT's.
struct alignas(8) Complex {
  float real, imaginary;
};

inline constexpr int twist_tile = 32;  // rows, and channels, that a block transposes at a time
inline constexpr int twist_rows = 8;   // rows of threads
inline constexpr int twist_pitch = twist_tile + 1;

/// Rows [first, last) of the block of B rows from `begin` on.
struct DeviceRange {
  int begin, first, last;
};

/// One lag block: lags (t - 1) B + 1 ... (t + 1) B - 1 of the `count` numbers from `position` on.
struct LagBlock {
  long long position;
  int count, t;
};

/// target[s][m] = (ahead - i behind) w^m, with the lags B t + m and B (t - 1) + m of block s; there is none of -B.
__global__ void twist_lags_kernel(const float* lags, const LagBlock* blocks, const Complex* twist, int block, Complex* target) {
  const int m = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const LagBlock own = blocks[blockIdx.y];
  if (m >= block) return;
  const long long ahead = static_cast<long long>(own.t) * block + m;
  const long long behind = ahead - block;
  const float real = ahead < own.count ? lags[own.position + ahead] : 0.0F;
  const float imaginary = m > 0 && behind >= 0 && behind < own.count ? lags[own.position + behind] : 0.0F;
  const Complex w = twist[m];
  target[static_cast<std::size_t>(blockIdx.y) * block + m] = {real * w.real + imaginary * w.imaginary,
                                                              real * w.imaginary - imaginary * w.real};
}

/// target[(s channels + c) B + m] = value[begin + m][c] factor[begin + m] w^m for rows in the range of s, zero elsewhere.
/// `factor` may be null. value: rows of `channels` numbers.
__global__ void twist_columns_kernel(const float* value, const float* factor, int channels, const DeviceRange* ranges,
                                     const Complex* twist, int block, Complex* target) {
  CONVBASIS_SHARED(float, tile, twist_tile* twist_pitch);
  const DeviceRange range = ranges[blockIdx.z];
  const int first_row = static_cast<int>(blockIdx.x) * twist_tile;
  const int first_channel = static_cast<int>(blockIdx.y) * twist_tile;
  const int x = static_cast<int>(threadIdx.x);
  for (int y = static_cast<int>(threadIdx.y); y < twist_tile; y += twist_rows) {
    const int row = range.begin + first_row + y;
    const int channel = first_channel + x;
    float one = 0.0F;
    if (first_row + y < block && row >= range.first && row < range.last && channel < channels) {
      one = value[static_cast<std::size_t>(row) * channels + channel];
      if (factor != nullptr) one *= factor[row];
    }
    tile[y * twist_pitch + x] = one;
  }
  __syncthreads();
  for (int y = static_cast<int>(threadIdx.y); y < twist_tile; y += twist_rows) {
    const int m = first_row + x;
    const int channel = first_channel + y;
    if (m >= block || channel >= channels) continue;
    const float one = tile[x * twist_pitch + y];
    target[(static_cast<std::size_t>(blockIdx.z) * channels + channel) * block + m] = {one * twist[m].real,
                                                                                       one * twist[m].imaginary};
  }
}

/// output[begin + m][c] = Re(source[(s channels + c) B + m] conj(w^m)) / B * factor[begin + m], for rows in the range of s.
__global__ void untwist_columns_kernel(const Complex* source, const float* factor, int channels, const DeviceRange* ranges,
                                       const Complex* twist, int block, float* output) {
  CONVBASIS_SHARED(float, tile, twist_tile* twist_pitch);
  const DeviceRange range = ranges[blockIdx.z];
  const int first_row = static_cast<int>(blockIdx.x) * twist_tile;
  const int first_channel = static_cast<int>(blockIdx.y) * twist_tile;
  const int x = static_cast<int>(threadIdx.x);
  const float norm = 1.0F / static_cast<float>(block);
  for (int y = static_cast<int>(threadIdx.y); y < twist_tile; y += twist_rows) {
    const int m = first_row + x;
    const int channel = first_channel + y;
    if (m >= block || channel >= channels) continue;
    const Complex one = source[(static_cast<std::size_t>(blockIdx.z) * channels + channel) * block + m];
    tile[x * twist_pitch + y] = norm * (one.real * twist[m].real + one.imaginary * twist[m].imaginary);
  }
  __syncthreads();
  for (int y = static_cast<int>(threadIdx.y); y < twist_tile; y += twist_rows) {
    const int row = range.begin + first_row + y;
    const int channel = first_channel + x;
    if (first_row + y >= block || row < range.first || row >= range.last || channel >= channels) continue;
    const float one = tile[y * twist_pitch + x];
    output[static_cast<std::size_t>(row) * channels + channel] = factor != nullptr ? factor[row] * one : one;
  }
}

inline cudaError_t launch_twist_lags(const float* lags, const LagBlock* blocks, int count, const Complex* twist, int block,
                                     Complex* target, cudaStream_t stream) {
  constexpr int threads = 256;
  const dim3 grid(static_cast<unsigned>((block + threads - 1) / threads), static_cast<unsigned>(count));
  return launch("twist_lags", &twist_lags_kernel, grid, dim3(threads), stream, lags, blocks, twist, block, target);
}

inline dim3 twist_grid(int block, int channels, int count) {
  return {static_cast<unsigned>((block + twist_tile - 1) / twist_tile),
          static_cast<unsigned>((channels + twist_tile - 1) / twist_tile), static_cast<unsigned>(count)};
}

inline cudaError_t launch_twist_columns(const float* value, const float* factor, int channels, const DeviceRange* ranges,
                                        int count, const Complex* twist, int block, Complex* target, cudaStream_t stream) {
  return launch("twist_columns", &twist_columns_kernel, twist_grid(block, channels, count), dim3(twist_tile, twist_rows), stream,
                value, factor, channels, ranges, twist, block, target);
}

inline cudaError_t launch_untwist_columns(const Complex* source, const float* factor, int channels, const DeviceRange* ranges,
                                          int count, const Complex* twist, int block, float* output, cudaStream_t stream) {
  return launch("untwist_columns", &untwist_columns_kernel, twist_grid(block, channels, count), dim3(twist_tile, twist_rows),
                stream, source, factor, channels, ranges, twist, block, output);
}

}  // namespace convbasis::cuda
