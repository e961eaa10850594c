#include "basis/apply.h"

#include "basis/apply_layout.h"
#include "basis/direct_product.h"
#include "basis/partitioned.h"
#include "core/errors.h"
#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
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

/// Calls body(row) for every row, in blocks that are worth a thread's while.
template <class Body>
void for_each_row(Index size, const RunContext& context, const Body& body) {
  constexpr Index block = 1024;
  parallel_for(context, (size + block - 1) / block, [&](Index item, int) {
    for (Index i = item * block; i < std::min(size, (item + 1) * block); ++i) body(i);
  });
}

/// The root mean square of each row.
template <Real T>
std::vector<double> row_sizes(MatrixView<T> matrix, const RunContext& context) {
  std::vector<double> sizes(static_cast<std::size_t>(matrix.rows()));
  for_each_row(matrix.rows(), context, [&](Index i) {
    const double squares = matrix.row(i).template cast<double>().squaredNorm();
    sizes[static_cast<std::size_t>(i)] = std::sqrt(squares / static_cast<double>(matrix.cols()));
  });
  return sizes;
}

double root_mean_square(std::span<const double> values) {
  double squares = 0.0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
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

  void divide_by_row_sums(MutableMatrixView<T> output, const RunContext& context) const {
    for_each_row(output.rows(), context, [&](Index i) {
      if (!weights->underflows(i)) output.row(i) *= static_cast<T>(1.0 / weights->row_sum[static_cast<std::size_t>(i)]);
    });
  }

  /// The FFT's error in row i of D^-1 A V, from its error in A V of each output block.
  double row_noise(std::span<const double> block_noise, Index i) const {
    if (block_noise.empty()) return 0.0;
    return block_noise[static_cast<std::size_t>(i / layout.block)] / weights->row_sum[static_cast<std::size_t>(i)];
  }

  /// The size of a typical output row: the median over the rows that are sound on the scale of V, for a row that the FFT has
  /// spoilt must not raise the yardstick. 0 when there are none.
  double typical_row(MatrixView<T> value, MatrixView<T> output, std::span<const double> noise, const RunContext& context) const {
    const double sound = row_tolerance * root_mean_square(row_sizes(value, context));
    const std::vector<double> all = row_sizes(output, context);
    std::vector<double> sizes;
    for (Index i = 0; i < output.rows(); ++i) {
      if (!weights->underflows(i) && row_noise(noise, i) <= sound) sizes.push_back(all[static_cast<std::size_t>(i)]);
    }
    if (sizes.empty()) return 0.0;
    const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
    std::nth_element(sizes.begin(), middle, sizes.end());
    return *middle;
  }

  std::vector<Index> rows_to_rescue(MatrixView<T> value, MatrixView<T> output, const RunContext& context) const {
    std::vector<double> noise;
    double allowed = 0.0;
    if (partitioned) {
      noise = partitioned->error_estimate(value, context);
      allowed = row_tolerance * typical_row(value, output, noise, context);
    }
    std::vector<Index> found;
    for (Index i = 0; i < output.rows(); ++i) {
      if (row_tolerance == 0.0 || weights->underflows(i) || !(row_noise(noise, i) <= allowed)) found.push_back(i);
    }
    return found;
  }

  /// Rows that the transposed product leaves out of the FFT: there 1 / D_i multiplies the input, so that a small D_i would
  /// drown the other rows of its block in rounding errors.
  std::vector<Index> rows_to_transpose_singly() const {
    const std::vector<double> noise = partitioned ? partitioned->unit_error_estimate() : std::vector<double>();
    std::vector<Index> found;
    for (Index i = 0; i < layout.size; ++i) {
      if (weights->underflows(i) || !(row_noise(noise, i) <= row_tolerance)) found.push_back(i);
    }
    return found;
  }

  /// output += the transpose of the given rows of P~, applied to value. In double, O(rows * n * d).
  void add_transposed_rows(std::span<const Index> chosen, MatrixView<T> value, MutableMatrixView<T> output,
                           const RunContext& context) const {
    if (chosen.empty()) return;
    std::vector<double> log_sums;
    for (const Index i : chosen) log_sums.push_back(weights->log_row_sum(i));
    constexpr Index columns = 64;  // keys of one item
    parallel_for(context, (layout.size + columns - 1) / columns, [&](Index item, int) {
      for (Index j = item * columns; j < std::min(layout.size, (item + 1) * columns); ++j) {
        Eigen::RowVectorXd sum = output.row(j).template cast<double>();
        for (std::size_t x = 0; x < chosen.size(); ++x) {
          if (chosen[x] < j) continue;
          sum += std::exp(static_cast<double>(weights->scores.entry(chosen[x], j)) - log_sums[x]) *
                 value.row(chosen[x]).template cast<double>();
        }
        output.row(j) = sum.template cast<T>();
      }
    });
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
  state_->divide_by_row_sums(output, context);
  const MatrixView<T> result(output.data(), output.rows(), output.cols(), Eigen::OuterStride<>(output.outerStride()));
  std::vector<Index> rescue = state_->rows_to_rescue(value, result, context);
  parallel_for(context, static_cast<Index>(rescue.size()), [&](Index item, int) {
    // The last rows are the dearest.
    const Index row = rescue[rescue.size() - 1 - static_cast<std::size_t>(item)];
    std::vector<double> sum(static_cast<std::size_t>(value.cols()));
    apply_row<T>(*state_->weights, value, row, sum);
    output.row(row) = Eigen::Map<const Eigen::RowVectorXd>(sum.data(), value.cols()).template cast<T>();
  });
  return {std::move(rescue), state_->layout.block, state_->direct.columns(), state_->path()};
}

template <Real T>
void ConvAttentionPlan<T>::apply_transpose(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
  require_fitting<T>(size(), value, output);
  context.check();
  const ConvWeights<T>& weights = *state_->weights;
  const std::vector<Index> singly = state_->rows_to_transpose_singly();
  Matrix<T> scaled = value;  // D^-1 value, without the rows that are added singly
  for (const Index i : singly) scaled.row(i).setZero();
  for (Index i = 0; i < size(); ++i) {
    if (!weights.underflows(i)) scaled.row(i) *= static_cast<T>(1.0 / weights.row_sum[static_cast<std::size_t>(i)]);
  }
  if (state_->partitioned) {
    state_->partitioned->apply_transpose(view(scaled), output, context);
  } else {
    output.setZero();
  }
  state_->direct.apply_transpose(weights.weights, view(scaled), output, context);
  state_->add_transposed_rows(singly, value, output, context);
}

template class ConvAttentionPlan<float>;
template class ConvAttentionPlan<double>;

}  // namespace convbasis
