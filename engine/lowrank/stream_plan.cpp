#include "lowrank/stream_plan.h"

#include <algorithm>

namespace convbasis {
namespace {

/// Columns that some row of [first, last) sees, and whole blocks that all of them see.
StreamStep block_of_rows(const IntervalMask& mask, Index first, Index last, Index block, bool through_sums) {
  const Index n = mask.size();
  StreamStep step{.hull = {n, 0}};
  Interval inner{0, n};
  for (Index i = first; i < last; ++i) {
    const Interval row = mask.row(i);
    inner = {std::max(inner.begin, row.begin), std::min(inner.end, row.end)};
    if (row.size() > 0) step.hull = {std::min(step.hull.begin, row.begin), std::max(step.hull.end, row.end)};
  }
  if (step.hull.size() <= 0) step.hull = {0, 0};
  // The last block may be cut short: it is whole all the same.
  const Interval whole{round_up(inner.begin, block) / block, inner.end == n ? round_up(n, block) / block : inner.end / block};
  if (through_sums && inner.size() > 0 && whole.size() > 0) step.common = whole;
  return step;
}

/// Where the stacks stand: the front has [begin, middle), the back [middle, end).
struct Stacks {
  Index begin = 0, middle = 0, end = 0;

  void advance(StreamStep& step) {
    const auto [first, last] = step.common;
    const bool backwards = first < begin || last < end;
    if (backwards || first >= end) {
      step.clear = true;
      begin = middle = end = first;
    } else if (first > middle) {
      step.clear = true;
      step.build_front = {first, last};
      middle = end = last;
    }
    step.add_back = {end, last};
    begin = first;
    end = last;
    step.back = end > middle;
  }
};

}  // namespace

StreamPlan::StreamPlan(const IntervalMask& mask, Index block_rows, bool through_sums) : rows(mask.size()), block(block_rows) {
  Stacks stacks;
  Index front_begin = 0;
  for (Index first = 0; first < rows; first += block) {
    StreamStep step = block_of_rows(mask, first, std::min(rows, first + block), block, through_sums);
    if (step.common.size() > 0) {
      stacks.advance(step);
      if (step.build_front.size() > 0) front_begin = step.build_front.begin;
      if (step.common.begin < stacks.middle) step.front = step.common.begin - front_begin;
      fronts = std::max(fronts, step.build_front.size());
    }
    steps.push_back(step);
  }
}

std::pair<Interval, Interval> StreamPlan::single_columns(Index b) const {
  const StreamStep& step = steps[static_cast<std::size_t>(b)];
  if (step.common.size() == 0) return {step.hull, {0, 0}};
  return {{step.hull.begin, step.common.begin * block}, {std::min(rows, step.common.end * block), step.hull.end}};
}

Operations StreamPlan::operations(Index features, Index degree, Index width, Index value_width) const {
  Operations total;
  const Index columns = value_width + 1;
  for (Index b = 0; b < blocks(); ++b) {
    const StreamStep& step = steps[static_cast<std::size_t>(b)];
    const Index here = rows_of(b).size();
    const auto [before, after] = single_columns(b);
    total.multiply_adds += here * (before.size() + after.size()) * (width + degree + columns);
    if (step.common.size() == 0) continue;
    // Features are made and multiplied: those of the rows, and those of the keys that enter a sum.
    Index vectors = here;
    for (const Interval& added : {step.build_front, step.add_back}) {
      vectors += std::min(rows, added.end * block) - std::min(rows, added.begin * block);
    }
    total.multiply_adds += vectors * features * (columns + 1);
    if (step.front >= 0 && step.back) total.additions += features * columns;
  }
  return total;
}

}  // namespace convbasis
