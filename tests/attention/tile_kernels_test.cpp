// The inner loops of exact attention on their own, with every instruction set that this machine has.
#include "attention/tile_kernels.h"

#include "attention/kernels.h"
#include "core/aligned.h"
#include "support/inputs.h"
#include "support/instruction_sets.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class TileKernels : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(TileKernels, Precisions);

template <Real T>
constexpr double unit = static_cast<double>(std::numeric_limits<T>::epsilon());
template <Real T>
constexpr T infinity = std::numeric_limits<T>::infinity();

/// A group of queries, some keys and room for their weights, with NaN wherever a kernel has to write.
template <Real T>
struct Tile {
  Index width = kernels::group_width<T>();
  Index depth;
  Index keys;
  Index visible;
  Matrix<T> query;
  Padded<T> key;
  AlignedVector<T> packed;
  Matrix<T> weights;

  Tile(Index queries, Index query_width, Index key_count, Index first_visible, Rng& rng)
      : depth(query_width),
        keys(key_count),
        visible(first_visible),
        query(gaussian<T>(queries, depth, rng, 1.0 / std::sqrt(static_cast<double>(depth)))),
        key(gaussian<T>(keys, depth, rng), 3),
        packed(static_cast<std::size_t>(width * depth), std::numeric_limits<T>::quiet_NaN()),
        weights(Matrix<T>::Constant(keys, width, std::numeric_limits<T>::quiet_NaN())) {
    kernels::pack_group<T>(view(query), T(2), packed.data());
  }
  kernels::ScoreTile<T> view_of() {
    return {.query = packed.data(),
            .depth = depth,
            .key = key.view().data(),
            .key_stride = key.view().outerStride(),
            .keys = keys,
            .visible = visible,
            .weights = weights.data()};
  }
  bool sees(Index x, Index t) const { return t <= visible + x; }
  double score(Index x, Index t) const {
    if (x >= query.rows()) return 0.0;
    return 2.0 * query.row(x).template cast<double>().dot(key.view().row(t).template cast<double>());
  }
};

/// Every shape of tile that exact attention makes and a few more: whole and broken register blocks of keys, masked and not.
template <Real T, class Body>
void for_each_tile(Body&& body) {
  Rng rng(5);
  const Index width = kernels::group_width<T>();
  for (const Index depth : {1, 2, 7, 64}) {
    for (const Index keys : {1, 3, 4, 7, 8, 9, 24, 50}) {
      for (const Index visible : {keys + 1, keys - 1, keys / 2, Index{0}, Index{-1}, 2 - width}) {
        for (const Index queries : {Index{1}, width - 1, width}) {
          Tile<T> tile(queries, depth, keys, visible, rng);
          SCOPED_TRACE(std::to_string(queries) + " queries, depth " + std::to_string(depth) + ", " + std::to_string(keys) +
                       " keys, visible " + std::to_string(visible));
          body(tile, rng);
        }
      }
    }
  }
}

TYPED_TEST(TileKernels, GroupsArePackedTransposedAndScaled) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(1);
    const Index width = kernels::group_width<T>();
    for (const Index queries : {Index{1}, width - 1, width}) {
      for (const Index depth : {1, 5, 64}) {
        const Padded<T> query(whole_numbers<T>(queries, depth, rng, 9), 2);
        std::vector<T> packed(static_cast<std::size_t>(width * depth), std::numeric_limits<T>::quiet_NaN());
        kernels::pack_group<T>(query.view(), T(-3), packed.data());
        for (Index c = 0; c < depth; ++c) {
          for (Index x = 0; x < width; ++x) {
            EXPECT_EQ(packed[static_cast<std::size_t>(c * width + x)], x < queries ? T(-3) * query.view()(x, c) : T(0));
          }
        }
      }
    }
  });
}

TYPED_TEST(TileKernels, RowLengths) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(2);
    for (const Index width : {1, 2, 7, 8, 9, 64, 65}) {
      const Padded<T> matrix(gaussian<T>(5, width, rng), 1);
      std::vector<T> lengths(5);
      kernels::row_lengths<T>(matrix.view(), lengths.data());
      for (Index i = 0; i < 5; ++i) {
        const double expected = matrix.view().row(i).template cast<double>().norm();
        // Sums of positive terms: half a rounding each at most, halved again by the root.
        EXPECT_NEAR(lengths[static_cast<std::size_t>(i)], expected,
                    unit<T> * (2.0 + 0.25 * static_cast<double>(width)) * expected);
      }
    }
    const Matrix<T> huge = Matrix<T>::Constant(1, 3, std::numeric_limits<T>::max() / 2);
    T length = 0;
    kernels::row_lengths<T>(view(huge), &length);
    EXPECT_EQ(length, infinity<T>);
  });
}

