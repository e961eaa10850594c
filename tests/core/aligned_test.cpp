#include "core/aligned.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <complex>
#include <cstdint>
#include <limits>
#include <new>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace convbasis {
namespace {

bool is_aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 64 == 0; }

template <class T>
class AlignedTest : public testing::Test {};
using Types = testing::Types<float, double, std::complex<float>, std::complex<double>, char>;
TYPED_TEST_SUITE(AlignedTest, Types);

TYPED_TEST(AlignedTest, ScratchOfAnySizeIsAlignedAndCanBeWrittenWhole) {
  using T = TypeParam;
  constexpr std::size_t huge_page = std::size_t{1} << 21;
  const std::size_t page = huge_page / sizeof(T);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{64}, std::size_t{1009}, page - 1,
                                 page, page + 1, 2 * page + 1}) {
    Scratch<T> scratch(size);
    ASSERT_EQ(scratch.size(), size);
    ASSERT_TRUE(is_aligned(scratch.data())) << size;
    std::fill(scratch.data(), scratch.data() + size, T(1));  // the address sanitizer sees a write past the end
    EXPECT_EQ(std::as_const(scratch).data(), scratch.data());
  }
}

TYPED_TEST(AlignedTest, VectorsAreAligned) {
  using T = TypeParam;
  for (const std::size_t size : {1U, 2U, 7U, 1000U, 5001U}) {
    AlignedVector<T> vector(size, T(2));
    ASSERT_TRUE(is_aligned(vector.data())) << size;
    vector.resize(3 * size);
    EXPECT_TRUE(is_aligned(vector.data())) << size;
    EXPECT_EQ(vector.front(), T(2));
    EXPECT_EQ(vector.back(), T());
    const AlignedVector<T> copy = vector;
    EXPECT_TRUE(is_aligned(copy.data()));
    EXPECT_EQ(copy, vector);
  }
}

TEST(Scratch, EmptyUntilAssignedAndMovable) {
  Scratch<double> empty;
  EXPECT_EQ(empty.size(), 0U);
  EXPECT_EQ(empty.data(), nullptr);
  Scratch<double> first(5);
  double* const where = first.data();
  where[4] = 7.0;
  Scratch<double> second(std::move(first));
  EXPECT_EQ(second.data(), where);
  EXPECT_EQ(second.size(), 5U);
  empty = std::move(second);
  EXPECT_EQ(empty.data(), where);
  EXPECT_EQ(empty.data()[4], 7.0);
  static_assert(!std::is_copy_constructible_v<Scratch<double>>);
}

TEST(Scratch, FreedBlocksServeTheNextWithoutBeingSharedByTwo) {
  constexpr std::size_t bytes = std::size_t{1} << 20;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int repeat = 0; repeat < 200; ++repeat) {
        const std::size_t size = bytes + 4096 * static_cast<std::size_t>(repeat % 3);
        Scratch<char> first(size);
        Scratch<char> second(size);
        for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
          first.data()[at] = static_cast<char>(t);
          second.data()[at] = static_cast<char>(t + 10);
        }
        ASSERT_TRUE(is_aligned(first.data()) && is_aligned(second.data()));
        for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
          ASSERT_EQ(first.data()[at], static_cast<char>(t));
          ASSERT_EQ(second.data()[at], static_cast<char>(t + 10));
        }
      }
    });
  }
}

TEST(Scratch, SizesThatNoMemoryHoldsAreBadAlloc) {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  EXPECT_THROW(allocate_scratch(most), std::bad_alloc);
  EXPECT_THROW(allocate_scratch(most - 63), std::bad_alloc);
  // In bytes these wrap around to a few.
  EXPECT_THROW(Scratch<double>{most / sizeof(double) + 2}, std::bad_alloc);
  EXPECT_THROW(Scratch<float>{most}, std::bad_alloc);
}

}  // namespace
}  // namespace convbasis
