/// \file
/// How continuous rows are streamed: which blocks of keys a block of rows has in common, and which running sums give them.
/// Internal to the engine; no tensors here.
#pragma once

#include "lowrank/masks.h"
#include "lowrank/operations.h"

#include <vector>

namespace convbasis {

/// What a block of rows needs of the running sums, after those before it. Intervals count blocks of keys.
struct StreamStep {
  Interval hull = {0, 0};         ///< of the columns (not blocks) that its rows see
  Interval common = {0, 0};       ///< whole blocks that all of its rows see, by the running sums
  bool clear = false;             ///< the back sum starts from zero
  Interval build_front = {0, 0};  ///< for each of these blocks, anew: the sum from it to the end of the interval
  Interval add_back = {0, 0};     ///< blocks added to the back sum
  Index front = -1;               ///< the place among the front sums that `common` begins with; -1: the back sum alone
  bool back = false;              ///< whether the back sum is part of `common`
};

/// Two stacks of sums make a window that slides without subtraction: the front holds, for each block up to some middle, the sum
/// from it to the middle; the back holds the sum from the middle on. When the window leaves the middle behind, all that it still
/// holds becomes the new front. Blocks are added at most twice each. Rows that do not slide start again from zero.
struct StreamPlan {
  Index rows = 0;   ///< n
  Index block = 0;  ///< rows, and keys, of one block
  std::vector<StreamStep> steps;
  Index fronts = 0;  ///< most front sums at one time

  /// `through_sums` false: no block is common, all is done from scores.
  StreamPlan(const IntervalMask& mask, Index block_rows, bool through_sums);

  Index blocks() const { return static_cast<Index>(steps.size()); }
  /// First and last + 1 row of a block.
  Interval rows_of(Index b) const { return {b * block, std::min(rows, (b + 1) * block)}; }
  /// The columns of a block of rows that are taken one by one: before and after its common blocks.
  std::pair<Interval, Interval> single_columns(Index b) const;
  /// With r features of vectors of `width` numbers and values of `value_width`, a column of ones among them.
  Operations operations(Index features, Index degree, Index width, Index value_width) const;
};

}  // namespace convbasis
