// Which floats are half-precision numbers, against Eigen's conversions.
#include "cuda/halves.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

float float_of(std::uint16_t bits) { return Eigen::half_impl::half_to_float(Eigen::half_impl::raw_uint16_to_half(bits)); }

TEST(Halves, EveryHalfIsFound) {
  Matrix<float> all(251, 253);  // 63488 are finite
  std::vector<std::uint16_t> expected;
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const float number = float_of(static_cast<std::uint16_t>(bits));
    if (!std::isfinite(number)) {
      EXPECT_TRUE(exact_halves(view(Matrix<float>(Matrix<float>::Constant(1, 1, number)))).empty()) << bits;
    } else {
      expected.push_back(static_cast<std::uint16_t>(bits));
    }
  }
  ASSERT_EQ(expected.size(), 63488U);
  expected.resize(static_cast<std::size_t>(all.size()));
  for (Index i = 0; i < all.size(); ++i) all.data()[i] = float_of(expected[static_cast<std::size_t>(i)]);
  EXPECT_EQ(exact_halves(view(all)), expected);
}

TEST(Halves, OneOtherNumberIsEnough) {
  Matrix<float> all = Matrix<float>::Constant(700, 300, -1.5F);
  EXPECT_EQ(exact_halves(view(all)), std::vector<std::uint16_t>(700UL * 300UL, 0xBE00));
  constexpr float inf = std::numeric_limits<float>::infinity();
  for (const float other :
       {0.1F, 65505.0F, 65520.0F, 1e30F, std::ldexp(1.5F, -24), std::ldexp(1.0F, -25), std::ldexp(2049.0F, -26), 1e-40F, inf,
        -inf, std::numeric_limits<float>::quiet_NaN(), 1.0F + std::ldexp(1.0F, -11)}) {
    for (const Index at : {Index{0}, Index{123456}, all.size() - 1}) {
      all.data()[at] = other;
      EXPECT_TRUE(exact_halves(view(all)).empty()) << other << " at " << at;
      all.data()[at] = -1.5F;
    }
  }
}

TEST(Halves, RowsMayLieApart) {
  Matrix<float> wide(3, 5);
  wide << 1, 2, 0.1F, 0.1F, 0.1F, 3, 4, 0.1F, 0.1F, 0.1F, -5, 0.0F, 0.1F, 0.1F, 0.1F;
  const MatrixView<float> part(wide.data(), 3, 2, Eigen::OuterStride<>(5));
  EXPECT_EQ(exact_halves(part), (std::vector<std::uint16_t>{0x3C00, 0x4000, 0x4200, 0x4400, 0xC500, 0x0000}));
}

}  // namespace
}  // namespace convbasis
