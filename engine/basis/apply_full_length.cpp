#include "basis/apply.h"
#include "core/errors.h"
#include "core/fft.h"
#include "core/threads.h"

#include <algorithm>
#include <complex>
#include <string>
#include <vector>

namespace convbasis {
namespace {

/// The spectrum of `values`, zero-padded to the length of `fft`.
template <Real T>
AlignedVector<std::complex<T>> spectrum_of(const RealFft<T>& fft, std::span<const T> values) {
  AlignedVector<T> padded(static_cast<std::size_t>(fft.length()), T{0});
  std::copy(values.begin(), values.end(), padded.begin());
  AlignedVector<std::complex<T>> spectrum(static_cast<std::size_t>(fft.bins()));
  fft.forward(padded, spectrum);
  return spectrum;
}

}  // namespace

template <Real T>
void apply_full_length(const ConvWeights<T>& weights, MatrixView<T> value, MutableMatrixView<T> output,
                       const RunContext& context) {
  const Index n = weights.weights.size();
  if (value.rows() != n || output.rows() != n || output.cols() != value.cols()) {
    throw InvalidArgument("value has " + std::to_string(value.rows()) + " rows and output " + std::to_string(output.rows()) +
                          "; both must have " + std::to_string(n) + ", and the same number of columns");
  }
  const ConvBasis<T>& basis = weights.weights;
  const RealFft<T> fft(good_fft_size(2 * n - 1));
  std::vector<AlignedVector<std::complex<T>>> lag_spectra(static_cast<std::size_t>(basis.count()));
  parallel_for(context, basis.count(),
               [&](Index r, int) { lag_spectra[static_cast<std::size_t>(r)] = spectrum_of<T>(fft, basis.lag_vector(r)); });

  parallel_for(context, value.cols(), [&](Index column, int) {
    AlignedVector<T> signal(static_cast<std::size_t>(fft.length()));
    AlignedVector<std::complex<T>> product(static_cast<std::size_t>(fft.bins()));
    AlignedVector<std::complex<T>> sum(product.size());
    for (Index r = 0; r < basis.count(); ++r) {
      context.check();
      std::fill(signal.begin(), signal.end(), T{0});
      for (Index j = basis.start(r); j < basis.end(r); ++j) signal[static_cast<std::size_t>(j)] = value(j, column);
      fft.forward(signal, product);
      const auto& lags = lag_spectra[static_cast<std::size_t>(r)];
      for (std::size_t f = 0; f < sum.size(); ++f) {
        const std::complex<T> a = lags[f];
        const std::complex<T> b = product[f];
        sum[f] += std::complex<T>(a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real());
      }
    }
    fft.inverse(sum, signal);
    const double norm = static_cast<double>(fft.length());
    for (Index i = 0; i < n; ++i) {
      output(i, column) = static_cast<T>(static_cast<double>(signal[static_cast<std::size_t>(i)]) /
                                         (norm * weights.row_sum[static_cast<std::size_t>(i)]));
    }
  });
}

template void apply_full_length(const ConvWeights<float>&, MatrixView<float>, MutableMatrixView<float>, const RunContext&);
template void apply_full_length(const ConvWeights<double>&, MatrixView<double>, MutableMatrixView<double>, const RunContext&);

}  // namespace convbasis
