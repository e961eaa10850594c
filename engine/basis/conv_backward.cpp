#include "basis/conv_backward.h"

#include "attention/kernels.h"
#include "basis/apply_layout.h"
#include "basis/correlation.h"
#include "core/aligned.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace convbasis {
namespace {

/// Rows of one class have a D_i within a factor of 2^class_bits of each other: so much larger than for rows of one size may the
/// rounding errors of its FFT be.
template <Real T>
constexpr int class_bits = std::same_as<T, float> ? 4 : 10;

constexpr Index rows_at_once = 256;

/// Rows [first, last) of one item of a loop over all n, or over those below a limit.
template <class Body>
void for_rows(Index n, const RunContext& context, const Body& body) {
  parallel_for(context, (n + rows_at_once - 1) / rows_at_once, [&](Index item, int) {
    for (Index i = item * rows_at_once; i < std::min(n, (item + 1) * rows_at_once); ++i) body(i);
  });
}

/// The rows sorted into classes by D_i: class c holds those in (cap 2^-class_bits, cap].
struct RowClasses {
  static constexpr int single = -1;  ///< beside D_i weights underflow

  struct Class {
    double cap = 0.0;
    Index end = 0;  ///< one past its last row; 0: it has none
  };
  std::vector<Class> classes;
  std::vector<int> of_row;
};

template <Real T>
RowClasses classes_of(const ConvWeights<T>& weights) {
  const double largest = *std::max_element(weights.row_sum.begin(), weights.row_sum.end());
  RowClasses found;
  for (Index i = 0; i < weights.weights.size(); ++i) {
    found.of_row.push_back(RowClasses::single);
    if (weights.underflows(i)) continue;
    const int c = static_cast<int>(std::log2(largest / weights.row_sum[static_cast<std::size_t>(i)])) / class_bits<T>;
    while (std::ssize(found.classes) <= c) {
      found.classes.push_back({std::ldexp(largest, -class_bits<T> * static_cast<int>(found.classes.size())), 0});
    }
    found.classes[static_cast<std::size_t>(c)].end = i + 1;
    found.of_row.back() = c;
  }
  return found;
}

/// Rows one after the other, without gaps, in memory that was not cleared.
template <Real T>
class RowStore {
 public:
  RowStore(Index rows, Index columns) : rows_(rows), columns_(columns), data_(static_cast<std::size_t>(rows * columns)) {}
  MatrixView<T> view() const { return {data_.data(), rows_, columns_, Eigen::OuterStride<>(columns_)}; }
  T* row(Index i) { return data_.data() + i * columns_; }

 private:
  Index rows_, columns_;
  Scratch<T> data_;
};

/// The gradient by the lag vectors, du_r, of one head.
template <Real T>
class LagGradient {
 public:
  LagGradient(const HeadView<T>& head, const ConvBasis<T>& basis, const ConvAttentionPlan<T>& plan,
              const ConvBackwardInput<T>& forward, const RunContext& context);

  /// du_r of segment r of the weights; empty for the zeros before the first start.
  LagSums<T> operator()(const RunContext& context);

 private:
  void write_scaled(Index row, T factor);
  void add_direct_segments(const RunContext& context);
  void add_class(const PartitionedCorrelation<T>& correlation, int index, const RunContext& context);
  void add_single_rows(const RunContext& context);

