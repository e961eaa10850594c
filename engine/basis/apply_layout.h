/// \file
/// How a partitioned convolution is cut: which segments go through the FFT, with which block, and which are so short that
/// multiplying them directly is cheaper. Internal to apply. Mathematics page, section 3.
#pragma once

#include "core/cost_model.h"
#include "core/types.h"

#include <span>
#include <vector>

namespace convbasis {

/// The columns of one segment inside one block: transformed on its own, with the other columns of the block zero.
struct Piece {
  Index segment;
  Index block;        ///< q: columns q B ... q B + B - 1
  Index first, last;  ///< columns [first, last)
};

struct ApplyLayout {
  Index size = 0;                      ///< n
  Index block = 0;                     ///< B, a power of two; 0 when no segment goes through the FFT
  std::vector<Piece> pieces;           ///< by block, then by column
  std::vector<Index> direct_segments;  ///< segments that are multiplied directly
  double cost = 0.0;                   ///< modelled time of plan and apply on one thread in float32, nanoseconds

  Index blocks() const { return block == 0 ? 0 : (size + block - 1) / block; }
};

/// The cheapest layout for segments that start at `starts` (starts[0] == 0), for `columns` columns of V. With `block` > 0 that
/// block is kept and only the choice between FFT and direct is made. Throws InvalidArgument unless `block` is 0 or a power of two
/// >= 2.
ApplyLayout choose_layout(Index size, std::span<const Index> starts, Index columns, Index block,
                          const CostModel& model = cost_model());

/// The cost of the cheapest layout alone, without making it.
double layout_cost(Index size, std::span<const Index> starts, Index columns, const CostModel& model = cost_model());

}  // namespace convbasis
