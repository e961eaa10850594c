// The inner loops on their own, with every instruction set that this machine has.
#include "attention/kernels.h"

#include "attention/exact_attention.h"
#include "core/aligned.h"
#include "support/inputs.h"
#include "support/instruction_sets.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class Kernels : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Kernels, Precisions);

template <Real T>
constexpr double unit = static_cast<double>(std::numeric_limits<T>::epsilon());

TEST(InstructionSets, AreReallySwitched) {
  std::set<std::string> names;
  int runs = 0;
  for_each_instruction_set([&] {
    ++runs;
    names.insert(kernel_instruction_set());
  });
  EXPECT_EQ(names.size(), static_cast<std::size_t>(runs));
  EXPECT_EQ(names.count(""), 0U);
  EXPECT_FALSE(kernel_instruction_set().empty());
}

TYPED_TEST(Kernels, ProductsOfPackedPanels) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(1);
    const Index width = kernels::panel_width<T>();
    ASSERT_GE(width, 2);
    for (const Index row_count : {1, 2, 3, 5, 6, 7, 11, 12, 13, 17, 24}) {
      for (const Index depth : {1, 2, 15, 40}) {
        for (const Index columns : {Index{1}, width - 1, width, width + 1, 3 * width + 2}) {
          const Index panels = (columns + width - 1) / width;
          const Matrix<T> left = gaussian<T>(row_count, depth, rng);
          const Padded<T> keys(gaussian<T>(columns, depth, rng), 3);
          const Padded<T> values(gaussian<T>(depth, columns, rng), 2);
          AlignedVector<T> packed(static_cast<std::size_t>(panels * width * depth), std::numeric_limits<T>::quiet_NaN());
          Matrix<T> target = Matrix<T>::Ones(row_count, panels * width);
          // Sums of up to 40 products of unit normals: partial sums of up to 20, 40 roundings in random directions.
          const double tolerance = 100.0 * unit<T>;

          kernels::pack_transposed<T>(keys.view(), packed.data());
          kernels::multiply<T>(row_count, depth, panels, left.data(), depth, packed.data(), depth * width, target.data(),
                               panels * width, false);
          const reference::Dense by_keys = left.template cast<double>() * keys.view().template cast<double>().transpose();
          EXPECT_LE(reference::max_error(target.leftCols(columns).template cast<double>(), by_keys), tolerance);

          kernels::pack_columns<T>(values.view(), packed.data());
          kernels::multiply<T>(row_count, depth, panels, left.data(), depth, packed.data(), depth * width, target.data(),
                               panels * width, true);
          const reference::Dense by_values = by_keys + left.template cast<double>() * values.view().template cast<double>();
          EXPECT_LE(reference::max_error(target.leftCols(columns).template cast<double>(), by_values), 2.0 * tolerance);
          EXPECT_EQ((Matrix<T>(target.rightCols(panels * width - columns))),
                    (Matrix<T>::Zero(row_count, panels * width - columns)))
              << "padding";
        }
      }
    }
  });
}

TYPED_TEST(Kernels, ExponentialsAreRightToAFewRoundings) {
  using T = TypeParam;
  for_each_instruction_set([] {
    std::vector<T> values;
    const double lowest = std::log(static_cast<double>(std::numeric_limits<T>::min()));
    for (double x = 0.0; x > lowest + 1.0; x -= 0.0371 * (1.0 - x / 50.0)) values.push_back(static_cast<T>(x));
    for (const T shift : {T(0), T(3), T(-2.5)}) {
      std::vector<T> in(values);
      for (T& value : in) value += shift;
      std::vector<T> out(in.size());
      kernels::exp_shifted<T>(in.data(), static_cast<Index>(in.size()), shift, out.data());
      for (std::size_t i = 0; i < in.size(); ++i) {
        const double expected = std::exp(static_cast<double>(in[i] - shift));
        if (expected < 4.0 * static_cast<double>(std::numeric_limits<T>::min())) continue;
        ASSERT_NEAR(out[i] / expected, 1.0, 4.0 * unit<T>) << "exp(" << in[i] - shift << ")";
      }
    }
  });
}

TYPED_TEST(Kernels, ExponentialsThatAreTooSmallBecomeZero) {
  using T = TypeParam;
  for_each_instruction_set([] {
    const T below = std::log(std::numeric_limits<T>::min()) - T(0.5);
    for (const T x : {below, below - T(5), T(-1e4), T(-1e30), -std::numeric_limits<T>::infinity()}) {
      const std::vector<T> in(19, x);
      std::vector<T> out(19, T(7));
      kernels::exp_shifted<T>(in.data(), 19, T(0), out.data());
      EXPECT_EQ(out, std::vector<T>(19, T(0))) << x;
    }
  });
}

TYPED_TEST(Kernels, MultiplyAddsOnRegistersReachTheirFixedPoint) {
  using T = TypeParam;
  for_each_instruction_set([] {
    // Each sum goes to s = s / (repeats + 2) + repeats.
    constexpr Index repeats = 100;
    const double fixed_point = repeats / (1.0 - 1.0 / (repeats + 2.0));
    const double chains = static_cast<double>(kernels::multiply_adds_of_one_repeat<T>());
    EXPECT_GE(chains, 6.0);
    EXPECT_NEAR(kernels::multiply_adds<T>(repeats), chains * fixed_point, 10.0 * unit<T> * chains * fixed_point);
  });
}

TYPED_TEST(Kernels, MatrixTimesVector) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(3);
    for (const Index depth : {1, 3, 8, 15, 16, 17, 64, 129}) {
      const Padded<T> matrix(gaussian<T>(9, depth, rng), 2);
      const Matrix<T> vector = gaussian<T>(1, depth, rng);
      std::vector<T> out(9);
      kernels::multiply_vector<T>(matrix.view(), vector.data(), T(0.5), out.data());
      for (Index t = 0; t < 9; ++t) {
        const double expected = 0.5 * matrix.view().row(t).template cast<double>().dot(vector.row(0).template cast<double>());
        EXPECT_NEAR(out[static_cast<std::size_t>(t)], expected, 60.0 * unit<T>);
      }
    }
  });
}

TYPED_TEST(Kernels, ExactAttentionWithEveryInstructionSet) {
  using T = TypeParam;
  for_each_instruction_set([] {
    for (const auto& [n, d, value_width] :
         std::vector<std::array<Index, 3>>{{1, 1, 1}, {77, 5, 3}, {300, 33, 17}, {520, 64, 64}}) {
      const HeadTensors<T> head = gaussian_head<T>(n, d, value_width, static_cast<std::uint64_t>(n));
      const reference::Softmax softmax = reference::softmax(reference::scores(head.view()));
      Matrix<T> output(n, value_width);
      std::vector<double> lse(static_cast<std::size_t>(n));
      exact_attention(head.view(), mutable_view(output), lse);
      const reference::Dense value = head.value.template cast<double>();
      EXPECT_LE(reference::max_error(output.template cast<double>(), softmax.probability * value),
                2.0 * score_tolerance(head.view()) * value.cwiseAbs().maxCoeff());
      Matrix<T> tile(n, n);
      probability_tile<T>(head.view(), lse, 0, 0, mutable_view(tile));
      EXPECT_LE(reference::max_error(tile.template cast<double>(), softmax.probability), 2.0 * score_tolerance(head.view()));
    }
  });
}

}  // namespace
}  // namespace convbasis
