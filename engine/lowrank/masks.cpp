#include "lowrank/masks.h"

#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>

namespace convbasis {
namespace {

void require_size(Index n) {
  if (n < 0) throw InvalidArgument(fmt::format("a mask of {} rows; it cannot have fewer than none", n));
}

/// Throws unless `members` is strictly ascending and in [0, n).
void require_set(const std::vector<Index>& members, Index n, const char* what, Index place) {
  const bool ascending = std::ranges::adjacent_find(members, std::ranges::greater_equal()) == members.end();
  if (!ascending || (!members.empty() && (members.front() < 0 || members.back() >= n))) {
    throw InvalidArgument(fmt::format("{} {} of the mask must be ascending, without repeats and in [0, {})", what, place, n));
  }
}

}  // namespace

IntervalMask::IntervalMask(std::vector<Interval> rows) : rows_(std::move(rows)) {
  const Index n = size();
  for (Index i = 0; i < n; ++i) {
    const auto [begin, end] = row(i);
    if (begin < 0 || end < begin || end > n) {
      throw InvalidArgument(
          fmt::format("row {} of the mask is [{}, {}); it must be an interval within [0, {})", i, begin, end, n));
    }
  }
}

IntervalMask IntervalMask::causal(Index n) { return sliding_window(n, std::max<Index>(n, 1)); }

IntervalMask IntervalMask::sliding_window(Index n, Index window) {
  require_size(n);
  if (window < 1) throw InvalidArgument(fmt::format("a window of {} columns; it must have at least 1", window));
  std::vector<Interval> rows(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) rows[static_cast<std::size_t>(i)] = {i >= window ? i - window + 1 : 0, i + 1};
  return IntervalMask(std::move(rows));
}

IntervalMask IntervalMask::shifted_groups(Index n, Index group, Index shift) {
  require_size(n);
  if (group < 1 || shift < 0 || shift >= group) {
    throw InvalidArgument(
        fmt::format("groups of {} tokens shifted by {}; the size must be at least 1 and the shift below it", group, shift));
  }
  std::vector<Interval> rows(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) rows[static_cast<std::size_t>(i)] = {i < shift ? 0 : i - (i - shift) % group, i + 1};
  return IntervalMask(std::move(rows));
}

bool IntervalMask::is_sliding() const {
  for (Index i = 1; i < size(); ++i) {
    if (row(i).begin < row(i - 1).begin || row(i).end < row(i - 1).end) return false;
  }
  return true;
}

Index IntervalMask::changes() const {
  Index count = 0;
  Interval before{0, 0};
  for (const Interval& here : rows_) {
    const Index both = std::max<Index>(0, std::min(here.end, before.end) - std::max(here.begin, before.begin));
    count += here.size() + before.size() - 2 * both;
    before = here;
  }
  return count;
}

Index IntervalMask::ones() const {
  Index count = 0;
  for (const Interval& here : rows_) count += here.size();
  return count;
}

RowChangeMask::RowChangeMask(const std::vector<std::vector<Index>>& changes) {
  const Index n = std::ssize(changes);
  for (Index i = 0; i < n; ++i) {
    const auto& row = changes[static_cast<std::size_t>(i)];
    require_set(row, n, "the changes of row", i);
    columns_.insert(columns_.end(), row.begin(), row.end());
    first_.push_back(std::ssize(columns_));
  }
  list_rows();
}

RowChangeMask::RowChangeMask(const IntervalMask& mask) {
  Interval before{0, 0};
  for (Index i = 0; i < mask.size(); ++i) {
    const Interval here = mask.row(i);
    const auto add = [this](Index begin, Index end) {
      for (Index j = begin; j < end; ++j) columns_.push_back(j);
    };
    if (here.end <= before.begin || before.end <= here.begin) {
      const bool here_first = here.end <= before.begin;
      const Interval& low = here_first ? here : before;
      const Interval& high = here_first ? before : here;
      add(low.begin, low.end);
      add(high.begin, high.end);
    } else {
      add(std::min(here.begin, before.begin), std::max(here.begin, before.begin));
      add(std::min(here.end, before.end), std::max(here.end, before.end));
    }
    first_.push_back(std::ssize(columns_));
    before = here;
  }
  list_rows();
}

void RowChangeMask::list_rows() {
  first_of_column_.assign(static_cast<std::size_t>(size()) + 1, 0);
  for (const Index j : columns_) ++first_of_column_[static_cast<std::size_t>(j) + 1];
  for (std::size_t j = 1; j < first_of_column_.size(); ++j) first_of_column_[j] += first_of_column_[j - 1];
  rows_.resize(columns_.size());
  std::vector<Index> place(first_of_column_.begin(), first_of_column_.end());
  for (Index i = 0; i < size(); ++i) {
    const auto [begin, end] = row(i);
    for (const Index* j = begin; j != end; ++j) rows_[static_cast<std::size_t>(place[static_cast<std::size_t>(*j)]++)] = i;
  }
}

bool RowChangeMask::contains(Index i, Index j) const {
  const auto begin = rows_.begin() + first_of_column_[static_cast<std::size_t>(j)];
  const auto end = rows_.begin() + first_of_column_[static_cast<std::size_t>(j) + 1];
  return (std::upper_bound(begin, end, i) - begin) % 2 == 1;  // as often as it came and went
}

DistinctRowsMask::DistinctRowsMask(std::vector<std::vector<Index>> sets, std::vector<Index> set_of)
    : sets_(std::move(sets)), set_of_(std::move(set_of)) {
  for (Index s = 0; s < distinct(); ++s) require_set(set(s), size(), "set", s);
  for (Index i = 0; i < size(); ++i) {
    if (this->set_of(i) < 0 || this->set_of(i) >= distinct()) {
      throw InvalidArgument(fmt::format("line {} of the mask has set {}; there are {}", i, this->set_of(i), distinct()));
    }
  }
}

bool DistinctRowsMask::contains(Index i, Index j) const { return std::ranges::binary_search(set(set_of(i)), j); }

Index DistinctRowsMask::members() const {
  Index count = 0;
  for (const auto& members : sets_) count += std::ssize(members);
  return count;
}

Index size(const Mask& mask) {
  return std::visit([](const auto& any) { return any.size(); }, mask);
}

bool contains(const Mask& mask, Index i, Index j) {
  return std::visit([&](const auto& any) { return any.contains(i, j); }, mask);
}

Matrix<double> dense(const Mask& mask) {
  const Index n = size(mask);
  return Matrix<double>::NullaryExpr(n, n, [&](Index i, Index j) { return contains(mask, i, j) ? 1.0 : 0.0; });
}

}  // namespace convbasis
