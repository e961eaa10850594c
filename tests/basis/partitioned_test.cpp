// The two halves of the product on their own: layouts made by hand send every segment through the FFT, or none, whatever the
// cost model would choose.
#include "basis/partitioned.h"

#include "basis/apply_layout.h"
#include "basis/direct_product.h"
#include "support/inputs.h"
#include "support/instruction_sets.h"
#include "support/reference.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stop_token>
#include <thread>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class Partitioned : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Partitioned, Precisions);

/// Segments whose number is in `by_fft` are cut into pieces; the others are direct.
template <Real T, class Choose>
ApplyLayout layout_of(const ConvBasis<T>& weights, Index block, Choose by_fft) {
  ApplyLayout layout;
  layout.size = weights.size();
  layout.block = block;
  for (Index r = 0; r < weights.count(); ++r) {
    if (!by_fft(r)) {
      layout.direct_segments.push_back(r);
      continue;
    }
    for (Index q = weights.start(r) / block; q * block < weights.end(r); ++q) {
      layout.pieces.push_back({r, q, std::max(weights.start(r), q * block), std::min(weights.end(r), (q + 1) * block)});
    }
  }
  return layout;
}

/// W value and W^T value for weights in [0, 1], in the layout, each against the dense product.
template <Real T>
void expect_products(const ConvBasis<T>& weights, const ApplyLayout& layout, const Matrix<T>& value) {
  const Index n = weights.size();
  Matrix<T> all(n, n);
  weights.tile(0, 0, mutable_view(all));
  const reference::Dense dense = all.template cast<double>();
  const reference::Dense expected = dense * value.template cast<double>();
  const reference::Dense transposed = dense.transpose() * value.template cast<double>();
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Matrix<T> product = Matrix<T>::Constant(n, value.cols(), nan);
  Matrix<T> adjoint = Matrix<T>::Constant(n, value.cols(), nan);
  if (layout.pieces.empty()) {
    product.setZero();
    adjoint.setZero();
  } else {
    const PartitionedProduct<T> partitioned(weights, layout, {});
    partitioned.apply(view(value), {}, mutable_view(product), {.threads = 2});
    partitioned.apply_transpose(view(value), mutable_view(adjoint), {.threads = 2});
  }
  const DirectProduct<T> direct(weights, layout.direct_segments);
  direct.add(weights, view(value), {}, mutable_view(product), {});
  direct.apply_transpose(weights, view(value), mutable_view(adjoint), {});
  // Weights up to 1 and values up to 4: a sum of n of them in random order keeps its roundings near eps sqrt(n) each.
  const double tolerance =
      16.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * (4.0 + std::sqrt(static_cast<double>(n)));
  EXPECT_LE(reference::max_error(product.template cast<double>(), expected), tolerance)
      << "n " << n << ", block " << layout.block;
  EXPECT_LE(reference::max_error(adjoint.template cast<double>(), transposed), tolerance)
      << "n " << n << ", block " << layout.block;
}

template <Real T>
ConvBasis<T> random_weights(Index n, std::vector<Index> starts, Rng& rng) {
  return basis_with<T>(n, std::move(starts), rng, std::uniform_real_distribution<double>(0.0, 1.0));
}

TYPED_TEST(Partitioned, EverySegmentThroughTheFft) {
  using T = TypeParam;
  Rng rng(1);
  for (const Index n : {1, 2, 3, 5, 16, 17, 63, 64, 65, 100, 255, 256, 257}) {
    for (const Index k : {1, 2, 3, 16, 250}) {
      if (k > n) continue;
      const ConvBasis<T> weights = random_weights<T>(n, random_starts(n, k, rng), rng);
      const Matrix<T> value = gaussian<T>(n, 5, rng);
      for (const Index block : {2, 4, 16, 64, 256, 1024}) {
        expect_products(weights, layout_of(weights, block, [](Index) { return true; }), value);
      }
    }
  }
}

TYPED_TEST(Partitioned, StartsInsideAtAndAroundBlockEdges) {
  using T = TypeParam;
  Rng rng(2);
  for (const auto& starts : std::vector<std::vector<Index>>{
           {0, 1, 2, 3}, {0, 15, 16, 17}, {0, 16, 32, 48, 64}, {0, 3, 4, 9, 10, 11, 12, 40}, {0, 31, 63}, {0, 62, 63}, {0, 69}}) {
    const ConvBasis<T> weights = random_weights<T>(70, starts, rng);
    for (const Index block : {8, 16, 32}) {
      expect_products(weights, layout_of(weights, block, [](Index) { return true; }), gaussian<T>(70, 3, rng));
      expect_products(weights, layout_of(weights, block, [](Index r) { return r % 2 == 0; }), gaussian<T>(70, 3, rng));
      expect_products(weights, layout_of(weights, block, [](Index r) { return r % 2 == 1; }), gaussian<T>(70, 3, rng));
    }
  }
}

