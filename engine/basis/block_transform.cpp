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
BlockTransform<T>::BlockTransform(Index block) : block_(block), fft_(block), twist_(static_cast<std::size_t>(block)) {
  for (Index t = 0; t < block; ++t) {
    const double angle = std::numbers::pi * static_cast<double>(t) / static_cast<double>(2 * block);
    twist_.data()[t] = {static_cast<T>(std::cos(angle)), static_cast<T>(std::sin(angle))};
  }
}

template <Real T>
typename BlockTransform<T>::LagSize BlockTransform<T>::lag_spectrum(std::span<const T> lags, Index t, std::complex<T>* scratch,
                                                                    SpectrumBank<T>& bank, Index s) const {
  const auto count = static_cast<Index>(lags.size());
  const auto lag = [&](Index index) { return index >= 0 && index < count ? lags[static_cast<std::size_t>(index)] : T{0}; };
  LagSize size;
  for (Index m = 0; m < block_; ++m) {
    const T ahead = lag(t * block_ + m);
    const T behind = m == 0 ? T{0} : lag(t * block_ + m - block_);  // z^(m - B) = -i z^m
    const std::complex<T> twist = twist_.data()[m];
    scratch[m] = {ahead * twist.real() + behind * twist.imag(), ahead * twist.imag() - behind * twist.real()};
    const auto a = static_cast<double>(ahead);
    const auto b = static_cast<double>(behind);
    size.sum += a + b;
    size.sum_of_squares += a * a + b * b;
  }
  std::complex<T>* spectrum = scratch + block_ + padding;
  fft_.forward(scratch, spectrum);
  bank.store(s, 0, spectrum);
  return size;
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
  for (Index tile = first; tile < last; tile += tile_rows) {
    const Index rows = std::min(tile_rows, last - tile);
    const T* source = value.data() + (range.block * block_ + tile) * value.outerStride() + first_column;
    for (Index c = 0; c < columns; ++c) {
      const std::complex<T>* twist = twist_.data() + tile;
      std::complex<T>* target = scratch + c * stride + tile;
      for (Index a = 0; a < rows; ++a) {
        const T x = source[a * value.outerStride() + c];
        target[a] = {x * twist[a].real(), x * twist[a].imag()};
      }
    }
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
  const Index offset = range.block * block_;
  for (Index tile = range.first; tile < range.last; tile += tile_rows) {
    const Index rows = std::min(tile_rows, range.last - tile);
    std::array<T, tile_rows> factor;
    for (Index a = 0; a < rows; ++a) {
      factor[static_cast<std::size_t>(a)] = row_factor.empty() ? norm : norm * row_factor[static_cast<std::size_t>(tile + a)];
    }
    T* target = output.data() + tile * output.outerStride() + first_column;
    for (Index c = 0; c < columns; ++c) {
      const std::complex<T>* twist = twist_.data() + (tile - offset);
      const std::complex<T>* source = scratch + c * stride + (tile - offset);
      for (Index a = 0; a < rows; ++a) {
        // The real part of source * conj(twist).
        target[a * output.outerStride() + c] =
            (source[a].real() * twist[a].real() + source[a].imag() * twist[a].imag()) * factor[static_cast<std::size_t>(a)];
      }
    }
  }
}

template class BlockTransform<float>;
template class BlockTransform<double>;

}  // namespace convbasis
