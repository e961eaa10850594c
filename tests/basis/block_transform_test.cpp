// One Toeplitz block: to the frequency domain, multiplied, and back, against the sum over lags.
#include "basis/block_transform.h"

#include "support/inputs.h"
#include "support/instruction_sets.h"
#include "support/reference.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class BlockTransformTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(BlockTransformTest, Precisions);

struct Shape {
  Index block, t;             ///< lag block t
  Index lag_count;            ///< lags beyond count as 0
  Index in_first, in_last;    ///< rows of the input within block 1
  Index out_first, out_last;  ///< rows of the output within block 1 + t
  Index first_column, columns;
};

template <Real T>
void expect_toeplitz(const Shape& shape, bool transpose, bool with_factor, Rng& rng) {
  SCOPED_TRACE(testing::Message() << "block " << shape.block << ", t " << shape.t << ", lags " << shape.lag_count << ", columns "
                                  << shape.columns << (transpose ? ", transposed" : ""));
  const Index b = shape.block;
  const Index n = (2 + shape.t) * b;
  const Index width = shape.first_column + shape.columns + 2;
  const Matrix<T> lag_row = gaussian<T>(1, shape.lag_count, rng);
  const std::vector<T> lags(lag_row.data(), lag_row.data() + lag_row.size());
  const Matrix<T> value = gaussian<T>(n, width, rng);
  const Padded<T> padded(value, 3);
  std::vector<T> factor(static_cast<std::size_t>(n));
  for (T& entry : factor) entry = with_factor ? static_cast<T>(1.0 + static_cast<double>(rng() % 8)) : T(1);
  const RowRange in{1, b + shape.in_first, b + shape.in_last};
  const RowRange out{1 + shape.t, (1 + shape.t) * b + shape.out_first, (1 + shape.t) * b + shape.out_last};

  const BlockTransform<T> transform(b);
  ASSERT_EQ(transform.block(), b);
  Scratch<std::complex<T>> scratch(transform.scratch_size(shape.columns));
  std::fill(scratch.data(), scratch.data() + scratch.size(), std::complex<T>(std::numeric_limits<T>::quiet_NaN(), 0));
  SpectrumBank<T> lag_bank(b, 2, 1);
  SpectrumBank<T> inputs(b, 2, shape.columns);
  SpectrumBank<T> sums(b, 1, shape.columns);
  transform.lag_spectrum(lags, shape.t, scratch.data(), lag_bank, 1);
  const RowRange& from = transpose ? out : in;
  const RowRange& to = transpose ? in : out;
  transform.forward(padded.view(), from, shape.first_column, shape.columns, scratch.data(), inputs, 1);
  const Index zero = 0;
  const SpectrumSum sum{1, &zero, 1, 1};
  accumulate_products<T>({&sum, 1}, shape.columns, transpose, lag_bank, inputs, sums);
  Padded<T> result(Matrix<T>::Constant(n, width, T(77)), 2);
  transform.inverse(sums, 0, to, shape.first_column, shape.columns, scratch.data(),
                    with_factor ? std::span<const T>(factor) : std::span<const T>(), result.mutable_view());

  reference::Dense expected = reference::Dense::Constant(n, width, 77.0);
  for (Index i = to.first; i < to.last; ++i) {
    for (Index c = shape.first_column; c < shape.first_column + shape.columns; ++c) {
      double entry = 0.0;
      for (Index j = from.first; j < from.last; ++j) {
        const Index lag = transpose ? j - i : i - j;
        if (lag < 0 || lag >= shape.lag_count) continue;
        entry += static_cast<double>(lags[static_cast<std::size_t>(lag)]) * static_cast<double>(value(j, c));
      }
      expected(i, c) = entry * static_cast<double>(factor[static_cast<std::size_t>(i)]);
    }
  }
  // B products of unit normals sum to about sqrt(B), at most five times that, times a factor of up to 8; an FFT's error is
  // eps log2 of its length of it.
  const double tolerance = 64.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::sqrt(static_cast<double>(b)) *
                           (1.0 + std::log2(static_cast<double>(b)));
  EXPECT_LE(reference::max_error(result.view().template cast<double>(), expected), tolerance);
  EXPECT_TRUE(result.gaps_untouched());
}

TYPED_TEST(BlockTransformTest, IsTheToeplitzBlock) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(1);
    for (const Index block : {2, 4, 8, 16, 64, 128, 256}) {
      for (const Index t : {0, 1, 2}) {
        // All lags; as many as a segment that ends in this block has; none of this block.
        for (const Index lag_count : {(t + 1) * block, t * block + 1, std::max<Index>(1, (t - 1) * block)}) {
          for (const bool transpose : {false, true}) {
            expect_toeplitz<T>({block, t, lag_count, 0, block, 0, block, 0, 1 + block % 7}, transpose, false, rng);
            expect_toeplitz<T>({block, t, lag_count, block / 2, block / 2 + 1, 0, block - 1, 1, 4}, transpose, true, rng);
          }
        }
      }
    }
  });
}

TYPED_TEST(BlockTransformTest, LagsBeyondTheEndOfTheWindowDoNotShow) {
  using T = TypeParam;
  Rng rng(2);
  for (const Index t : {0, 1}) expect_toeplitz<T>({32, t, 500, 0, 32, 0, 32, 0, 5}, false, false, rng);
}

RC_GTEST_PROP(BlockTransformProperty, AnyRangeOfRowsAndColumns, ()) {
  const Index block = Index{1} << *rc::gen::inRange(1, 9);
  const auto t = *rc::gen::inRange<Index>(0, 4);
  const auto lag_count = *rc::gen::inRange<Index>(1, (t + 2) * block + 3);
  const auto in_first = *rc::gen::inRange<Index>(0, block);
  const auto in_last = *rc::gen::inRange<Index>(in_first + 1, block + 1);
  const auto out_first = *rc::gen::inRange<Index>(0, block);
  const auto out_last = *rc::gen::inRange<Index>(out_first + 1, block + 1);
  const Shape shape{block,
                    t,
                    lag_count,
                    in_first,
                    in_last,
                    out_first,
                    out_last,
                    *rc::gen::inRange<Index>(0, 5),
                    *rc::gen::inRange<Index>(1, 13)};
  Rng rng(*rc::gen::inRange<std::uint64_t>(0, 1'000'000));
  const auto transpose = *rc::gen::arbitrary<bool>();
  expect_toeplitz<float>(shape, transpose, true, rng);
  expect_toeplitz<double>(shape, transpose, false, rng);
  RC_ASSERT(!testing::Test::HasFailure());
}

}  // namespace
}  // namespace convbasis
