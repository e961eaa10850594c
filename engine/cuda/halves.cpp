#include "cuda/halves.h"

#include "core/threads.h"

#include <algorithm>
#include <atomic>
#include <bit>

namespace convbasis {
namespace {

/// Whether all `count` numbers are halves, whose bits then are in target. Without branches, so that compilers use vectors.
bool convert(const float* source, Index count, std::uint16_t* target) {
  constexpr std::uint32_t smallest_normal = 0x38800000U;  // 2^-14 as a float
  constexpr std::uint32_t largest = 0x477FE000U;          // 65504
  constexpr std::uint32_t rebias = 0x38000000U;           // the exponent's offset is 127 in a float, 15 in a half
  constexpr std::uint32_t lost_bits = 0x1FFFU;            // of 23 there are 10 left
  constexpr float steps = 16777216.0F;                    // below 2^-14 halves are multiples of 2^-24
  bool exact = true;
  for (Index i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(source[i]);
    const std::uint32_t size = bits & 0x7FFFFFFFU;
    const bool small = size < smallest_normal;
    const float scaled = small ? std::bit_cast<float>(size) * steps : 0.0F;
    const auto whole = static_cast<std::int32_t>(scaled);
    const bool small_exact = static_cast<float>(whole) == scaled;
    const bool normal_exact = (size & lost_bits) == 0 && size <= largest;
    exact = exact && (small ? small_exact : normal_exact);
    const std::uint32_t half = small ? static_cast<std::uint32_t>(whole) : (size - rebias) >> 13U;
    target[i] = static_cast<std::uint16_t>(half | (bits >> 16U & 0x8000U));
  }
  return exact;
}

}  // namespace

std::vector<std::uint16_t> exact_halves(MatrixView<float> matrix, const RunContext& context) {
  constexpr Index numbers_at_once = 1 << 16;
  const Index width = matrix.cols();
  const Index rows_at_once = std::max<Index>(1, numbers_at_once / std::max<Index>(1, width));
  std::vector<std::uint16_t> halves(static_cast<std::size_t>(matrix.size()));
  std::atomic<bool> exact = true;
  parallel_for(context, (matrix.rows() + rows_at_once - 1) / rows_at_once, [&](Index part, int) {
    const Index last = std::min(matrix.rows(), (part + 1) * rows_at_once);
    for (Index i = part * rows_at_once; i < last && exact; ++i) {
      if (!convert(matrix.data() + i * matrix.outerStride(), width, halves.data() + i * width)) exact = false;
    }
  });
  if (!exact) halves.clear();
  return halves;
}

}  // namespace convbasis
