#include "core/memory.h"

#include <gtest/gtest.h>

#include <vector>

namespace convbasis {
namespace {

TEST(Memory, PeakGrowsWithWhatIsTouched) {
  const auto before = peak_memory();
  if (!before) GTEST_SKIP() << "this system does not tell";
  EXPECT_GE(*before, 100'000U) << "no program with a test library is smaller";
  constexpr std::size_t size = 64 << 20;
  // Written, so that it must be in memory; volatile, so that the compiler cannot leave the writing out.
  std::vector<char> block(size + *before);
  for (std::size_t at = 0; at < block.size(); at += 1024) static_cast<volatile char&>(block[at]) = 1;
  EXPECT_GE(*peak_memory(), size + *before);
}

TEST(Memory, AvailableIsAPlausibleAmount) {
  const auto available = available_memory();
  if (!available) GTEST_SKIP() << "this system does not tell";
  EXPECT_GE(*available, std::uint64_t{10} << 20) << "the test itself could not run in less";
  EXPECT_LE(*available, std::uint64_t{1} << 50);
}

}  // namespace
}  // namespace convbasis
