#include "basis/apply_layout.h"

#include "core/errors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

namespace convbasis {
namespace {

// Measured on a two-core AVX-512 machine in float32, one thread; only their ratios decide. A multiply-add of the direct product,
// one floating-point operation of an FFT, one complex multiply-add in the frequency domain; nanoseconds.
constexpr double direct_ns = 0.03;
constexpr double fft_ns = 0.05;
constexpr double spectral_ns = 0.12;

constexpr Index smallest_block = 32;
constexpr Index largest_block = Index{1} << 16;

/// Nominal cost of one real FFT of length 2 B.
double transform_ns(Index block) {
  const auto length = static_cast<double>(2 * block);
  return 2.5 * length * std::log2(length) * fft_ns;
}

Index segment_end(std::span<const Index> starts, std::size_t r, Index size) {
  return r + 1 < starts.size() ? starts[r + 1] : size;
}

ApplyLayout layout_for(Index size, std::span<const Index> starts, Index columns, Index block) {
  ApplyLayout layout;
  layout.size = size;
  layout.block = block;
  const auto d = static_cast<double>(columns);
  const Index blocks = layout.blocks();
  for (std::size_t r = 0; r < starts.size(); ++r) {
    const Index start = starts[r];
    const Index end = segment_end(starts, r, size);
    const Index first = start / block;
    const Index last = (end - 1) / block;
    const double pieces = static_cast<double>(last - first + 1);
    const double below = static_cast<double>(blocks) - 0.5 * static_cast<double>(first + last);  // mean output blocks of a piece
    const double by_fft = pieces * d * (transform_ns(block) + below * static_cast<double>(block) * spectral_ns) +
                          static_cast<double>(blocks - first) * transform_ns(block);
    const double mean_rows = static_cast<double>(size) - 0.5 * static_cast<double>(start + end);
    const double directly = static_cast<double>(end - start) * mean_rows * d * direct_ns;
    layout.cost += std::min(by_fft, directly);
    if (directly <= by_fft) {
      layout.direct_segments.push_back(static_cast<Index>(r));
      continue;
    }
    for (Index q = first; q <= last; ++q) {
      layout.pieces.push_back({static_cast<Index>(r), q, std::max(start, q * block), std::min(end, (q + 1) * block)});
    }
  }
  if (layout.pieces.empty()) {
    layout.block = 0;
  } else {
    layout.cost += static_cast<double>(blocks) * d * transform_ns(block);  // back from the frequency domain
  }
  return layout;
}

}  // namespace

ApplyLayout choose_layout(Index size, std::span<const Index> starts, Index columns, Index block) {
  if (block != 0) {
    if (block < 2 || !std::has_single_bit(static_cast<std::size_t>(block))) {
      throw InvalidArgument("block is " + std::to_string(block) + "; it must be 0 or a power of two of at least 2");
    }
    return layout_for(size, starts, columns, block);
  }
  ApplyLayout best = layout_for(size, starts, columns, smallest_block);
  for (Index candidate = 2 * smallest_block; candidate <= largest_block && candidate < 2 * size; candidate *= 2) {
    ApplyLayout layout = layout_for(size, starts, columns, candidate);
    if (layout.cost < best.cost) best = std::move(layout);
  }
  return best;
}

}  // namespace convbasis
