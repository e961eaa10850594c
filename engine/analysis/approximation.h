/// \file
/// The matrix that stands in for attention, cell by cell, whatever it was made by: what maps, regions and errors compare exact
/// attention with.
#pragma once

#include "analysis/rank_approximation.h"
#include "basis/conv_weights.h"
#include "basis/structured_fit.h"
#include "core/types.h"

#include <memory>
#include <span>

namespace convbasis {

/// P~ and S~ of a recovered basis, of a structured fit, or of a matrix of low rank. A fit's exact entries are the head's own, so
/// its rows are made from exact scores; S~ of its other entries, and of low rank, is log P~ + lse, which compares with S.
/// Immutable, cheap to copy, for any thread.
template <Real T>
class Approximation {
 public:
  explicit Approximation(std::shared_ptr<const ConvWeights<T>> weights) : weights_(std::move(weights)) {}
  explicit Approximation(std::shared_ptr<const StructuredFit> fit) : fit_(std::move(fit)) {}
  explicit Approximation(std::shared_ptr<const RankApproximation<T>> rank) : rank_(std::move(rank)) {}

  /// A fit or a matrix of low rank stands in for the weights: S~ is a picture of them rather than what was approximated.
  bool is_of_weights() const { return weights_ == nullptr; }
  /// The calls below read `exact`, which are scores S of the same cells. Otherwise that may be empty.
  bool reads_scores() const { return fit_ != nullptr; }
  /// S~ of one row, for the columns from `column` on, all of them <= row.
  void scores(Index row, Index column, std::span<const T> exact, std::span<T> target) const;
  /// P~ likewise.
  void probabilities(Index row, Index column, std::span<const T> exact, std::span<T> target) const;

 private:
  std::shared_ptr<const ConvWeights<T>> weights_;
  std::shared_ptr<const StructuredFit> fit_;
  std::shared_ptr<const RankApproximation<T>> rank_;
};

}  // namespace convbasis
