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
  static constexpr auto plan_complex = fftwf_plan_dft_1d;
  static constexpr auto execute_complex = fftwf_execute_dft;
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
  static constexpr auto plan_complex = fftw_plan_dft_1d;
  static constexpr auto execute_complex = fftw_execute_dft;
  static constexpr auto destroy = fftw_destroy_plan;
  static constexpr auto execute_forward = fftw_execute_dft_r2c;
  static constexpr auto execute_inverse = fftw_execute_dft_c2r;
};

/// Only FFTW's execute functions are thread-safe: planning and destroying are serialised here.
std::mutex& planner_mutex() {
  static std::mutex mutex;
  return mutex;
}

/// A transform and its inverse; destroyed together.
template <Real T>
struct PlanPair {
  typename Fftw<T>::Plan forward = nullptr;
  typename Fftw<T>::Plan inverse = nullptr;

  PlanPair() = default;
  ~PlanPair() {
    const std::scoped_lock lock(planner_mutex());
    Fftw<T>::destroy(forward);
    Fftw<T>::destroy(inverse);
  }
  PlanPair(const PlanPair&) = delete;
  PlanPair& operator=(const PlanPair&) = delete;
};

constexpr Index longest = Index{1} << 30;

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
struct RealFft<T>::Plans : PlanPair<T> {
  explicit Plans(Index length) {
    const auto size = static_cast<std::size_t>(length);
    Scratch<T> signal(size);
    Scratch<std::complex<T>> spectrum(size / 2 + 1);
    const std::scoped_lock lock(planner_mutex());
    const int n = static_cast<int>(length);
    this->forward = Fftw<T>::plan_forward(n, signal.data(), fftw_cast<T>(spectrum.data()), FFTW_ESTIMATE | FFTW_PRESERVE_INPUT);
    this->inverse = Fftw<T>::plan_inverse(n, fftw_cast<T>(spectrum.data()), signal.data(), FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
  }
};

template <Real T>
RealFft<T>::RealFft(Index length) : length_(length) {
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

template <Real T>
struct ComplexFft<T>::Plans : PlanPair<T> {
  explicit Plans(Index length) {
    const auto size = static_cast<std::size_t>(length);
    Scratch<std::complex<T>> in(size);
    Scratch<std::complex<T>> out(size);
    const std::scoped_lock lock(planner_mutex());
    const auto plan = [&](int sign) {
      return Fftw<T>::plan_complex(static_cast<int>(length), fftw_cast<T>(in.data()), fftw_cast<T>(out.data()), sign,
                                   FFTW_ESTIMATE | FFTW_PRESERVE_INPUT);
    };
    this->forward = plan(FFTW_FORWARD);
    this->inverse = plan(FFTW_BACKWARD);
  }
};

template <Real T>
ComplexFft<T>::ComplexFft(Index length) : length_(length) {
  if (length < 1 || length > longest) {
    throw InvalidArgument("FFT length is " + std::to_string(length) + "; it must be between 1 and 2^30");
  }
  plans_ = std::make_unique<Plans>(length);
}

template <Real T>
ComplexFft<T>::~ComplexFft() = default;
template <Real T>
ComplexFft<T>::ComplexFft(ComplexFft&&) noexcept = default;
template <Real T>
ComplexFft<T>& ComplexFft<T>::operator=(ComplexFft&&) noexcept = default;

// FFTW takes non-const pointers; FFTW_PRESERVE_INPUT keeps the input as it is.
template <Real T>
void ComplexFft<T>::forward(const std::complex<T>* in, std::complex<T>* out) const {
  Fftw<T>::execute_complex(plans_->forward, fftw_cast<T>(const_cast<std::complex<T>*>(in)), fftw_cast<T>(out));
}

template <Real T>
void ComplexFft<T>::inverse(const std::complex<T>* in, std::complex<T>* out) const {
  Fftw<T>::execute_complex(plans_->inverse, fftw_cast<T>(const_cast<std::complex<T>*>(in)), fftw_cast<T>(out));
}

template class ComplexFft<float>;
template class ComplexFft<double>;
template class RealFft<float>;
template class RealFft<double>;

}  // namespace convbasis