  const ConvWeights<T>& weights_;
  MatrixView<T> output_gradient_;
  Index n_, channels_, first_segment_;
  ApplyLayout layout_;
  RowClasses rows_;
  RowStore<T> value_;     // V_j - centre, and 1
  RowStore<T> scaled_;    // G_i and -delta_i, over D_i; rows of zeros behind the last for direct segments
  std::vector<T> delta_;  // G_i . (Y_i - centre)
  LagSums<T> sums_;
};

/// The widest segment that is correlated directly; 0 when none is.
template <Real T>
Index widest_direct(const ConvBasis<T>& weights, const ApplyLayout& layout) {
  Index widest = 0;
  for (const Index r : layout.direct_segments) widest = std::max(widest, weights.end(r) - weights.start(r));
  return widest;
}

/// About the mean of the rows: of so few that it costs nothing.
template <Real T>
RowVector<T> centre_of(MatrixView<T> value) {
  const Index step = (value.rows() + 1023) / 1024;
  Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(value.cols());
  Index count = 0;
  for (Index i = 0; i < value.rows(); i += step, ++count) sum += value.row(i).template cast<double>();
  return (sum / static_cast<double>(count)).template cast<T>();
}

template <Real T>
LagGradient<T>::LagGradient(const HeadView<T>& head, const ConvBasis<T>& basis, const ConvAttentionPlan<T>& plan,
                            const ConvBackwardInput<T>& forward, const RunContext& context)
    : weights_(plan.weights()),
      output_gradient_(forward.output_gradient),
      n_(head.size()),
      channels_(head.value_width()),
      first_segment_(weights_.weights.count() - basis.count()),
      layout_(plan.layout()),
      rows_(classes_of(weights_)),
      value_(n_, channels_ + 1),
      scaled_(n_ + widest_direct(weights_.weights, layout_), channels_ + 1),
      delta_(static_cast<std::size_t>(n_)),
      sums_(static_cast<std::size_t>(weights_.weights.count())) {
  std::erase_if(layout_.pieces, [&](const Piece& piece) { return piece.segment < first_segment_; });
  std::erase_if(layout_.direct_segments, [&](Index r) { return r < first_segment_; });
  for (Index r = first_segment_; r < weights_.weights.count(); ++r) {
    sums_[static_cast<std::size_t>(r)].assign(static_cast<std::size_t>(weights_.weights.extent(r)), T{0});
  }
  // G_i . (V_j - Y_i) does not change when V and Y are moved together; what is left cancels less.
  const RowVector<T> centre = centre_of(head.value);
  for_rows(n_, context, [&](Index i) {
    T* target = value_.row(i);
    Eigen::Map<RowVector<T>>(target, channels_) = head.value.row(i) - centre;
    target[channels_] = T{1};
    delta_[static_cast<std::size_t>(i)] = forward.output_gradient.row(i).dot(forward.output.row(i) - centre);
  });
}

template <Real T>
void LagGradient<T>::write_scaled(Index row, T factor) {
  T* target = scaled_.row(row);
  if (factor == T{0}) {
    std::fill_n(target, channels_ + 1, T{0});
    return;
  }
  Eigen::Map<RowVector<T>>(target, channels_) = factor * output_gradient_.row(row);
  target[channels_] = -factor * delta_[static_cast<std::size_t>(row)];
}

template <Real T>
LagSums<T> LagGradient<T>::operator()(const RunContext& context) {
  add_direct_segments(context);
  if (!layout_.pieces.empty()) {
    const PartitionedCorrelation<T> correlation(layout_, weights_.weights.starts());
    for (int c = 0; c < std::ssize(rows_.classes); ++c) add_class(correlation, c, context);
  }
  add_single_rows(context);
  return std::move(sums_);
}

/// No row spoils another one here: a product is only as large as the weight it is multiplied by allows.
template <Real T>
void LagGradient<T>::add_direct_segments(const RunContext& context) {
  if (layout_.direct_segments.empty()) return;
  for_rows(scaled_.view().rows(), context, [&](Index i) {
    if (i >= n_) {
      std::fill_n(scaled_.row(i), channels_ + 1, T{0});
    } else {
      write_scaled(i, weights_.row_factor(i));
    }
  });
  for (const Index r : layout_.direct_segments) {
    context.check();
    std::vector<T>& target = sums_[static_cast<std::size_t>(r)];
    target =
        correlate_directly<T>(value_.view(), scaled_.view(), n_, weights_.weights.start(r), weights_.weights.end(r), context);
    const auto lags = weights_.weights.lag_vector(r);
    for (std::size_t t = 0; t < target.size(); ++t) target[t] *= lags[t];
  }
}

/// Rows of one class to the FFT, in units of its cap. A weight above the cap is in no row of the class (D_i would be as large):
/// at its lag the sum is 0 and what the FFT says is rounding error, which so is never multiplied by more than 1.
template <Real T>
void LagGradient<T>::add_class(const PartitionedCorrelation<T>& correlation, int index, const RunContext& context) {
  const auto [cap, end] = rows_.classes[static_cast<std::size_t>(index)];
  if (end == 0) return;
  for_rows(end, context, [&, c = cap](Index i) {
    const auto row = static_cast<std::size_t>(i);
    write_scaled(i, rows_.of_row[row] == index ? static_cast<T>(c / weights_.row_sum[row]) : T{0});
  });
  const LagSums<T> found = correlation(value_.view(), scaled_.view(), end, context);
  const T limit = static_cast<T>(cap * (1.0 + 1e-6));
  const T unit = static_cast<T>(1.0 / cap);
  parallel_for(context, std::ssize(found), [&](Index r, int) {
    const std::vector<T>& sums = found[static_cast<std::size_t>(r)];
    std::vector<T>& target = sums_[static_cast<std::size_t>(r)];
    const auto lags = weights_.weights.lag_vector(r);
    for (std::size_t t = 0; t < sums.size(); ++t) {
      if (lags[t] <= limit) target[t] += lags[t] * unit * sums[t];
    }
  });
}

/// dS_ij of rows beside which weights underflow, each by its own log-sum-exp. An item is a range of lags, so that no two add to
/// the same sum.
template <Real T>
void LagGradient<T>::add_single_rows(const RunContext& context) {
  std::vector<Index> chosen;
  std::vector<T> log_sums;
  for (Index i = 0; i < n_; ++i) {
    if (rows_.of_row[static_cast<std::size_t>(i)] != RowClasses::single) continue;
    chosen.push_back(i);
    log_sums.push_back(static_cast<T>(weights_.log_row_sum(i)));
  }
  if (chosen.empty()) return;
  parallel_for(context, (n_ + rows_at_once - 1) / rows_at_once, [&](Index item, int) {
    std::array<T, rows_at_once> probability;
    std::array<T, rows_at_once> change;
    for (std::size_t x = 0; x < chosen.size(); ++x) {
      const Index i = chosen[x];
      const Index last = i - item * rows_at_once;  // the column with the shortest lag of this item
      if (last < 0) continue;
      context.check();
      const Index first = std::max<Index>(0, last - rows_at_once + 1);
      const Index count = last - first + 1;
      weights_.scores.row(i, first, std::span(probability).first(static_cast<std::size_t>(count)));
      kernels::exp_shifted<T>(probability.data(), count, log_sums[x], probability.data());
      const RowVector<T> gradient = output_gradient_.row(i);
      const MatrixView<T> values(value_.row(first), count, channels_, Eigen::OuterStride<>(channels_ + 1));
      kernels::multiply_vector<T>(values, gradient.data(), T{1}, change.data());
      for (Index j = first; j <= last; ++j) {
        const Index r = weights_.weights.segment_of(j);
        if (r < first_segment_) continue;
        const auto at = static_cast<std::size_t>(j - first);
        sums_[static_cast<std::size_t>(r)][static_cast<std::size_t>(i - j)] +=
            probability[at] * (change[at] - delta_[static_cast<std::size_t>(i)]);
      }
    }
  });
}

/// dQ, and what dK is the sum of, for ranges of rows: the same ones for any number of threads.
template <Real T>
class OuterProducts {
 public:
  OuterProducts(const HeadView<T>& head, std::span<const Index> starts, const LagSums<T>& changes)
      : head_(head),
        starts_(starts),
        changes_(changes),
        padded_(round_up(head.width(), kernels::panel_width<T>())),
        range_(std::max<Index>(256, (head.size() + 15) / 16)),
        keys_(static_cast<std::size_t>(count() * padded_)),
        partial_(static_cast<std::size_t>((head.size() + range_ - 1) / range_)) {
    Matrix<T> keys(count(), head.width());
    for (Index r = 0; r < count(); ++r) {
      keys.row(r) = static_cast<T>(head.scale) * head.key.row(starts[static_cast<std::size_t>(r)]);
    }
    kernels::pack_columns<T>(view(keys), keys_.data());
  }

