#include "basis/apply_layout.h"

#include "core/errors.h"

#include <algorithm>
#include <bit>
#include <string>

namespace convbasis {
namespace {

constexpr Index smallest_block = Index{1} << CostModel::smallest_log_block;
constexpr Index largest_block = Index{1} << CostModel::largest_log_block;

Index segment_end(std::span<const Index> starts, std::size_t r, Index size) {
  return r + 1 < starts.size() ? starts[r + 1] : size;
}

/// Bytes that the sums of one chunk of frequencies run over, when every segment goes through the FFT: the lag spectra, and
/// the spectra of some channels of all pieces.
double working_set(Index size, std::span<const Index> starts, Index block) {
  constexpr double chunk = 64.0;  // a cache line
  constexpr double channels = 4.0;
  const Index blocks = (size + block - 1) / block;
  double spectra = 0.0;
  for (const Index start : starts) spectra += static_cast<double>(blocks - start / block);
  return chunk * (spectra + channels * static_cast<double>(blocks + std::ssize(starts) - 1));
}

/// The costs of one block size.
class BlockCosts {
 public:
  BlockCosts(Index size, std::span<const Index> starts, Index columns, Index block, const CostModel& model)
      : size_(size),
        starts_(starts),
        columns_(static_cast<double>(columns)),
        block_(block),
        blocks_((size + block - 1) / block),
        direct_(model.direct),
        transform_(0.5 * static_cast<double>(block) * model.transform_of(block)),
        product_(static_cast<double>(block) * model.spectral_of(working_set(size, starts, block))) {}

  double by_fft(std::size_t r) const {
    const Index first = starts_[r] / block_;
    const Index last = (segment_end(starts_, r, size_) - 1) / block_;
    const double pieces = static_cast<double>(last - first + 1);
    const double below = static_cast<double>(blocks_) - 0.5 * static_cast<double>(first + last);  // mean output blocks of a piece
    // A lag block takes as long as there and back: its window is put together first, and its memory is new.
    return pieces * columns_ * (transform_ + below * product_) + static_cast<double>(blocks_ - first) * 2.0 * transform_;
  }
  double directly(std::size_t r) const {
    constexpr double tile = 128.0;  // rows on and above the diagonal that the direct product's tiles take along
    const Index start = starts_[r];
    const Index end = segment_end(starts_, r, size_);
    const double mean_rows = static_cast<double>(size_) - 0.5 * static_cast<double>(start + end) + tile;
    return static_cast<double>(end - start) * mean_rows * columns_ * direct_;
  }
  /// Of all segments, each the cheaper way.
  double total() const {
    double sum = 0.0;
    bool any_by_fft = false;
    for (std::size_t r = 0; r < starts_.size(); ++r) {
      const double fft = by_fft(r);
      const double direct = directly(r);
      sum += std::min(fft, direct);
      any_by_fft = any_by_fft || fft < direct;
    }
    return any_by_fft ? sum + static_cast<double>(blocks_) * columns_ * transform_ : sum;  // back from the frequency domain
  }

 private:
  Index size_;
  std::span<const Index> starts_;
  double columns_;
  Index block_, blocks_;
  double direct_, transform_, product_;  // product_: of one piece and column with one lag block
};

ApplyLayout layout_for(Index size, std::span<const Index> starts, Index columns, Index block, const CostModel& model) {
  const BlockCosts costs(size, starts, columns, block, model);
  ApplyLayout layout;
  layout.size = size;
  layout.block = block;
  layout.cost = costs.total();
  for (std::size_t r = 0; r < starts.size(); ++r) {
    if (costs.directly(r) <= costs.by_fft(r)) {
      layout.direct_segments.push_back(static_cast<Index>(r));
      continue;
    }
    const Index end = segment_end(starts, r, size);
    for (Index q = starts[r] / block; q <= (end - 1) / block; ++q) {
      layout.pieces.push_back({static_cast<Index>(r), q, std::max(starts[r], q * block), std::min(end, (q + 1) * block)});
    }
  }
  if (layout.pieces.empty()) layout.block = 0;
  return layout;
}

struct BestBlock {
  Index block;
  double cost;
};

BestBlock best_block(Index size, std::span<const Index> starts, Index columns, const CostModel& model) {
  BestBlock best{smallest_block, BlockCosts(size, starts, columns, smallest_block, model).total()};
  for (Index block = 2 * smallest_block; block <= largest_block && block < 2 * size; block *= 2) {
    const double cost = BlockCosts(size, starts, columns, block, model).total();
    if (cost < best.cost) best = {block, cost};
  }
  return best;
}

}  // namespace

ApplyLayout choose_layout(Index size, std::span<const Index> starts, Index columns, Index block, const CostModel& model) {
  if (block != 0 && (block < 2 || !std::has_single_bit(static_cast<std::size_t>(block)))) {
    throw InvalidArgument("block is " + std::to_string(block) + "; it must be 0 or a power of two of at least 2");
  }
  if (block == 0) block = best_block(size, starts, columns, model).block;
  return layout_for(size, starts, columns, block, model);
}

double layout_cost(Index size, std::span<const Index> starts, Index columns, const CostModel& model) {
  return best_block(size, starts, columns, model).cost;
}

}  // namespace convbasis
