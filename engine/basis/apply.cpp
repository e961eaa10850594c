#include "basis/apply.h"

#include "basis/apply_layout.h"
#include "basis/direct_product.h"
#include "basis/partitioned.h"
#include "core/errors.h"
#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace convbasis {
namespace {

template <Real T>
constexpr double default_row_tolerance = std::same_as<T, float> ? 1e-5 : 1e-13;

template <Real T>
constexpr const char* precision_name = std::same_as<T, float> ? "float32" : "float64";

template <Real T>
void require_fitting(Index size, const MatrixView<T>& value, const MutableMatrixView<T>& output) {
  if (value.rows() == size && value.cols() >= 1 && output.rows() == size && output.cols() == value.cols()) return;
  const auto shape = [](Index rows, Index cols) { return std::to_string(rows) + " x " + std::to_string(cols); };
  throw InvalidArgument("value is " + shape(value.rows(), value.cols()) + " and output " + shape(output.rows(), output.cols()) +
                        "; both must have " + std::to_string(size) + " rows and the same number of columns, at least one");
}

/// The root mean square of each row, and their median.
template <Real T>
double median_row_size(MatrixView<T> matrix) {
  std::vector<double> sizes(static_cast<std::size_t>(matrix.rows()));
  for (Index i = 0; i < matrix.rows(); ++i) {
    sizes[static_cast<std::size_t>(i)] =
        std::sqrt(static_cast<double>(matrix.row(i).squaredNorm()) / static_cast<double>(matrix.cols()));
  }
  const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
  std::nth_element(sizes.begin(), middle, sizes.end());
  return *middle;
}

}  // namespace

template <Real T>
struct ConvAttentionPlan<T>::State {
  std::shared_ptr<const ConvWeights<T>> weights;
  ApplyLayout layout;
  double row_tolerance;
  DirectProduct<T> direct;
  std::optional<PartitionedProduct<T>> partitioned;

  State(std::shared_ptr<const ConvWeights<T>> all_weights, Index columns, const ApplyOptions& options, const RunContext& context)
      : weights(std::move(all_weights)),
        layout(choose_layout(weights->weights.size(), weights->weights.starts(), columns, options.block)),
        row_tolerance(options.row_tolerance.value_or(default_row_tolerance<T>)),
        direct(weights->weights, layout.direct_segments) {
    if (!layout.pieces.empty()) partitioned.emplace(weights->weights, layout, context);
  }

  std::string path() const {
    if (!partitioned) return std::string("direct product, ") + precision_name<T>;
    return "partitioned FFT, block " + std::to_string(layout.block) + ", " + precision_name<T>;
  }

  void divide_by_row_sums(MutableMatrixView<T> output) const {
    for (Index i = 0; i < output.rows(); ++i) {
      if (!weights->underflows(i)) output.row(i) *= static_cast<T>(1.0 / weights->row_sum[static_cast<std::size_t>(i)]);
    }
  }

  /// Rows whose sum underflows, and rows whose estimated FFT error is too large beside the size of a typical output row. The
  /// median is taken because rows that the FFT has spoilt must not raise the yardstick.
  std::vector<Index> rows_to_rescue(MatrixView<T> value, MatrixView<T> output) const {
    std::vector<double> noise;
    if (partitioned) noise = partitioned->error_estimate(value);
    const double allowed = row_tolerance * median_row_size(output);
    std::vector<Index> found;
    for (Index i = 0; i < output.rows(); ++i) {
      const double row_noise =
          noise.empty() ? 0.0 : noise[static_cast<std::size_t>(i / layout.block)] / weights->row_sum[static_cast<std::size_t>(i)];
      if (row_tolerance == 0.0 || weights->underflows(i) || !(row_noise <= allowed)) found.push_back(i);
    }
    return found;
  }
};

template <Real T>
ConvAttentionPlan<T>::ConvAttentionPlan(std::shared_ptr<const ConvWeights<T>> weights, Index columns, const ApplyOptions& options,
                                        const RunContext& context) {
  if (!weights) throw InvalidArgument("the plan has no weights; it needs those of a conv basis");
  if (columns < 1) throw InvalidArgument("columns is " + std::to_string(columns) + "; it must be at least 1");
  if (options.row_tolerance && !(*options.row_tolerance >= 0)) throw InvalidArgument("row_tolerance must be 0 or larger");
  state_ = std::make_unique<State>(std::move(weights), columns, options, context);
}

template <Real T>
ConvAttentionPlan<T>::~ConvAttentionPlan() = default;
template <Real T>
ConvAttentionPlan<T>::ConvAttentionPlan(ConvAttentionPlan&&) noexcept = default;
template <Real T>
ConvAttentionPlan<T>& ConvAttentionPlan<T>::operator=(ConvAttentionPlan&&) noexcept = default;

template <Real T>
Index ConvAttentionPlan<T>::size() const {
  return state_->layout.size;
}

template <Real T>
ApplyReport ConvAttentionPlan<T>::apply(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
  require_fitting<T>(size(), value, output);
  context.check();
  if (state_->partitioned) {
    state_->partitioned->apply(value, output, context);
  } else {
    output.setZero();
  }
  state_->direct.add(state_->weights->weights, value, output, context);
  state_->divide_by_row_sums(output);
  const MatrixView<T> result(output.data(), output.rows(), output.cols(), Eigen::OuterStride<>(output.outerStride()));
  const std::vector<Index> rescue = state_->rows_to_rescue(value, result);
  parallel_for(context, static_cast<Index>(rescue.size()), [&](Index item, int) {
    // The last rows are the dearest.
    const Index row = rescue[rescue.size() - 1 - static_cast<std::size_t>(item)];
    std::vector<double> sum(static_cast<std::size_t>(value.cols()));
    apply_row<T>(*state_->weights, value, row, sum);
    output.row(row) = Eigen::Map<const Eigen::RowVectorXd>(sum.data(), value.cols()).template cast<T>();
  });
  return {static_cast<Index>(rescue.size()), state_->layout.block, state_->direct.columns(), state_->path()};
}

template <Real T>
void ConvAttentionPlan<T>::apply_transpose(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
  require_fitting<T>(size(), value, output);
  context.check();
  const ConvWeights<T>& weights = *state_->weights;
  Matrix<T> scaled = value;  // D^-1 value; rows whose sum underflows are added one by one below
  for (Index i = 0; i < size(); ++i) {
    scaled.row(i) *= weights.underflows(i) ? T{0} : static_cast<T>(1.0 / weights.row_sum[static_cast<std::size_t>(i)]);
  }
  if (state_->partitioned) {
    state_->partitioned->apply_transpose(view(scaled), output, context);
  } else {
    output.setZero();
  }
  state_->direct.apply_transpose(weights.weights, view(scaled), output, context);
  for (Index i = 0; i < size(); ++i) {
    if (!weights.underflows(i)) continue;
    context.check();
    const double log_sum = weights.log_row_sum(i);
    for (Index j = 0; j <= i; ++j) {
      output.row(j) += static_cast<T>(std::exp(static_cast<double>(weights.scores.entry(i, j)) - log_sum)) * value.row(i);
    }
  }
}

template class ConvAttentionPlan<float>;
template class ConvAttentionPlan<double>;

}  // namespace convbasis
