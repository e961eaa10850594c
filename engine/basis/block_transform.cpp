#include "basis/block_transform.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace convbasis {
namespace {

/// Rows that are transposed at a time: both sides of the transposition stay in the first-level cache.
constexpr Index tile_rows = 64;

}  // namespace

template <Real T>
BlockTransform<T>::BlockTransform(Index block)
    : block_(block), fft_(block), cosine_(static_cast<std::size_t>(block)), sine_(static_cast<std::size_t>(block)) {
  for (Index t = 0; t < block; ++t) {
    const double angle = std::numbers::pi * static_cast<double>(t) / static_cast<double>(2 * block);
    cosine_.data()[t] = static_cast<T>(std::cos(angle));
    sine_.data()[t] = static_cast<T>(std::sin(angle));
  }
}

template <Real T>
void BlockTransform<T>::lag_spectrum(std::span<const T> lags, Index t, std::complex<T>* scratch, SpectrumBank<T>& bank,
                                     Index s) const {
  std::complex<T>* spectrum = scratch + block_ + padding;
  // The 2 B lags from (t - 1) B on; they fit where the spectrum will stand.
  T* window = reinterpret_cast<T*>(spectrum);
  const Index begin = (t - 1) * block_;
  const Index first = std::max<Index>(0, begin);
  const Index last = std::clamp<Index>(begin + 2 * block_, first, std::max(first, static_cast<Index>(lags.size())));
  std::fill(window, window + (first - begin), T{0});
  std::copy(lags.begin() + first, lags.begin() + last, window + (first - begin));
  std::fill(window + (last - begin), window + 2 * block_, T{0});
  window[0] = T{0};  // a lag of -B never happens; z^(m - B) = -i z^m for the others
  twist_lags<T>(window + block_, window, block_, twist(0), scratch);
  fft_.forward(scratch, spectrum);
  bank.store(s, 0, spectrum);
}

template <Real T>
void BlockTransform<T>::forward(MatrixView<T> value, const RowRange& range, Index first_column, Index columns,
                                std::complex<T>* scratch, SpectrumBank<T>& bank, Index s) const {
  const Index stride = block_ + padding;
  const Index first = range.first - range.block * block_;
  const Index last = range.last - range.block * block_;
  for (Index c = 0; c < columns; ++c) {
    std::fill(scratch + c * stride, scratch + c * stride + first, std::complex<T>());
    std::fill(scratch + c * stride + last, scratch + c * stride + block_, std::complex<T>());
  }
  const T* source = value.data() + range.block * block_ * value.outerStride() + first_column;
  for (Index tile = first; tile < last; tile += tile_rows) {
    twist_columns<T>(source + tile * value.outerStride(), value.outerStride(), std::min(tile_rows, last - tile), columns,
                     twist(tile), scratch + tile, stride);
  }
  std::complex<T>* spectrum = scratch + columns * stride;
  for (Index c = 0; c < columns; ++c) {
    fft_.forward(scratch + c * stride, spectrum);
    bank.store(s, c, spectrum);
  }
}

template <Real T>
void BlockTransform<T>::inverse(const SpectrumBank<T>& bank, Index s, const RowRange& range, Index first_column, Index columns,
                                std::complex<T>* scratch, std::span<const T> row_factor, MutableMatrixView<T> output) const {
  const Index stride = block_ + padding;
  std::complex<T>* spectrum = scratch + columns * stride;
  for (Index c = 0; c < columns; ++c) {
    bank.load(s, c, spectrum);
    fft_.inverse(spectrum, scratch + c * stride);
  }
  const T norm = T{1} / static_cast<T>(block_);
  for (Index row = range.first; row < range.last; row += tile_rows) {
    const Index rows = std::min(tile_rows, range.last - row);
    std::array<T, tile_rows> factor;
    for (Index a = 0; a < rows; ++a) {
      factor[static_cast<std::size_t>(a)] = row_factor.empty() ? norm : norm * row_factor[static_cast<std::size_t>(row + a)];
    }
    const Index t = row - range.block * block_;
    untwist_columns<T>(scratch + t, stride, rows, columns, twist(t), factor.data(),
                       output.data() + row * output.outerStride() + first_column, output.outerStride());
  }
}

template <Real T>
void BlockTransform<T>::correlation(const SpectrumBank<T>& bank, Index s, std::complex<T>* scratch, T* ahead, T* behind) const {
  std::complex<T>* spectrum = scratch + block_ + padding;
  bank.load(s, 0, spectrum);
  fft_.inverse(spectrum, scratch);
  const T norm = T{1} / static_cast<T>(block_);
  for (Index a = 0; a < block_; ++a) {
    const T cosine = cosine_.data()[a] * norm;
    const T sine = sine_.data()[a] * norm;
    ahead[a] = scratch[a].real() * cosine + scratch[a].imag() * sine;
    behind[a] = scratch[a].real() * sine - scratch[a].imag() * cosine;
  }
}

template class BlockTransform<float>;
template class BlockTransform<double>;

}  // namespace convbasis
