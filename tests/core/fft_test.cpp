#include "core/fft.h"

#include "core/errors.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <random>
#include <thread>
#include <vector>

namespace convbasis {
namespace {

template <Real T>
AlignedVector<T> random_signal(Index length, std::uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::normal_distribution<double> normal;
  AlignedVector<T> signal(static_cast<std::size_t>(length));
  for (T& value : signal) value = static_cast<T>(normal(rng));
  return signal;
}

template <Real T>
AlignedVector<std::complex<T>> forward(const RealFft<T>& fft, const AlignedVector<T>& signal) {
  AlignedVector<std::complex<T>> spectrum(static_cast<std::size_t>(fft.bins()));
  fft.forward(signal, spectrum);
  return spectrum;
}

/// An FFT of length N has about log2 N roundings in a row, each of T's epsilon; 8 covers the constant.
template <Real T>
double relative_tolerance(Index length) {
  return 8.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::log2(2.0 * static_cast<double>(length));
}

template <class T>
class FftTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(FftTest, Precisions);

constexpr Index lengths[] = {2, 4, 6, 8, 10, 12, 14, 30, 64, 70, 128, 210, 256, 420, 500, 630, 686, 1024, 1050, 2048, 2100};

TYPED_TEST(FftTest, ForwardIsTheDftByDefinition) {
  using T = TypeParam;
  for (const Index length : lengths) {
    const RealFft<T> fft(length);
    ASSERT_EQ(fft.length(), length);
    ASSERT_EQ(fft.bins(), length / 2 + 1);
    const AlignedVector<T> signal = random_signal<T>(length, static_cast<std::uint64_t>(length));
    const AlignedVector<std::complex<T>> spectrum = forward(fft, signal);
    const std::vector<std::complex<double>> expected = reference::dft(std::vector<double>(signal.begin(), signal.end()));
    double error = 0.0;
    double norm = 0.0;
    for (std::size_t f = 0; f < expected.size(); ++f) {
      error += std::norm(std::complex<double>(spectrum[f]) - expected[f]);
      norm += std::norm(expected[f]);
    }
    EXPECT_LE(std::sqrt(error / norm), relative_tolerance<T>(length)) << "length " << length;
  }
}

TYPED_TEST(FftTest, InverseOfForwardIsTheSignalTimesItsLength) {
  using T = TypeParam;
  for (const Index length : lengths) {
    const RealFft<T> fft(length);
    const AlignedVector<T> signal = random_signal<T>(length, 7);
    AlignedVector<std::complex<T>> spectrum = forward(fft, signal);
    AlignedVector<T> back(signal.size());
    fft.inverse(spectrum, back);
    for (std::size_t t = 0; t < signal.size(); ++t) {
      // Signals of up to 4 sigma.
      ASSERT_NEAR(back[t] / static_cast<T>(length), signal[t], 4.0 * relative_tolerance<T>(length)) << "length " << length;
    }
  }
}

TYPED_TEST(FftTest, ForwardKeepsTheSignal) {
  using T = TypeParam;
  const RealFft<T> fft(420);
  const AlignedVector<T> signal = random_signal<T>(420, 3);
  const AlignedVector<T> before = signal;
  forward(fft, signal);
  EXPECT_EQ(signal, before);
}

TYPED_TEST(FftTest, IsLinear) {
  using T = TypeParam;
  const RealFft<T> fft(256);
  const AlignedVector<T> x = random_signal<T>(256, 1);
  const AlignedVector<T> y = random_signal<T>(256, 2);
  AlignedVector<T> sum(256);
  for (std::size_t t = 0; t < sum.size(); ++t) sum[t] = T(2) * x[t] - T(3) * y[t];
  const auto fx = forward(fft, x);
  const auto fy = forward(fft, y);
  const auto fsum = forward(fft, sum);
  for (std::size_t f = 0; f < fsum.size(); ++f) {
    // Bins of 256 unit normals are up to about 60; the combination doubles and triples them.
    EXPECT_LE(std::abs(fsum[f] - (T(2) * fx[f] - T(3) * fy[f])), 300.0 * relative_tolerance<T>(256));
  }
}

TYPED_TEST(FftTest, ProductOfSpectraIsCircularConvolution) {
  using T = TypeParam;
  const Index length = 60;
  const RealFft<T> fft(length);
  const AlignedVector<T> x = random_signal<T>(length, 4);
  const AlignedVector<T> y = random_signal<T>(length, 5);
  auto product = forward(fft, x);
  const auto fy = forward(fft, y);
  for (std::size_t f = 0; f < product.size(); ++f) product[f] *= fy[f];
  AlignedVector<T> convolution(static_cast<std::size_t>(length));
  fft.inverse(product, convolution);
  for (Index t = 0; t < length; ++t) {
    double expected = 0.0;
    for (Index s = 0; s < length; ++s) {
      expected += static_cast<double>(x[static_cast<std::size_t>(s)]) *
                  static_cast<double>(y[static_cast<std::size_t>((t - s + length) % length)]);
    }
    // Sums of 60 products of unit normals are up to about 30.
    EXPECT_NEAR(convolution[static_cast<std::size_t>(t)] / static_cast<T>(length), expected,
                30.0 * relative_tolerance<T>(length));
  }
}

TYPED_TEST(FftTest, RejectsOddAndTooSmallLengths) {
  using T = TypeParam;
  for (const Index length : {-2, 0, 1, 3, 15, 2049}) EXPECT_THROW(RealFft<T>{length}, InvalidArgument) << length;
}

TYPED_TEST(FftTest, MovedTransformWorks) {
  using T = TypeParam;
  RealFft<T> first(64);
  const AlignedVector<T> signal = random_signal<T>(64, 6);
  const auto expected = forward(first, signal);
  RealFft<T> second(std::move(first));
  EXPECT_EQ(forward(second, signal), expected);
  RealFft<T> third(32);
  third = std::move(second);
  EXPECT_EQ(third.length(), 64);
  EXPECT_EQ(forward(third, signal), expected);
}

TYPED_TEST(FftTest, OneTransformServesSeveralThreadsWhileOthersAreMade) {
  using T = TypeParam;
  const RealFft<T> fft(210);
  const AlignedVector<T> signal = random_signal<T>(210, 8);
  const auto expected = forward(fft, signal);
  std::vector<AlignedVector<std::complex<T>>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results) {
      threads.emplace_back([&] {
        for (int repeat = 0; repeat < 20; ++repeat) {
          const RealFft<T> other(2 * (repeat + 1));
          result = forward(fft, signal);
        }
      });
    }
  }
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

/// Complex transforms: any length, primes and 1 among them.
constexpr Index complex_lengths[] = {1,  2,  3,  4,  5,   7,   8,   9,   15,  16,  17,   31,
                                     32, 33, 64, 97, 127, 128, 129, 256, 509, 512, 1000, 1024};

template <Real T>
AlignedVector<std::complex<T>> random_complex(Index length, std::uint64_t seed) {
  const AlignedVector<T> parts = random_signal<T>(2 * length, seed);
  AlignedVector<std::complex<T>> signal(static_cast<std::size_t>(length));
  for (std::size_t t = 0; t < signal.size(); ++t) signal[t] = {parts[2 * t], parts[2 * t + 1]};
  return signal;
}

/// out[f] = sum_t in[t] exp(sign 2 pi i f t / N), in double.
template <Real T>
std::vector<std::complex<double>> complex_dft(const AlignedVector<std::complex<T>>& in, double sign) {
  const std::size_t n = in.size();
  std::vector<std::complex<double>> out(n);
  for (std::size_t f = 0; f < n; ++f) {
    for (std::size_t t = 0; t < n; ++t) {
      out[f] += std::complex<double>(in[t]) *
                std::polar(1.0, sign * 2.0 * std::numbers::pi * static_cast<double>(f * t % n) / static_cast<double>(n));
    }
  }
  return out;
}

template <Real T>
double relative_error(const AlignedVector<std::complex<T>>& got, const std::vector<std::complex<double>>& expected) {
  double error = 0.0;
  double norm = 0.0;
  for (std::size_t f = 0; f < expected.size(); ++f) {
    error += std::norm(std::complex<double>(got[f]) - expected[f]);
    norm += std::norm(expected[f]);
  }
  return std::sqrt(error / norm);
}

TYPED_TEST(FftTest, ComplexForwardAndInverseAreTheDftByDefinition) {
  using T = TypeParam;
  for (const Index length : complex_lengths) {
    const ComplexFft<T> fft(length);
    ASSERT_EQ(fft.length(), length);
    const auto in = random_complex<T>(length, static_cast<std::uint64_t>(length));
    const auto before = in;
    const T nan = std::numeric_limits<T>::quiet_NaN();
    AlignedVector<std::complex<T>> out(in.size(), {nan, nan});
    fft.forward(in.data(), out.data());
    EXPECT_LE(relative_error(out, complex_dft(in, -1.0)), relative_tolerance<T>(length)) << "length " << length;
    fft.inverse(in.data(), out.data());
    EXPECT_LE(relative_error(out, complex_dft(in, 1.0)), relative_tolerance<T>(length)) << "length " << length;
    EXPECT_EQ(in, before) << "the input is kept";
  }
}

TYPED_TEST(FftTest, ComplexInverseOfForwardIsTheInputTimesItsLength) {
  using T = TypeParam;
  for (const Index length : {Index{1}, Index{13}, Index{2048}, Index{4099}, Index{16384}}) {
    const ComplexFft<T> fft(length);
    const auto in = random_complex<T>(length, 3);
    AlignedVector<std::complex<T>> spectrum(in.size());
    AlignedVector<std::complex<T>> back(in.size());
    fft.forward(in.data(), spectrum.data());
    fft.inverse(spectrum.data(), back.data());
    std::vector<std::complex<double>> expected(in.begin(), in.end());
    for (auto& number : expected) number *= static_cast<double>(length);
    EXPECT_LE(relative_error(back, expected), 2.0 * relative_tolerance<T>(length)) << "length " << length;
  }
}

TYPED_TEST(FftTest, ComplexRejectsLengthsOutOfRange) {
  using T = TypeParam;
  for (const Index length : {Index{-5}, Index{0}, (Index{1} << 30) + 1}) {
    EXPECT_THROW(ComplexFft<T>{length}, InvalidArgument) << length;
  }
}

TYPED_TEST(FftTest, MovedComplexTransformServesSeveralThreads) {
  using T = TypeParam;
  ComplexFft<T> first(96);
  ComplexFft<T> fft(8);
  const auto in = random_complex<T>(96, 6);
  AlignedVector<std::complex<T>> expected(in.size());
  first.forward(in.data(), expected.data());
  fft = ComplexFft<T>(std::move(first));
  EXPECT_EQ(fft.length(), 96);
  std::vector<AlignedVector<std::complex<T>>> results(4, AlignedVector<std::complex<T>>(in.size()));
  {
    std::vector<std::jthread> threads;
    for (auto& result : results) {
      threads.emplace_back([&] {
        for (int repeat = 0; repeat < 20; ++repeat) {
          const ComplexFft<T> other(repeat + 1);
          fft.forward(in.data(), result.data());
        }
      });
    }
  }
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(GoodFftSize, IsTheSmallestEvenSevenSmoothNumber) {
  const auto is_good = [](Index size) {
    if (size < 2 || size % 2 != 0) return false;
    for (const Index prime : {2, 3, 5, 7}) {
      while (size % prime == 0) size /= prime;
    }
    return size == 1;
  };
  for (Index size = 0; size <= 5000; ++size) {
    Index expected = size;
    while (!is_good(expected)) ++expected;
    ASSERT_EQ(good_fft_size(size), expected) << size;
  }
  EXPECT_EQ(good_fft_size(65521), 65536);
  EXPECT_EQ(good_fft_size(1 << 21), 1 << 21);
}

}  // namespace
}  // namespace convbasis
