#include "basis/conv_backward.h"

#include "attention/kernels.h"
#include "basis/apply_layout.h"
#include "basis/correlation.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

namespace convbasis {
namespace {

/// Rows of one class have a D_i within such a factor of each other: so much larger than for rows of one size may the rounding
/// errors of its FFT be.
template <Real T>
constexpr int class_bits = std::same_as<T, float> ? 8 : 10;

/// Rows whose D_i lies in (cap 2^-class_bits, cap].
struct RowClass {
  double cap;
  std::vector<Index> rows;  // ascending
};

template <Real T>
std::vector<RowClass> classes_of(const ConvWeights<T>& weights) {
  const double largest = *std::max_element(weights.row_sum.begin(), weights.row_sum.end());
  std::vector<RowClass> classes;
  for (Index i = 0; i < weights.weights.size(); ++i) {
    if (weights.underflows(i)) continue;
    const double below = std::log2(largest / weights.row_sum[static_cast<std::size_t>(i)]);
    const auto index = static_cast<std::size_t>(below / class_bits<T>);
    while (classes.size() <= index) {
      classes.push_back({std::ldexp(largest, -class_bits<T> * static_cast<int>(classes.size())), {}});
    }
    classes[index].rows.push_back(i);
  }
  return classes;
}

/// The gradient by the lag vectors, du_r, of one head.
template <Real T>
class LagGradient {
 public:
  LagGradient(const HeadView<T>& head, const ConvBasis<T>& basis, const ConvAttentionPlan<T>& plan,
              const ConvBackwardInput<T>& forward, const RunContext& context);

  /// du_r of segment r of the weights; empty for the zeros before the first start.
  LagSums<T> operator()(const RunContext& context);

 private:
  void add_direct_segments(const RunContext& context);
  void add_class(const RowClass& rows, const RunContext& context);
  void add_single_rows(std::span<const Index> chosen, const RunContext& context);