  void run(const HeadGradients<T>& gradients, const RunContext& context) {
    parallel_for(context, std::ssize(partial_), [&](Index item, int) {
      Matrix<double>& sums = partial_[static_cast<std::size_t>(item)].setZero(count(), padded_);
      const Index end = std::min(head_.size(), (item + 1) * range_);
      for (Index row = item * range_; row < end; row += tile_rows) {
        context.check();
        run_tile(row, std::min(tile_rows, end - row), gradients.query, sums);
      }
    });
    MutableMatrixView<T> key = gradients.key;
    key.setZero();
    for (Index r = 0; r < count(); ++r) {
      Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(padded_);
      for (const Matrix<double>& part : partial_) sum += part.row(r);
      key.row(starts_[static_cast<std::size_t>(r)]) = (head_.scale * sum.head(head_.width())).template cast<T>();
    }
  }

 private:
  static constexpr Index tile_rows = 128;

  Index count() const { return std::ssize(starts_); }

  void run_tile(Index row, Index rows_here, MutableMatrixView<T> query, Matrix<double>& sums) const {
    Matrix<T> by_segment = Matrix<T>::Zero(count(), rows_here);  // du_r of these rows
    for (Index r = 0; r < count(); ++r) {
      const Index start = starts_[static_cast<std::size_t>(r)];
      const Index above = std::max<Index>(start - row, 0);
      if (above >= rows_here) continue;
      const std::vector<T>& lags = changes_[static_cast<std::size_t>(r)];
      std::copy_n(lags.begin() + (row + above - start), rows_here - above, by_segment.row(r).data() + above);
    }
    const Matrix<T> by_row = by_segment.transpose();
    const Index width = kernels::panel_width<T>();
    Matrix<T> product(rows_here, padded_);
    kernels::multiply<T>(rows_here, count(), padded_ / width, by_row.data(), count(), keys_.data(), count() * width,
                         product.data(), padded_, false);
    query.middleRows(row, rows_here) = product.leftCols(head_.width());
    AlignedVector<T> queries(static_cast<std::size_t>(rows_here * padded_));
    kernels::pack_columns<T>(convbasis::rows(head_.query, row, rows_here), queries.data());
    product.resize(count(), padded_);
    kernels::multiply<T>(count(), rows_here, padded_ / width, by_segment.data(), rows_here, queries.data(), rows_here * width,
                         product.data(), padded_, false);
    sums += product.template cast<double>();
  }

