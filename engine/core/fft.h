/// \file
/// The seam to the FFT library: everything that names FFTW lives in fft.cpp, so another library can stand behind it.
#pragma once

#include "core/aligned.h"
#include "core/types.h"

#include <complex>
#include <memory>
#include <span>
#include <string>

namespace convbasis {

/// The smallest even 2^a 3^b 5^c 7^d that is at least `size` (and at least 2): other lengths are up to 14x slower.
Index good_fft_size(Index size);

/// The FFT library behind this seam with its version, for people: "fftw-3.3.10-sse2-avx".
std::string fft_library();

/// Real-to-complex FFT of one length and its inverse. Immutable after construction: forward and inverse may be called
/// from several threads at once on different buffers. Construction is serialised internally (FFTW's planner is not
/// thread-safe) and cheap (estimated plans: instant and deterministic). Cost of a call: O(N log N).
template <Real T>
class RealFft {
 public:
  /// `length` >= 2 and even. Throws InvalidArgument otherwise.
  explicit RealFft(Index length);
  ~RealFft();
  RealFft(RealFft&&) noexcept;
  RealFft& operator=(RealFft&&) noexcept;

  Index length() const { return length_; }
  /// Number of complex outputs: length / 2 + 1.
  Index bins() const { return length_ / 2 + 1; }

  /// spectrum[f] = sum_t signal[t] exp(-2 pi i f t / N). Sizes: N and bins(). Both 64-byte aligned; `signal` is kept.
  void forward(std::span<const T> signal, std::span<std::complex<T>> spectrum) const;
  /// signal[t] = sum over all N frequencies: **not** divided by N. Destroys `spectrum`. Both 64-byte aligned.
  void inverse(std::span<std::complex<T>> spectrum, std::span<T> signal) const;

 private:
  struct Plans;
  Index length_;
  std::unique_ptr<Plans> plans_;
};

/// Complex FFT of one length and its inverse, under the same rules as RealFft. In FFTW as Debian packages it, a complex transform
/// runs at about twice the speed (operations a second) of a real one.
template <Real T>
class ComplexFft {
 public:
  /// `length` >= 1. Throws InvalidArgument otherwise.
  explicit ComplexFft(Index length);
  ~ComplexFft();
  ComplexFft(ComplexFft&&) noexcept;
  ComplexFft& operator=(ComplexFft&&) noexcept;

  Index length() const { return length_; }

  /// out[f] = sum_t in[t] exp(-2 pi i f t / N). `in` and `out` are different arrays of N numbers, 64-byte aligned; `in` is kept.
  void forward(const std::complex<T>* in, std::complex<T>* out) const;
  /// out[t] = sum_f in[f] exp(2 pi i f t / N): **not** divided by N.
  void inverse(const std::complex<T>* in, std::complex<T>* out) const;

 private:
  struct Plans;
  Index length_;
  std::unique_ptr<Plans> plans_;
};

}  // namespace convbasis