TYPED_TEST(TileKernels, WeightsArePowersOfTheScoresAndTheirSums) {
  using T = TypeParam;
  for_each_instruction_set([] {
    for_each_tile<T>([](Tile<T>& tile, Rng& rng) {
      const Matrix<T> shift = gaussian<T>(1, tile.width, rng);
      const Matrix<T> before = gaussian<T>(1, tile.width, rng);
      Matrix<T> sums = before;
      kernels::weigh<T>(tile.view_of(), shift.data(), sums.data());
      for (Index x = 0; x < tile.width; ++x) {
        double expected_sum = static_cast<double>(before(0, x));
        double size = std::abs(expected_sum);
        for (Index t = 0; t < tile.keys; ++t) {
          const double expected = tile.sees(x, t) ? std::exp2(tile.score(x, t) - static_cast<double>(shift(0, x))) : 0.0;
          // Scores of up to about 10 with a rounding for each of up to 64 terms, in random directions; then the power.
          ASSERT_NEAR(tile.weights(t, x), expected, 40.0 * unit<T> * expected) << "query " << x << ", key " << t;
          expected_sum += expected;
          size += expected;
        }
        EXPECT_NEAR(sums(0, x), expected_sum, 100.0 * unit<T> * size) << "query " << x;
      }
    });
  });
}

TYPED_TEST(TileKernels, ScoresAndTheirMaximaThenPowersBitForBit) {
  using T = TypeParam;
  for_each_instruction_set([] {
    for_each_tile<T>([](Tile<T>& tile, Rng& rng) {
      Matrix<T> maximum = Matrix<T>::Constant(1, tile.width, -infinity<T>);
      maximum(0, 0) = T(1000);  // a maximum of before is kept
      kernels::score<T>(tile.view_of(), maximum.data());
      for (Index x = 0; x < tile.width; ++x) {
        T expected_maximum = x == 0 ? T(1000) : -infinity<T>;
        for (Index t = 0; t < tile.keys; ++t) {
          if (tile.sees(x, t)) {
            ASSERT_NEAR(tile.weights(t, x), tile.score(x, t), 40.0 * unit<T>) << "query " << x << ", key " << t;
          } else {
            ASSERT_EQ(tile.weights(t, x), -infinity<T>) << "query " << x << ", key " << t;
          }
          expected_maximum = std::max(expected_maximum, tile.weights(t, x));
        }
        EXPECT_EQ(maximum(0, x), expected_maximum);
      }
      const Matrix<T> shift = gaussian<T>(1, tile.width, rng);
      Matrix<T> sums = Matrix<T>::Zero(1, tile.width);
      kernels::exponentiate<T>(tile.keys, tile.weights.data(), shift.data(), sums.data());
      const Matrix<T> in_two_steps = tile.weights;
      const Matrix<T> sums_in_two_steps = sums;
      sums.setZero();
      kernels::weigh<T>(tile.view_of(), shift.data(), sums.data());
      EXPECT_EQ(tile.weights, in_two_steps);
      EXPECT_EQ(sums, sums_in_two_steps);
    });
  });
}

TYPED_TEST(TileKernels, WeightsThatAreNotSeenAreZeroWhateverTheirScore) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(6);
    Tile<T> tile(kernels::group_width<T>(), 4, 8, 1 - kernels::group_width<T>(), rng);
    for (const T score : {std::numeric_limits<T>::max(), infinity<T>, std::numeric_limits<T>::quiet_NaN()}) {
      tile.key.mutable_view().setConstant(score);
      Matrix<T> sums = Matrix<T>::Zero(1, tile.width);
      kernels::weigh<T>(tile.view_of(), Matrix<T>(Matrix<T>::Zero(1, tile.width)).data(), sums.data());
      for (Index t = 0; t < tile.keys; ++t) {
        for (Index x = 0; x < tile.width; ++x) {
          if (!tile.sees(x, t)) {
            EXPECT_EQ(tile.weights(t, x), T(0));
          }
        }
      }
      EXPECT_EQ(sums.leftCols(tile.width - 1), (Matrix<T>::Zero(1, tile.width - 1)));
    }
  });
}

