// Twist and transposition against loops over the definition, for every instruction set.
#include "basis/twist.h"

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
class Twist : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Twist, Precisions);

constexpr Index sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 33, 64};

template <Real T>
struct Numbers {
  std::vector<T> real, imaginary;
  Numbers(Index count, Rng& rng) {
    for (Index t = 0; t <= count; ++t) {
      real.push_back(static_cast<T>(std::normal_distribution<double>()(rng)));
      imaginary.push_back(static_cast<T>(std::normal_distribution<double>()(rng)));
    }
  }
  /// From the second number on: not aligned.
  TwistView<T> view() const { return {real.data() + 1, imaginary.data() + 1}; }
};

/// Two or three products of unit normals (up to about 4 each, so 64 with a factor), each rounded once or twice.
template <Real T>
constexpr double tolerance = 256.0 * static_cast<double>(std::numeric_limits<T>::epsilon());

template <Real T>
bool is_untouched(std::complex<T> value) {
  return value.real() != value.real() && value.imag() != value.imag();
}

TYPED_TEST(Twist, ColumnsAreTransposedAndMultiplied) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for_each_instruction_set([&] {
    Rng rng(1);
    for (const Index rows : sizes) {
      for (const Index columns : sizes) {
        const Numbers<T> twist(rows, rng);
        const Padded<T> source(gaussian<T>(rows, columns, rng), 3);
        const Index stride = rows + 5;
        std::vector<std::complex<T>> target(static_cast<std::size_t>(columns * stride + 1), {nan, nan});
        const auto view = source.view();
        twist_columns<T>(view.data(), view.outerStride(), rows, columns, twist.view(), target.data() + 1, stride);
        ASSERT_TRUE(is_untouched(target[0]));
        for (Index c = 0; c < columns; ++c) {
          for (Index t = 0; t < stride; ++t) {
            const std::complex<T> got = target[static_cast<std::size_t>(1 + c * stride + t)];
            if (t >= rows) {
              ASSERT_TRUE(is_untouched(got)) << rows << " x " << columns;
            } else {  // one product each: exact to the last bit
              ASSERT_EQ(got.real(), view(t, c) * twist.view().real[t]) << rows << " x " << columns;
              ASSERT_EQ(got.imag(), view(t, c) * twist.view().imaginary[t]) << rows << " x " << columns;
            }
          }
        }
      }
    }
  });
}

TYPED_TEST(Twist, UntwistIsTheRealPartOfTheProductWithTheConjugate) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(2);
    for (const Index rows : sizes) {
      for (const Index columns : sizes) {
        const Numbers<T> twist(rows, rng);
        const Numbers<T> factor(rows, rng);
        const Index stride = rows + 3;
        std::vector<std::complex<T>> source;
        for (Index i = 0; i <= columns * stride; ++i) {
          const Matrix<T> pair = gaussian<T>(1, 2, rng);
          source.push_back({pair(0, 0), pair(0, 1)});
        }
        Padded<T> target(Matrix<T>::Constant(rows, columns, std::numeric_limits<T>::quiet_NaN()), 2);
        auto view = target.mutable_view();
        untwist_columns<T>(source.data() + 1, stride, rows, columns, twist.view(), factor.view().real, view.data(),
                           view.outerStride());
        ASSERT_TRUE(target.gaps_untouched()) << rows << " x " << columns;
        for (Index t = 0; t < rows; ++t) {
          for (Index c = 0; c < columns; ++c) {
            const std::complex<double> value(source[static_cast<std::size_t>(1 + c * stride + t)]);
            const std::complex<double> w(twist.view().real[t], twist.view().imaginary[t]);
            const double expected = static_cast<double>(factor.view().real[t]) * (value * std::conj(w)).real();
            ASSERT_NEAR(view(t, c), expected, tolerance<T>) << rows << " x " << columns;
          }
        }
      }
    }
  });
}

TYPED_TEST(Twist, LagsAheadAndBehindMeetInOneNumber) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for_each_instruction_set([&] {
    Rng rng(3);
    for (const Index count : {0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 127, 128, 129, 1009}) {
      const Numbers<T> twist(count, rng);
      const Numbers<T> lags(count, rng);
      std::vector<std::complex<T>> target(static_cast<std::size_t>(count + 2), {nan, nan});
      twist_lags<T>(lags.view().real, lags.view().imaginary, count, twist.view(), target.data() + 1);
      ASSERT_TRUE(is_untouched(target.front()) && is_untouched(target.back())) << count;
      for (Index t = 0; t < count; ++t) {
        const std::complex<double> lag(lags.view().real[t], -lags.view().imaginary[t]);
        const auto expected = lag * std::complex<double>(twist.view().real[t], twist.view().imaginary[t]);
        const auto got = std::complex<double>(target[static_cast<std::size_t>(t + 1)]);
        ASSERT_TRUE(std::abs(got - expected) <= tolerance<T>) << count;
      }
    }
  });
}

}  // namespace
}  // namespace convbasis
