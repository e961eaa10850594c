#include "data/planted_values.h"

#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>

namespace convbasis {
namespace {

/// An odd number with no pattern in its bits (2^64 over the golden ratio): counters times it differ in most of their bits.
constexpr std::uint64_t golden = 0x9e3779b97f4a7c15U;

/// Every bit of the result depends on every bit of `x`; different numbers stay different (the finaliser of SplitMix64).
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

template <Real T>
void make_row(std::uint64_t counter, Index count, T* row) {
  for (Index y = 0; y < count; ++y) {
    counter += golden;
    const auto signed_bits = static_cast<std::int64_t>(mix(counter)) >> 11;  // 53 bits, evenly in [-2^52, 2^52)
    row[y] = static_cast<T>(static_cast<double>(signed_bits) * (std::numbers::sqrt3 * 0x1p-52));
  }
}

}  // namespace

template <Real T>
void make_values(std::uint64_t seed, Index row, Index column, MutableMatrixView<T> block, const RunContext& context) {
  constexpr Index limit = Index{1} << 32;
  if (row < 0 || column < 0 || block.rows() > limit - row || block.cols() > limit - column) {
    throw InvalidArgument(fmt::format("the block of values at row {}, column {} of size {} x {} must lie between 0 and 2^32", row,
                                      column, block.rows(), block.cols()));
  }
  // Counters key + golden (2^32 i + j + 1) are different for different entries, because golden is odd.
  const std::uint64_t key = mix(seed + golden);
  constexpr Index rows = 2048;  // of one item
  parallel_for(context, (block.rows() + rows - 1) / rows, [&](Index item, int) {
    for (Index x = item * rows; x < std::min(block.rows(), (item + 1) * rows); ++x) {
      const std::uint64_t position = (static_cast<std::uint64_t>(row + x) << 32U) + static_cast<std::uint64_t>(column);
      make_row(key + golden * position, block.cols(), block.data() + x * block.outerStride());
    }
  });
}

template void make_values(std::uint64_t, Index, Index, MutableMatrixView<float>, const RunContext&);
template void make_values(std::uint64_t, Index, Index, MutableMatrixView<double>, const RunContext&);

}  // namespace convbasis