TYPED_TEST(Partitioned, EverySegmentDirectly) {
  using T = TypeParam;
  Rng rng(3);
  for (const Index n : {1, 2, 63, 64, 65, 256, 257, 600}) {
    for (const Index k : {1, 2, 30}) {
      if (k > n) continue;
      const ConvBasis<T> weights = random_weights<T>(n, random_starts(n, k, rng), rng);
      expect_products(weights, layout_of(weights, 0, [](Index) { return false; }), gaussian<T>(n, 9, rng));
    }
  }
}

TYPED_TEST(Partitioned, ValueWidths) {
  using T = TypeParam;
  Rng rng(4);
  const ConvBasis<T> weights = random_weights<T>(90, {0, 20, 21, 50}, rng);
  for (const Index columns : {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 65}) {
    expect_products(weights, layout_of(weights, 16, [](Index r) { return r != 1; }), gaussian<T>(90, columns, rng));
  }
}

TYPED_TEST(Partitioned, EveryInstructionSet) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(6);
    const ConvBasis<T> weights = random_weights<T>(300, {0, 20, 21, 50, 130, 260}, rng);
    for (const Index block : {4, 16, 64}) {
      expect_products(weights, layout_of(weights, block, [](Index r) { return r % 3 != 1; }), gaussian<T>(300, 9, rng));
    }
  });
}

TYPED_TEST(Partitioned, OneProductServesCallsOfAnyWidthAndDirectionAtOnce) {
  using T = TypeParam;
  Rng rng(7);
  const ConvBasis<T> weights = random_weights<T>(700, {0, 90, 91, 333, 650}, rng);
  const PartitionedProduct<T> product(weights, layout_of(weights, 64, [](Index) { return true; }), {});
  std::vector<T> factor(700);
  for (T& entry : factor) entry = static_cast<T>(rng() % 4);
  struct Call {
    Matrix<T> value, expected, output;
    bool transpose;
  };
  std::vector<Call> calls;
  const auto make = [&](Call& call, Matrix<T>& output, int threads) {
    if (call.transpose) {
      product.apply_transpose(view(call.value), mutable_view(output), {.threads = threads});
    } else {
      product.apply(view(call.value), factor, mutable_view(output), {.threads = threads});
    }
  };
  for (const Index columns : {1, 3, 4, 5, 8, 9, 17, 33}) {
    for (const bool transpose : {false, true}) {
      const Matrix<T> value = gaussian<T>(700, columns, rng);
      calls.push_back({value, value, Matrix<T>::Constant(700, columns, std::numeric_limits<T>::quiet_NaN()), transpose});
      make(calls.back(), calls.back().expected, 1);  // one after the other, in scratch that the one before has left
    }
  }
  Matrix<T> all(700, 700);
  weights.tile(0, 0, mutable_view(all));
  for (const Call& call : calls) {
    const reference::Dense dense = all.template cast<double>();
    const Eigen::Map<const RowVector<T>> factors(factor.data(), 700);
    const reference::Dense expected =
        call.transpose
            ? reference::Dense(dense.transpose() * call.value.template cast<double>())
            : reference::Dense(factors.template cast<double>().asDiagonal() * dense * call.value.template cast<double>());
    // As in expect_products, with factors of up to 3.
    EXPECT_LE(reference::max_error(call.expected.template cast<double>(), expected),
              48.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * (4.0 + std::sqrt(700.0)));
  }
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < calls.size(); ++t) {
      threads.emplace_back([&, t] {
        for (int repeat = 0; repeat < 3; ++repeat) make(calls[t], calls[t].output, 1 + static_cast<int>(t % 3));
      });
    }
  }
  for (const Call& call : calls) EXPECT_EQ(call.output, call.expected) << call.value.cols() << " columns";
}

TYPED_TEST(Partitioned, StridedViewsAndScratchOfACancelledCall) {
  using T = TypeParam;
  Rng rng(8);
  const ConvBasis<T> weights = random_weights<T>(300, {0, 77}, rng);
  const PartitionedProduct<T> product(weights, layout_of(weights, 32, [](Index) { return true; }), {});
  const Matrix<T> value = gaussian<T>(300, 11, rng);
  Matrix<T> expected(300, 11);
  product.apply(view(value), {}, mutable_view(expected), {.threads = 1});
  const Padded<T> padded(value, 5);
  Padded<T> output(Matrix<T>::Zero(300, 11), 3);
  std::stop_source source;
  source.request_stop();
  EXPECT_THROW(product.apply(padded.view(), {}, output.mutable_view(), {.threads = 2, .stop = source.get_token()}), Cancelled);
  product.apply(padded.view(), {}, output.mutable_view(), {.threads = 2});
  EXPECT_EQ(Matrix<T>(output.view()), expected);
  EXPECT_TRUE(output.gaps_untouched());
}