  const ConvWeights<T>& weights_;
  Index n_, first_segment_;
  ApplyLayout layout_;
  Matrix<T> value_;     // V_j - mean V, and 1
  Matrix<T> gradient_;  // G_i, and -delta_i for such a V
  std::optional<PartitionedCorrelation<T>> correlation_;
  LagSums<T> sums_;
};

template <Real T>
LagGradient<T>::LagGradient(const HeadView<T>& head, const ConvBasis<T>& basis, const ConvAttentionPlan<T>& plan,
                            const ConvBackwardInput<T>& forward, const RunContext& context)
    : weights_(plan.weights()),
      n_(head.size()),
      first_segment_(weights_.weights.count() - basis.count()),
      layout_(plan.layout()),
      value_(n_, head.value_width() + 1),
      gradient_(n_, head.value_width() + 1),
      sums_(static_cast<std::size_t>(weights_.weights.count())) {
  context.check();
  std::erase_if(layout_.pieces, [&](const Piece& piece) { return piece.segment < first_segment_; });
  std::erase_if(layout_.direct_segments, [&](Index r) { return r < first_segment_; });
  if (!layout_.pieces.empty()) correlation_.emplace(layout_, weights_.weights.starts());
  for (Index r = first_segment_; r < weights_.weights.count(); ++r) {
    sums_[static_cast<std::size_t>(r)].assign(static_cast<std::size_t>(weights_.weights.extent(r)), T{0});
  }
  // G_i . (V_j - Y_i) does not change when V and Y are moved together; what is left cancels less.
  const RowVector<T> mean = (head.value.template cast<double>().colwise().sum() / static_cast<double>(n_)).template cast<T>();
  for (Index i = 0; i < n_; ++i) {
    value_.row(i) << head.value.row(i) - mean, T{1};
    gradient_.row(i) << forward.output_gradient.row(i), -forward.output_gradient.row(i).dot(forward.output.row(i) - mean);
  }
}

template <Real T>
LagSums<T> LagGradient<T>::operator()(const RunContext& context) {
  add_direct_segments(context);
  std::vector<Index> single;
  for (Index i = 0; i < n_; ++i) {
    if (weights_.underflows(i)) single.push_back(i);
  }
  // Direct segments hold all classes already; single rows are added to both kinds.
  if (correlation_) {
    for (const RowClass& rows : classes_of(weights_)) {
      if (!rows.rows.empty()) add_class(rows, context);
    }
  }
  add_single_rows(single, context);
  return std::move(sums_);
}

/// No row spoils another one here: a product is only as large as the weight it is multiplied by allows.
template <Real T>
void LagGradient<T>::add_direct_segments(const RunContext& context) {
  if (layout_.direct_segments.empty()) return;
  Index widest = 0;
  for (const Index r : layout_.direct_segments) widest = std::max(widest, weights_.weights.end(r) - weights_.weights.start(r));
  Matrix<T> scaled = Matrix<T>::Zero(n_ + widest, gradient_.cols());
  for (Index i = 0; i < n_; ++i) {
    if (weights_.underflows(i)) continue;
    scaled.row(i) = gradient_.row(i) * static_cast<T>(1.0 / weights_.row_sum[static_cast<std::size_t>(i)]);
  }
  for (const Index r : layout_.direct_segments) {
    context.check();
    std::vector<T>& target = sums_[static_cast<std::size_t>(r)];
    target = correlate_directly<T>(view(value_), view(scaled), n_, weights_.weights.start(r), weights_.weights.end(r), context);
    const auto lags = weights_.weights.lag_vector(r);
    for (std::size_t t = 0; t < target.size(); ++t) target[t] *= lags[t];
  }
}

/// Rows of one class to the FFT, in units of its cap. A weight above the cap is in no row of the class (D_i would be as large):
/// at its lag the sum is 0 and what the FFT says is rounding error, which so is never multiplied by more than 1.
template <Real T>
void LagGradient<T>::add_class(const RowClass& rows, const RunContext& context) {
  Matrix<T> scaled = Matrix<T>::Zero(n_, gradient_.cols());
  for (const Index i : rows.rows) {
    scaled.row(i) = gradient_.row(i) * static_cast<T>(rows.cap / weights_.row_sum[static_cast<std::size_t>(i)]);
  }
  const LagSums<T> found = (*correlation_)(view(value_), view(scaled), rows.rows.back() + 1, context);
  const T limit = static_cast<T>(rows.cap * (1.0 + 1e-6));
  const T unit = static_cast<T>(1.0 / rows.cap);
  parallel_for(context, std::ssize(found), [&](Index r, int) {
    const std::vector<T>& sums = found[static_cast<std::size_t>(r)];
    std::vector<T>& target = sums_[static_cast<std::size_t>(r)];
    const auto lags = weights_.weights.lag_vector(r);
    for (std::size_t t = 0; t < sums.size(); ++t) {
      if (lags[t] <= limit) target[t] += lags[t] * unit * sums[t];
    }
  });
}

/// dS_ij of the given rows, each by its own log-sum-exp. An item is a range of lags, so that no two add to the same sum.
template <Real T>
void LagGradient<T>::add_single_rows(std::span<const Index> chosen, const RunContext& context) {
  if (chosen.empty()) return;
  std::vector<T> log_sums;
  for (const Index i : chosen) log_sums.push_back(static_cast<T>(weights_.log_row_sum(i)));
  constexpr Index at_once = 256;
  parallel_for(context, (n_ + at_once - 1) / at_once, [&](Index item, int) {
    std::vector<T> probability(static_cast<std::size_t>(at_once));
    std::vector<T> change(static_cast<std::size_t>(at_once));
    for (std::size_t x = 0; x < chosen.size(); ++x) {
      const Index i = chosen[x];
      const Index last = i - item * at_once;  // the column with the shortest lag of this item
      if (last < 0) continue;
      const Index first = std::max<Index>(0, last - at_once + 1);
      const Index count = last - first + 1;
      weights_.scores.row(i, first, std::span(probability).first(static_cast<std::size_t>(count)));
      kernels::exp_shifted<T>(probability.data(), count, log_sums[x], probability.data());
      const RowVector<T> gradient = gradient_.row(i);
      kernels::multiply_vector<T>(convbasis::rows(view(value_), first, count), gradient.data(), T{1}, change.data());
      for (Index j = first; j <= last; ++j) {
        const Index r = weights_.weights.segment_of(j);
        if (r < first_segment_) continue;
        const auto at = static_cast<std::size_t>(j - first);
        sums_[static_cast<std::size_t>(r)][static_cast<std::size_t>(i - j)] += probability[at] * change[at];
      }
    }
  });
}

/// dQ and dK from du. Keys are summed over ranges of rows, the same ones for any number of threads, and these in double.
template <Real T>
void add_outer_products(const HeadView<T>& head, std::span<const Index> starts, const LagSums<T>& changes,
                        const HeadGradients<T>& gradients, const RunContext& context) {
  const Index n = head.size();
  const Index count = std::ssize(starts);
  const auto scale = static_cast<T>(head.scale);
  Matrix<T> keys(count, head.width());
  for (Index r = 0; r < count; ++r) keys.row(r) = scale * head.key.row(starts[static_cast<std::size_t>(r)]);
  MutableMatrixView<T> query = gradients.query;
  MutableMatrixView<T> key = gradients.key;
  key.setZero();
  const Index range = std::max<Index>(256, (n + 15) / 16);
  std::vector<Matrix<double>> partial(static_cast<std::size_t>((n + range - 1) / range));
  parallel_for(context, std::ssize(partial), [&](Index item, int) {
    Matrix<double>& sums = partial[static_cast<std::size_t>(item)].setZero(count, head.width());
    constexpr Index tile_rows = 64;
    Matrix<T> tile(tile_rows, count);
    for (Index row = item * range; row < std::min(n, (item + 1) * range); row += tile_rows) {
      context.check();
      const Index rows_here = std::min({tile_rows, n - row, (item + 1) * range - row});
      for (Index r = 0; r < count; ++r) {
        const std::vector<T>& lags = changes[static_cast<std::size_t>(r)];
        for (Index a = 0; a < rows_here; ++a) {
          const Index lag = row + a - starts[static_cast<std::size_t>(r)];
          tile(a, r) = lag >= 0 ? lags[static_cast<std::size_t>(lag)] : T{0};
        }
      }
      query.middleRows(row, rows_here).noalias() = tile.topRows(rows_here) * keys;
      const Matrix<T> products = tile.topRows(rows_here).transpose() * head.query.middleRows(row, rows_here);
      sums += products.template cast<double>();
    }
  });
  for (Index r = 0; r < count; ++r) {
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(head.width());
    for (const Matrix<double>& part : partial) sum += part.row(r);
    key.row(starts[static_cast<std::size_t>(r)]) = (head.scale * sum).template cast<T>();
  }
}

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
  require_valid(head);
  if (head.matrix) throw InvalidArgument("a head that is given by its scores has no queries and keys to take gradients by");
  const auto fits = [](const char* name, const auto& matrix, Index rows, Index cols) {
    if (matrix.rows() != rows || matrix.cols() != cols) {
      throw InvalidArgument(fmt::format("{} is {} x {}; it must be {} x {}", name, matrix.rows(), matrix.cols(), rows, cols));
    }
  };
  const Index n = head.size();
  if (plan_size != n) throw InvalidArgument(fmt::format("the plan is for {} tokens; the head has {}", plan_size, n));
  fits("output", forward.output, n, head.value_width());
  fits("output gradient", forward.output_gradient, n, head.value_width());
  fits("query gradient", gradients.query, n, head.width());
  fits("key gradient", gradients.key, n, head.width());
  fits("value gradient", gradients.value, n, head.value_width());
}

template <Real T>
void conv_forward_gradient(const HeadView<T>& head, const ConvBasis<T>& basis, const ConvAttentionPlan<T>& plan,
                           const ConvBackwardInput<T>& forward, const HeadGradients<T>& gradients, const RunContext& context) {
  require_fitting(head, plan.size(), forward, gradients);
  require_basis_of(basis, plan.weights());
  LagSums<T> changes = LagGradient<T>(head, basis, plan, forward, context)(context);
  changes.erase(changes.begin(), changes.end() - basis.count());
  add_outer_products<T>(head, basis.starts(), changes, gradients, context);
  plan.apply_transpose(forward.output_gradient, gradients.value, context);
}

template void require_fitting(const HeadView<float>&, Index, const ConvBackwardInput<float>&, const HeadGradients<float>&);
template void require_fitting(const HeadView<double>&, Index, const ConvBackwardInput<double>&, const HeadGradients<double>&);
template void conv_forward_gradient(const HeadView<float>&, const ConvBasis<float>&, const ConvAttentionPlan<float>&,
                                    const ConvBackwardInput<float>&, const HeadGradients<float>&, const RunContext&);
template void conv_forward_gradient(const HeadView<double>&, const ConvBasis<double>&, const ConvAttentionPlan<double>&,
                                    const ConvBackwardInput<double>&, const HeadGradients<double>&, const RunContext&);

}  // namespace convbasis
