// Banks of spectra and the sums of products between them, against loops in double.
#include "basis/spectra.h"

#include "support/inputs.h"
#include "support/instruction_sets.h"

#include <gtest/gtest.h>

#include <complex>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class Spectra : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Spectra, Precisions);

/// The same numbers in a bank and, spectrum by spectrum and channel by channel, in plain vectors.
template <Real T>
struct Filled {
  SpectrumBank<T> bank;
  std::vector<std::vector<std::complex<T>>> plain;
  Index channels;

  Filled(Index bins, Index count, Index all_channels, Rng& rng) : bank(bins, count, all_channels), channels(all_channels) {
    for (Index i = 0; i < count * channels; ++i) {
      std::vector<std::complex<T>> spectrum;
      for (Index f = 0; f < bins; ++f) {
        const Matrix<T> pair = gaussian<T>(1, 2, rng);
        spectrum.push_back({pair(0, 0), pair(0, 1)});
      }
      bank.store(i / channels, i % channels, spectrum.data());
      plain.push_back(std::move(spectrum));
    }
  }
  std::complex<double> at(Index s, Index channel, Index f) const {
    return std::complex<double>(plain[static_cast<std::size_t>(s * channels + channel)][static_cast<std::size_t>(f)]);
  }
};

TYPED_TEST(Spectra, WhatIsStoredIsLoaded) {
  using T = TypeParam;
  Rng rng(1);
  for (const Index bins : {1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 33, 127, 128}) {
    for (const Index channels : {1, 2, 3, 4, 5, 7, 8, 9, 13}) {
      const Filled<T> filled(bins, 3, channels, rng);
      ASSERT_EQ(filled.bank.count(), 3);
      for (Index i = 0; i < 3 * channels; ++i) {
        const T nan = std::numeric_limits<T>::quiet_NaN();
        std::vector<std::complex<T>> loaded(static_cast<std::size_t>(bins + 1), {nan, nan});
        filled.bank.load(i / channels, i % channels, loaded.data());
        ASSERT_TRUE(loaded.back().real() != loaded.back().real()) << "written past the end";
        loaded.pop_back();
        ASSERT_EQ(loaded, filled.plain[static_cast<std::size_t>(i)]) << bins << " bins, " << channels << " channels";
      }
    }
  }
}

/// `used` channels of sums of random lengths, zero among them, against the definition.
template <Real T>
void expect_sums(Index bins, Index channels, Index used, bool conjugate, Rng& rng) {
  constexpr Index lag_count = 9;
  constexpr Index input_count = 11;
  const Filled<T> lags(bins, lag_count, 1, rng);
  const Filled<T> inputs(bins, input_count, channels, rng);
  const auto below = [&](Index limit) { return std::uniform_int_distribution<Index>(0, limit - 1)(rng); };
  std::vector<Index> index;
  for (Index i = 0; i < input_count; ++i) index.push_back(below(lag_count - 2) - 3);  // -3 ... 3: an offset of 3 to 5 fits
  std::vector<SpectrumSum> sums;
  for (const Index count : {Index{0}, Index{1}, Index{2}, below(input_count + 1), input_count}) {
    sums.push_back({count, index.data(), 3 + below(3), count == input_count ? 0 : below(input_count - count)});
  }
  SpectrumBank<T> result(bins, std::ssize(sums) + 1, channels);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const std::vector<std::complex<T>> nans(static_cast<std::size_t>(bins), {nan, nan});
  for (Index s = 0; s < result.count(); ++s) {
    for (Index c = 0; c < channels; ++c) result.store(s, c, nans.data());
  }
  accumulate_products<T>(sums, used, conjugate, lags.bank, inputs.bank, result);
  for (Index s = 0; s < result.count(); ++s) {
    for (Index c = 0; c < used; ++c) {
      std::vector<std::complex<T>> got(static_cast<std::size_t>(bins));
      result.load(s, c, got.data());
      for (Index f = 0; f < bins; ++f) {
        const std::complex<double> found(got[static_cast<std::size_t>(f)]);
        if (s == std::ssize(sums)) {
          ASSERT_TRUE(found.real() != found.real()) << "a sum that was not asked for was written";
          continue;
        }
        const SpectrumSum& sum = sums[static_cast<std::size_t>(s)];
        std::complex<double> expected;
        for (Index i = 0; i < sum.count; ++i) {
          const std::complex<double> lag = lags.at(index[static_cast<std::size_t>(i)] + sum.offset, 0, f);
          expected += (conjugate ? std::conj(lag) : lag) * inputs.at(sum.first_input + i, c, f);
        }
        // Up to 11 products of numbers up to 4, each of which is rounded a few times.
        ASSERT_TRUE(std::abs(found - expected) <= 300.0 * static_cast<double>(std::numeric_limits<T>::epsilon()))
            << bins << " bins, channel " << c << " of " << used << ", sum of " << sum.count << ", frequency " << f;
      }
    }
  }
}

TYPED_TEST(Spectra, SumsOfProducts) {
  for_each_instruction_set([] {
    Rng rng(2);
    for (const Index bins : {1, 2, 3, 4, 5, 8, 16, 17, 64}) {
      for (const Index channels : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12}) {
        for (const bool conjugate : {false, true}) expect_sums<TypeParam>(bins, channels, channels, conjugate, rng);
      }
    }
  });
}

TYPED_TEST(Spectra, FewerChannelsThanTheBanksHold) {
  Rng rng(3);
  for (Index channels = 1; channels <= 9; ++channels) {
    for (Index used = 1; used <= channels; ++used) expect_sums<TypeParam>(20, channels, used, used % 2 == 0, rng);
  }
}

}  // namespace
}  // namespace convbasis