/// The rounding error found in each block, as a multiple of what was estimated.
template <Real T>
double worst_underestimate(const ConvBasis<T>& weights, Index block, const Matrix<T>& value) {
  const Index n = weights.size();
  const PartitionedProduct<T> product(weights, layout_of(weights, block, [](Index) { return true; }), {});
  Matrix<T> output(n, value.cols());
  product.apply(view(value), {}, mutable_view(output), {});
  const std::vector<double> estimate = product.error_estimate(view(value), {});
  Matrix<T> all(n, n);
  weights.tile(0, 0, mutable_view(all));
  const reference::Dense error = output.template cast<double>() - all.template cast<double>() * value.template cast<double>();
  double worst = 0.0;
  for (Index q = 0; q * block < n; ++q) {
    const auto rows = error.middleRows(q * block, std::min(block, n - q * block));
    const double found = std::sqrt(rows.squaredNorm() / static_cast<double>(rows.size()));
    const double ratio = found / estimate[static_cast<std::size_t>(q)];
    if (!(ratio <= worst)) worst = ratio;
  }
  return worst;
}

TEST(PartitionedEstimate, IsTheSizeOfTheErrorForRandomValues) {
  // In float only: for double the reference, in double too, is no better than the product.
  Rng rng(9);
  for (const Index block : {64, 256}) {
    for (const double range : {0.1, 3.0, 12.0}) {
      const ConvBasis<float> weights = basis_with<float>(800, random_starts(800, 4, rng), rng, [&](Rng& from) {
        return std::exp(-std::uniform_real_distribution<double>(0.0, range)(from));
      });
      for (const double mean : {0.0, 3.0}) {
        Matrix<float> value = gaussian<float>(800, 16, rng);
        value.array() += static_cast<float>(mean);
        // Over some hundred other cases the ratio was at most 1.6 for V without structure.
        EXPECT_LE(worst_underestimate(weights, block, value), 3.0)
            << "block " << block << ", range " << range << ", mean " << mean;
        value *= 1e-25F;  // whose squares vanish in float
        EXPECT_LE(worst_underestimate(weights, block, value), 3.0) << "block " << block << ", range " << range << ", tiny";
      }
    }
  }
}

RC_GTEST_PROP(PartitionedProperty, AnySplitOfTheSegmentsGivesTheProduct, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 150);
  const auto k = *rc::gen::inRange<Index>(1, n + 1);
  const Index block = Index{1} << *rc::gen::inRange(1, 9);
  Rng rng(*rc::gen::inRange<std::uint64_t>(0, 1'000'000));
  const ConvBasis<double> weights = random_weights<double>(n, random_starts(n, k, rng), rng);
  expect_products(weights, layout_of(weights, block, [&](Index) { return rng() % 3 != 0; }), gaussian<double>(n, 3, rng));
  RC_ASSERT(!testing::Test::HasFailure());
}

/// Every column of every segment is either direct or in exactly one piece, in the piece's block, in the promised order.
void expect_complete(const ApplyLayout& layout, Index n, const std::vector<Index>& starts) {
  std::vector<int> covered(static_cast<std::size_t>(n), 0);
  const auto end = [&](Index r) { return r + 1 < std::ssize(starts) ? starts[static_cast<std::size_t>(r + 1)] : n; };
  for (const Index r : layout.direct_segments) {
    for (Index j = starts[static_cast<std::size_t>(r)]; j < end(r); ++j) ++covered[static_cast<std::size_t>(j)];
  }
  const Piece* before = nullptr;
  for (const Piece& piece : layout.pieces) {
    EXPECT_LT(piece.first, piece.last);
    EXPECT_GE(piece.first, starts[static_cast<std::size_t>(piece.segment)]);
    EXPECT_LE(piece.last, end(piece.segment));
    EXPECT_EQ(piece.first / layout.block, piece.block);
    EXPECT_EQ((piece.last - 1) / layout.block, piece.block);
    if (before != nullptr) {
      EXPECT_GE(piece.first, before->last);
    }
    for (Index j = piece.first; j < piece.last; ++j) ++covered[static_cast<std::size_t>(j)];
    before = &piece;
  }
  EXPECT_EQ(covered, std::vector<int>(static_cast<std::size_t>(n), 1));
}

TEST(ApplyLayout, CoversEveryColumnOnce) {
  Rng rng(5);
  for (const Index n : {1, 2, 100, 1000, 5000}) {
    for (const Index k : {1, 2, 16, 100, 1000}) {
      if (k > n) continue;
      const std::vector<Index> starts = random_starts(n, k, rng);
      for (const Index block : {0, 2, 16, 256, 4096}) {
        for (const Index columns : {1, 64}) {
          const ApplyLayout layout = choose_layout(n, starts, columns, block);
          expect_complete(layout, n, starts);
          if (block != 0 && !layout.pieces.empty()) {
            EXPECT_EQ(layout.block, block);
          }
          if (layout.pieces.empty()) {
            EXPECT_EQ(layout.block, 0);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace convbasis
