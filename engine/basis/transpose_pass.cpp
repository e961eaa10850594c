#include "basis/transpose_pass.h"

#include "core/aligned.h"
#include "core/threads.h"

#include <algorithm>
#include <utility>

namespace convbasis {
namespace {

constexpr Index rows_of_an_item = 256;

template <Real T>
double largest_sum(const ConvWeights<T>& weights, std::span<const Index> rows) {
  double largest = 0.0;
  for (const Index i : rows) largest = std::max(largest, weights.row_sum[static_cast<std::size_t>(i)]);
  return largest;
}

/// The weights of the first `size` rows, over cap; 0 instead of those that are larger. The margin is for rounding.
template <Real T>
ConvBasis<T> limited(const ConvBasis<T>& weights, double cap, Index size, const RunContext& context) {
  std::vector<Index> starts;
  for (const Index start : weights.starts()) {
    if (start < size) starts.push_back(start);
  }
  std::vector<std::vector<T>> all(starts.size());
  parallel_for(context, std::ssize(starts), [&](Index r, int) {
    const auto lags = weights.lag_vector(r);
    const auto limit = static_cast<T>(cap * (1.0 + 1e-6));
    const auto unit = static_cast<T>(1.0 / cap);
    auto& kept = all[static_cast<std::size_t>(r)];
    kept.resize(static_cast<std::size_t>(size - weights.start(r)));
    for (std::size_t t = 0; t < kept.size(); ++t) kept[t] = lags[t] <= limit ? lags[t] * unit : T{0};
  });
  return {size, std::move(starts), std::move(all)};
}

}  // namespace

template <Real T>
TransposePass<T>::TransposePass(const ConvWeights<T>& weights, std::span<const Index> rows, Index columns, double tolerance,
                                const RunContext& context)
    : size_(rows.back() + 1),
      weights_(limited(weights.weights, largest_sum(weights, rows), size_, context)),
      layout_(choose_layout(size_, weights_.starts(), columns, 0)),
      direct_(weights_, layout_.direct_segments),
      factor_(static_cast<std::size_t>(size_), T{0}) {
  if (!layout_.pieces.empty()) partitioned_.emplace(weights_, layout_, context);
  const std::vector<double> noise = partitioned_ ? partitioned_->unit_error_estimate() : std::vector<double>();
  const double cap = largest_sum(weights, rows);
  for (const Index i : rows) {
    const double factor = cap / weights.row_sum[static_cast<std::size_t>(i)];
    if (!noise.empty() && !(noise[static_cast<std::size_t>(i / layout_.block)] * factor <= tolerance)) continue;
    rows_.push_back(i);
    factor_[static_cast<std::size_t>(i)] = static_cast<T>(factor);
  }
}

template <Real T>
void TransposePass<T>::add(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
  const Index columns = value.cols();
  Scratch<T> in(static_cast<std::size_t>(size_ * columns));
  Scratch<T> out(in.size());
  MutableMatrixView<T> scaled(in.data(), size_, columns, Eigen::OuterStride<>(columns));
  MutableMatrixView<T> product(out.data(), size_, columns, Eigen::OuterStride<>(columns));
  const Index items = (size_ + rows_of_an_item - 1) / rows_of_an_item;
  parallel_for(context, items, [&](Index item, int) {
    for (Index i = item * rows_of_an_item; i < std::min(size_, (item + 1) * rows_of_an_item); ++i) {
      if (const T factor = factor_[static_cast<std::size_t>(i)]; factor > T{0}) {
        scaled.row(i) = factor * value.row(i);
      } else {
        scaled.row(i).setZero();
      }
    }
  });
  const MatrixView<T> input(in.data(), size_, columns, Eigen::OuterStride<>(columns));
  if (partitioned_) {
    partitioned_->apply_transpose(input, product, context);
  } else {
    product.setZero();
  }
  direct_.apply_transpose(weights_, input, product, context);
  parallel_for(context, items, [&](Index item, int) {
    for (Index i = item * rows_of_an_item; i < std::min(size_, (item + 1) * rows_of_an_item); ++i) {
      output.row(i) += product.row(i);
    }
  });
}

template <Real T>
std::vector<TransposePass<T>> transpose_passes(const ConvWeights<T>& weights, std::vector<Index>& rows, Index columns,
                                               double tolerance, double single_entry_ns, const RunContext& context) {
  constexpr std::size_t most_passes = 12;  // each holds spectra of all lags
  std::vector<Index> left;
  std::vector<Index> underflowing;
  for (const Index i : rows) (weights.underflows(i) ? underflowing : left).push_back(i);
  std::vector<TransposePass<T>> passes;
  while (!left.empty() && passes.size() < most_passes) {
    double entries = 0.0;
    for (const Index i : left) entries += static_cast<double>(i + 1);
    const auto starts = weights.weights.starts();
    const auto reached = std::ranges::lower_bound(starts, left.back() + 1) - starts.begin();
    const double cost = layout_cost(left.back() + 1, starts.first(static_cast<std::size_t>(reached)), columns);
    if (entries * single_entry_ns <= cost) break;
    TransposePass<T> pass(weights, left, columns, tolerance, context);
    if (pass.rows().empty()) break;
    std::vector<Index> still;
    std::ranges::set_difference(left, pass.rows(), std::back_inserter(still));
    left = std::move(still);
    passes.push_back(std::move(pass));
  }
  rows.clear();
  std::ranges::merge(left, underflowing, std::back_inserter(rows));
  return passes;
}

template class TransposePass<float>;
template class TransposePass<double>;
template std::vector<TransposePass<float>> transpose_passes(const ConvWeights<float>&, std::vector<Index>&, Index, double, double,
                                                            const RunContext&);
template std::vector<TransposePass<double>> transpose_passes(const ConvWeights<double>&, std::vector<Index>&, Index, double,
                                                             double, const RunContext&);

}  // namespace convbasis
