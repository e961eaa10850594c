/// \file
/// The multiply-accumulate between spectra on a GPU: mirrors basis/spectra. Mathematics page, section 3.
#pragma once

#include "cuda/block_transform.cuh"

namespace convbasis::cuda {

/// One sum over frequencies: over inputs x in [first, last), L[input_index[x] + shift] * X[x].
struct SpectrumRange {
  int first, last, shift;
};

struct SpectrumSums {
  const SpectrumRange* ranges;  ///< of each output
  int outputs;
  const int* input_index;  ///< of each input
  const Complex* lags;     ///< by spectrum, then frequency
  const Complex* inputs;   ///< by input, channel, frequency
  Complex* results;        ///< by output, channel, frequency
  int channels, bins;
};

inline constexpr int sum_outputs = 4;   // outputs, and channels, whose sums a thread keeps in registers: it reads four lags and
inline constexpr int sum_channels = 4;  // four inputs for sixteen products
inline constexpr int sum_threads = 128;

/// sum += conj(l) x with `conjugate`, else l x.
template <bool conjugate>
__device__ inline void multiply_add(Complex l, Complex x, Complex& sum) {
  const float imaginary = conjugate ? -l.imaginary : l.imaginary;
  sum.real += l.real * x.real - imaginary * x.imaginary;
  sum.imaginary += l.real * x.imaginary + imaginary * x.real;
}

/// Sums run over inputs in ascending order.
template <bool conjugate>
__global__ void __launch_bounds__(sum_threads) accumulate_products_kernel(SpectrumSums a) {
  const int bin = static_cast<int>(blockIdx.x * sum_threads + threadIdx.x);
  if (bin >= a.bins) return;
  const int first_output = static_cast<int>(blockIdx.y) * sum_outputs;
  const int first_channel = static_cast<int>(blockIdx.z) * sum_channels;
  SpectrumRange range[sum_outputs];
  int first = 0, last = 0;
  for (int o = 0; o < sum_outputs; ++o) {
    range[o] = first_output + o < a.outputs ? a.ranges[first_output + o] : SpectrumRange{0, 0, 0};
    first = o == 0 || range[o].first < first ? range[o].first : first;
    last = range[o].last > last ? range[o].last : last;
  }
  Complex sum[sum_outputs][sum_channels];
  for (auto& row : sum) {
    for (Complex& one : row) one = {0.0F, 0.0F};
  }
  for (int x = first; x < last; ++x) {
    Complex input[sum_channels];
    for (int c = 0; c < sum_channels; ++c) {
      const int channel = first_channel + c;
      input[c] = channel < a.channels ? a.inputs[(static_cast<std::size_t>(x) * a.channels + channel) * a.bins + bin]
                                      : Complex{0.0F, 0.0F};
    }
    const int index = a.input_index[x];
    for (int o = 0; o < sum_outputs; ++o) {
      if (x < range[o].first || x >= range[o].last) continue;
      const Complex lag = a.lags[static_cast<std::size_t>(index + range[o].shift) * a.bins + bin];
      for (int c = 0; c < sum_channels; ++c) multiply_add<conjugate>(lag, input[c], sum[o][c]);
    }
  }
  for (int o = 0; o < sum_outputs; ++o) {
    for (int c = 0; c < sum_channels; ++c) {
      const int output = first_output + o;
      const int channel = first_channel + c;
      if (output >= a.outputs || channel >= a.channels) continue;
      a.results[(static_cast<std::size_t>(output) * a.channels + channel) * a.bins + bin] = sum[o][c];
    }
  }
}

inline cudaError_t launch_accumulate_products(const SpectrumSums& sums, bool conjugate, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((sums.bins + sum_threads - 1) / sum_threads),
                  static_cast<unsigned>((sums.outputs + sum_outputs - 1) / sum_outputs),
                  static_cast<unsigned>((sums.channels + sum_channels - 1) / sum_channels));
  return launch("accumulate_products", conjugate ? &accumulate_products_kernel<true> : &accumulate_products_kernel<false>, grid,
                dim3(sum_threads), stream, sums);
}

}  // namespace convbasis::cuda
