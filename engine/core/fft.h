/// \file
/// The seam to the FFT library: everything that names FFTW lives in fft.cpp, so another library can stand behind it.
#pragma once

#include "core/types.h"

#include <complex>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

namespace convbasis {

/// Allocator for vectors that SIMD code and FFTs work on: 64-byte aligned.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  static constexpr std::align_val_t alignment{64};
  AlignedAllocator() = default;
  template <class U>
  explicit(false) AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), alignment)); }
  void deallocate(T* pointer, std::size_t) { ::operator delete(pointer, alignment); }
  bool operator==(const AlignedAllocator&) const { return true; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

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

}  // namespace convbasis