  const HeadView<T>& head_;
  std::span<const Index> starts_;
  const LagSums<T>& changes_;
  Index padded_, range_;
  AlignedVector<T> keys_;                // K at the starts, times the scale, packed
  std::vector<Matrix<double>> partial_;  // of dK at the starts, by range of rows
};

template <Real T>
void require_basis_of(const ConvBasis<T>& basis, const ConvWeights<T>& weights) {
  const Index zeros = basis.count() == 0 || basis.start(0) > 0 ? 1 : 0;
  const std::span<const Index> starts = weights.weights.starts();
  if (basis.size() == weights.weights.size() && basis.count() + zeros == std::ssize(starts) &&
      std::ranges::equal(basis.starts(), starts.subspan(static_cast<std::size_t>(zeros)))) {
    return;
  }
  throw InvalidArgument(
      fmt::format("the basis has size {} and {} segments and the plan's weights size {} and {}; the plan must be "
                  "made from the weights of this basis",
                  basis.size(), basis.count(), weights.weights.size(), std::ssize(starts)));
}

}  // namespace

template <Real T>
void require_fitting(const HeadView<T>& head, Index plan_size, const ConvBackwardInput<T>& forward,
                     const HeadGradients<T>& gradients) {
  require_gradient_shapes(head, forward.output, forward.output_gradient, gradients);
  if (plan_size != head.size()) {
    throw InvalidArgument(fmt::format("the plan is for {} tokens; the head has {}", plan_size, head.size()));
  }
}

template <Real T>
void conv_forward_gradient(const HeadView<T>& head, const ConvBasis<T>& basis, const ConvAttentionPlan<T>& plan,
                           const ConvBackwardInput<T>& forward, const HeadGradients<T>& gradients, const RunContext& context) {
  require_fitting(head, plan.size(), forward, gradients);
  require_basis_of(basis, plan.weights());
  LagSums<T> changes = LagGradient<T>(head, basis, plan, forward, context)(context);
  changes.erase(changes.begin(), changes.end() - basis.count());
  OuterProducts<T>(head, basis.starts(), changes).run(gradients, context);
  plan.apply_transpose(forward.output_gradient, gradients.value, context);
}

template void require_fitting(const HeadView<float>&, Index, const ConvBackwardInput<float>&, const HeadGradients<float>&);
template void require_fitting(const HeadView<double>&, Index, const ConvBackwardInput<double>&, const HeadGradients<double>&);
template void conv_forward_gradient(const HeadView<float>&, const ConvBasis<float>&, const ConvAttentionPlan<float>&,
                                    const ConvBackwardInput<float>&, const HeadGradients<float>&, const RunContext&);
template void conv_forward_gradient(const HeadView<double>&, const ConvBasis<double>&, const ConvAttentionPlan<double>&,
                                    const ConvBackwardInput<double>&, const HeadGradients<double>&, const RunContext&);

}  // namespace convbasis
