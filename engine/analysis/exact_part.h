/// \file
/// Exact attention of one head as far as it was computed: of all rows, or of some where all would take too long.
#pragma once

#include "attention/head.h"
#include "core/run_context.h"

#include <atomic>
#include <memory>
#include <span>
#include <vector>

namespace convbasis {

/// Row log-sum-exps, computed when they are first asked for. Any thread may ask.
class RowNormalisers {
 public:
  /// Of n rows, none known.
  explicit RowNormalisers(Index n);
  explicit RowNormalisers(std::span<const double> all);

  Index size() const { return std::ssize(values_); }
  /// NaN while it is not known.
  double operator[](Index row) const { return values_[static_cast<std::size_t>(row)].load(std::memory_order_relaxed); }
  /// Of all rows, NaN where it is not known.
  std::vector<double> all() const;
  void set(Index row, double value) { values_[static_cast<std::size_t>(row)].store(value, std::memory_order_relaxed); }
  /// Makes them known for `rows` (ascending) of the head that they belong to. Cost O(n d) for each row that is new. Throws
  /// Cancelled.
  template <Real T>
  void require(const HeadView<T>& head, std::span<const Index> rows, const RunContext& context = {});

 private:
  std::vector<std::atomic<double>> values_;
};

/// Shared by analyses of the same tokens; immutable but for normalisers, which only ever become known.
template <Real T>
struct ExactPart {
  std::vector<Index> rows;                      ///< whose output is here, ascending
  Matrix<T> output;                             ///< Y of these rows, rows.size() x d_v
  std::shared_ptr<RowNormalisers> normalisers;  ///< of all rows when complete, else of those that were asked for so far
  double seconds = 0.0;                         ///< what it took

  bool complete() const { return std::ssize(rows) == normalisers->size(); }
};

/// All rows: O(n^2 (d + d_v) / 2) multiply-adds. Throws InvalidArgument, Cancelled.
template <Real T>
ExactPart<T> exact_part(const HeadView<T>& head, const RunContext& context = {});

/// Nothing of n tokens is known yet.
template <Real T>
ExactPart<T> no_exact_part(Index n) {
  return {.rows = {}, .output = {}, .normalisers = std::make_shared<RowNormalisers>(n)};
}

/// Evenly spread rows, the first and the last among them: as many as 2^35 multiply-adds allow, at least 64 and at most 1024; all
/// rows when there are no more than that. Fills in `normalisers` (of n rows). Throws InvalidArgument, Cancelled.
template <Real T>
ExactPart<T> sampled_exact_part(const HeadView<T>& head, std::shared_ptr<RowNormalisers> normalisers,
                                const RunContext& context = {});

}  // namespace convbasis