TYPED_TEST(TileKernels, PowersOfTwoAreRightToTwoRoundings) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(3);
    const Index width = kernels::group_width<T>();
    const double smallest = static_cast<double>(std::numeric_limits<T>::min());
    const double lowest = std::log2(smallest);
    std::uniform_real_distribution<double> anywhere(lowest - 3.0, 60.0);
    std::vector<T> scores(static_cast<std::size_t>(1000 * width));
    for (T& score : scores) score = static_cast<T>(anywhere(rng));
    scores[0] = T(0);
    scores[1] = T(0.5);
    scores[2] = T(-0.5);
    std::vector<T> powers = scores;
    const std::vector<T> shift(static_cast<std::size_t>(width), T(0));
    std::vector<T> sums = shift;
    kernels::exponentiate<T>(1000, powers.data(), shift.data(), sums.data());
    EXPECT_EQ(powers[0], T(1));
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const double expected = std::exp2(static_cast<double>(scores[i]));
      const double tolerance = static_cast<double>(scores[i]) >= lowest ? 2.0 * unit<T> * expected : smallest;
      ASSERT_NEAR(powers[i], expected, tolerance) << "2^" << scores[i];
      if (static_cast<double>(scores[i]) <= lowest - 1.0) {
        ASSERT_EQ(powers[i], T(0)) << "2^" << scores[i];
      }
    }
  });
}

TYPED_TEST(TileKernels, PowersOfVeryLowScoresAreExactlyZero) {
  using T = TypeParam;
  for_each_instruction_set([] {
    const Index width = kernels::group_width<T>();
    for (const T score : {T(-1100), T(-1e6), std::numeric_limits<T>::lowest(), -infinity<T>}) {
      std::vector<T> weights(static_cast<std::size_t>(width), score);
      const std::vector<T> zeros(static_cast<std::size_t>(width), T(0));
      std::vector<T> sums = zeros;
      kernels::exponentiate<T>(1, weights.data(), zeros.data(), sums.data());
      EXPECT_EQ(weights, zeros);
      EXPECT_EQ(sums, zeros);
    }
  });
}

TYPED_TEST(TileKernels, WeightsTimesValues) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(4);
    const Index width = kernels::group_width<T>();
    const Index panel = kernels::panel_width<T>();
    for (const Index block : {1, 5, 40}) {
      for (const Index keys : {Index{1}, block / 2, block}) {
        if (keys < 1) continue;
        for (const Index columns : {Index{1}, panel, 2 * panel + 1}) {
          for (const Index visible : {keys, Index{0}, Index{-3}}) {
            Matrix<T> weights = gaussian<T>(keys, width, rng);
            for (Index t = 0; t < keys; ++t) {
              for (Index x = 0; x < width; ++x) {
                if (t > visible + x) weights(t, x) = T(0);
              }
            }
            const Padded<T> values(gaussian<T>(block, columns, rng), 1);
            const Index panels = (columns + panel - 1) / panel;
            AlignedVector<T> packed(static_cast<std::size_t>(panels * panel * block));
            kernels::pack_columns<T>(values.view(), packed.data());
            const Matrix<T> before = gaussian<T>(width, panels * panel, rng);
            Matrix<T> target = before;
            kernels::add_values<T>({.weights = weights.data(),
                                    .keys = keys,
                                    .visible = visible,
                                    .values = packed.data(),
                                    .panels = panels,
                                    .panel_stride = block * panel,
                                    .target = target.data(),
                                    .target_stride = panels * panel});
            const reference::Dense expected =
                before.leftCols(columns).template cast<double>() +
                weights.template cast<double>().transpose() * values.view().topRows(keys).template cast<double>();
            // Sums of up to 40 products of unit normals: partial sums of up to 20, 40 roundings in random directions.
            EXPECT_LE(reference::max_error(target.leftCols(columns).template cast<double>(), expected), 100.0 * unit<T>);
            EXPECT_EQ((Matrix<T>(target.rightCols(panels * panel - columns))),
                      (Matrix<T>(before.rightCols(panels * panel - columns))))
                << "padding";
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace convbasis
