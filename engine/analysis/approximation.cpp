#include "analysis/approximation.h"

#include "attention/kernels.h"

#include <algorithm>
#include <cmath>

namespace convbasis {
namespace {

/// Calls `visit(first, count)` for the stretches of exact entries of one row.
template <class Visit>
void for_exact(const ExactEntries& entries, Index row, Index column, Index count, const Visit& visit) {
  const Index band = std::clamp<Index>(row - entries.band + 1 - column, 0, count);  // the first cell in it
  const auto& columns = entries.columns;
  for (auto c = std::ranges::lower_bound(columns, column); c != columns.end() && *c < column + band; ++c) visit(*c - column, 1);
  if (band < count) visit(band, count - band);
}

}  // namespace

template <Real T>
void Approximation<T>::scores(Index row, Index column, std::span<const T> exact, std::span<T> target) const {
  if (weights_) return weights_->scores.row(row, column, target);
  if (rank_) return rank_->scores(row, column, target);
  const Index count = std::ssize(target);
  fit_->rest_tile<T>(row, column, {target.data(), 1, count, Eigen::OuterStride<>(count)});
  const double lse = fit_->lse[static_cast<std::size_t>(row)];
  for (T& cell : target) {
    cell = static_cast<T>(cell > T{0} ? std::log(static_cast<double>(cell)) + lse : masked_score);
  }
  for_exact(fit_->exact, row, column, count, [&](Index first, Index cells) {
    std::ranges::copy(exact.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(cells)), target.begin() + first);
  });
}

template <Real T>
void Approximation<T>::probabilities(Index row, Index column, std::span<const T> exact, std::span<T> target) const {
  if (weights_) return weights_->probability_row(row, column, target);
  if (rank_) return rank_->probabilities(row, column, target);
  const Index count = std::ssize(target);
  fit_->rest_tile<T>(row, column, {target.data(), 1, count, Eigen::OuterStride<>(count)});
  const auto lse = static_cast<T>(fit_->lse[static_cast<std::size_t>(row)]);
  for_exact(fit_->exact, row, column, count,
            [&](Index first, Index cells) { kernels::exp_shifted<T>(exact.data() + first, cells, lse, target.data() + first); });
}

template class Approximation<float>;
template class Approximation<double>;

}  // namespace convbasis
