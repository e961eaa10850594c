#include "core/fft.h"

#include "core/errors.h"

#include <fftw3.h>

#include <algorithm>
#include <mutex>

namespace convbasis {
namespace {

/// FFTW's two precisions under one set of names.
template <Real T>
struct Fftw;

template <>
struct Fftw<float> {
  using Plan = fftwf_plan;
  using Complex = fftwf_complex;
  static constexpr auto plan_forward = fftwf_plan_dft_r2c_1d;
  static constexpr auto plan_inverse = fftwf_plan_dft_c2r_1d;
  static constexpr auto destroy = fftwf_destroy_plan;
  static constexpr auto execute_forward = fftwf_execute_dft_r2c;
  static constexpr auto execute_inverse = fftwf_execute_dft_c2r;
};

template <>
struct Fftw<double> {
  using Plan = fftw_plan;
  using Complex = fftw_complex;
  static constexpr auto plan_forward = fftw_plan_dft_r2c_1d;
  static constexpr auto plan_inverse = fftw_plan_dft_c2r_1d;
  static constexpr auto destroy = fftw_destroy_plan;
  static constexpr auto execute_forward = fftw_execute_dft_r2c;
  static constexpr auto execute_inverse = fftw_execute_dft_c2r;
};

/// Only FFTW's execute functions are thread-safe: planning and destroying are serialised here.
std::mutex& planner_mutex() {
  static std::mutex mutex;
  return mutex;
}

template <Real T>
typename Fftw<T>::Complex* fftw_cast(std::complex<T>* pointer) {
  return reinterpret_cast<typename Fftw<T>::Complex*>(pointer);
}

}  // namespace

std::string fft_library() { return fftw_version; }

Index good_fft_size(Index size) {
  for (Index candidate = std::max<Index>(2, size + size % 2);; candidate += 2) {
    Index rest = candidate;
    for (const Index prime : {2, 3, 5, 7}) {
      while (rest % prime == 0) rest /= prime;
    }
    if (rest == 1) return candidate;
  }
}

template <Real T>
struct RealFft<T>::Plans {
  typename Fftw<T>::Plan forward = nullptr;
  typename Fftw<T>::Plan inverse = nullptr;

  explicit Plans(Index length) {
    const auto size = static_cast<std::size_t>(length);
    AlignedVector<T> signal(size);
    AlignedVector<std::complex<T>> spectrum(size / 2 + 1);
    const std::scoped_lock lock(planner_mutex());
    const int n = static_cast<int>(length);
    forward = Fftw<T>::plan_forward(n, signal.data(), fftw_cast<T>(spectrum.data()), FFTW_ESTIMATE | FFTW_PRESERVE_INPUT);
    inverse = Fftw<T>::plan_inverse(n, fftw_cast<T>(spectrum.data()), signal.data(), FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
  }
  ~Plans() {
    const std::scoped_lock lock(planner_mutex());
    Fftw<T>::destroy(forward);
    Fftw<T>::destroy(inverse);
  }
  Plans(const Plans&) = delete;
  Plans& operator=(const Plans&) = delete;
};

template <Real T>
RealFft<T>::RealFft(Index length) : length_(length) {
  constexpr Index longest = Index{1} << 30;
  if (length < 2 || length % 2 != 0 || length > longest) {
    throw InvalidArgument("FFT length is " + std::to_string(length) + "; it must be even and between 2 and 2^30");
  }
  plans_ = std::make_unique<Plans>(length);
}

template <Real T>
RealFft<T>::~RealFft() = default;
template <Real T>
RealFft<T>::RealFft(RealFft&&) noexcept = default;
template <Real T>
RealFft<T>& RealFft<T>::operator=(RealFft&&) noexcept = default;

template <Real T>
void RealFft<T>::forward(std::span<const T> signal, std::span<std::complex<T>> spectrum) const {
  // FFTW takes a non-const pointer; FFTW_PRESERVE_INPUT keeps the signal as it is.
  Fftw<T>::execute_forward(plans_->forward, const_cast<T*>(signal.data()), fftw_cast<T>(spectrum.data()));
}

template <Real T>
void RealFft<T>::inverse(std::span<std::complex<T>> spectrum, std::span<T> signal) const {
  Fftw<T>::execute_inverse(plans_->inverse, fftw_cast<T>(spectrum.data()), signal.data());
}

template class RealFft<float>;
template class RealFft<double>;

}  // namespace convbasis
