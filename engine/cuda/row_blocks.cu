#include "cuda/row_blocks.h"

#include <algorithm>

namespace convbasis::cuda {

BlockSizes choose_blocks(const Workspace& workspace, std::int64_t n, const BlockNeeds& needs) {
  constexpr std::int64_t tile = 64;
  // A launch then has 256 blocks of threads, about as many as large GPUs run at once, and 2^28 pairs of a query and a key.
  constexpr std::int64_t most_rows = 16384;
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  const auto available = static_cast<std::int64_t>(free + workspace.memory.bytes());
  const std::int64_t budget = available - available / 5 - needs.fixed_bytes;  // some stays free: for plans, fragments, others
  std::int64_t rows = std::min(most_rows, (n + tile - 1) / tile * tile);
  for (;;) {
    const std::int64_t all = (n + rows - 1) / rows * needs.pairs_of_a_block + 1;
    const std::int64_t room = (budget - rows * needs.strip_bytes) / (rows * needs.pair_bytes);
    if (room >= needs.least || rows == tile) {
      return {rows, std::min(rows, n), std::clamp(room, needs.least, std::max(needs.least, all))};
    }
    rows = (rows / 2 + tile - 1) / tile * tile;
  }
}

}  // namespace convbasis::cuda
