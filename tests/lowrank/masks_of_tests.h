/// \file
/// Random masks of each kind.
#pragma once

#include "lowrank/masks.h"
#include "support/inputs.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace convbasis::testing_inputs {

/// Any intervals, some of them empty.
inline IntervalMask random_intervals(Index n, Rng& rng) {
  std::uniform_int_distribution<Index> end(0, n);
  std::vector<Interval> rows;
  for (Index i = 0; i < n; ++i) {
    const auto [low, high] = std::minmax({end(rng), end(rng)});
    rows.push_back({low, high});
  }
  return IntervalMask(std::move(rows));
}

/// Intervals of which neither end ever falls, some of them empty.
inline IntervalMask random_sliding(Index n, Rng& rng) {
  std::uniform_int_distribution<Index> end(0, n);
  std::vector<Index> begins, ends;
  for (Index i = 0; i < n; ++i) {
    begins.push_back(end(rng));
    ends.push_back(end(rng));
  }
  std::ranges::sort(begins);
  std::ranges::sort(ends);
  std::vector<Interval> rows;
  for (std::size_t i = 0; i < begins.size(); ++i) rows.push_back({begins[i], std::max(begins[i], ends[i])});
  return IntervalMask(std::move(rows));
}

/// Up to `most` columns that come or go, for each of n rows.
inline std::vector<std::vector<Index>> random_changes(Index n, Index most, Rng& rng) {
  std::uniform_int_distribution<Index> column(0, n - 1), count(0, most);
  std::vector<std::vector<Index>> rows(static_cast<std::size_t>(n));
  for (auto& row : rows) {
    for (Index x = count(rng); x > 0; --x) row.push_back(column(rng));
    std::ranges::sort(row);
    row.erase(std::unique(row.begin(), row.end()), row.end());
  }
  return rows;
}

/// Sets of members of [0, n), and for each of n lines which one it has.
inline std::pair<std::vector<std::vector<Index>>, std::vector<Index>> random_sets(Index n, Index count, Rng& rng) {
  std::uniform_int_distribution<Index> any(0, count - 1);
  std::bernoulli_distribution member(0.4);
  std::vector<std::vector<Index>> sets(static_cast<std::size_t>(count));
  for (auto& set : sets) {
    for (Index j = 0; j < n; ++j) {
      if (member(rng)) set.push_back(j);
    }
  }
  std::vector<Index> set_of;
  for (Index i = 0; i < n; ++i) set_of.push_back(any(rng));
  return {std::move(sets), std::move(set_of)};
}

}  // namespace convbasis::testing_inputs
