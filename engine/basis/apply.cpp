#include "basis/apply.h"

#include "attention/accelerator.h"
#include "basis/apply_layout.h"
#include "basis/direct_product.h"
#include "basis/partitioned.h"
#include "basis/row_product.h"
#include "basis/transpose_pass.h"
#include "core/aligned.h"
#include "core/errors.h"
#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <mutex>
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

/// The root mean square of a row.
template <Real T>
double row_size(const MatrixView<T>& matrix, Index row) {
  return std::sqrt(sum_of_squares(matrix.row(row)) / static_cast<double>(matrix.cols()));
}

/// What rows cost when they are recomputed one by one, nanoseconds on one thread: an exponential and `columns` multiply-adds in
/// double for each causal entry, as measured in float64 on a two-core AVX-512 machine.
double direct_entry_ns(Index columns) { return 2.0 + 0.1 * static_cast<double>(columns); }
double direct_rows_ns(std::span<const Index> rows, Index columns) {
  double entries = 0.0;
  for (const Index i : rows) entries += static_cast<double>(i + 1);
  return entries * direct_entry_ns(columns);
}

/// The same scores in double.
ConvBasis<double> widened(const ConvBasis<float>& scores) {
  std::vector<std::vector<double>> lag_vectors;
  for (Index r = 0; r < scores.count(); ++r) lag_vectors.emplace_back(scores.lag_vector(r).begin(), scores.lag_vector(r).end());
  return {scores.size(), std::vector<Index>(scores.starts().begin(), scores.starts().end()), std::move(lag_vectors)};
}

}  // namespace

template <Real T>
struct ConvAttentionPlan<T>::State {
  std::shared_ptr<const ConvWeights<T>> weights;
  Index planned_columns;
  ApplyLayout layout;
  double row_tolerance;
  DirectProduct<T> direct;
  std::optional<PartitionedProduct<T>> partitioned;
  std::vector<T> row_factor;                        // 1 / D_i; 0 in rows that underflow
  std::unique_ptr<AcceleratedProduct> accelerated;  // float only; what it cannot do, and the guard, are the CPU's
  std::string accelerator;                          // its name
  mutable std::mutex second_mutex;
  mutable std::unique_ptr<ConvAttentionPlan<double>> second;  // in float64, for a plan in float32; made when it is first needed
  /// How each row goes through the transposed product.
  struct TransposedRows {
    std::vector<T> factor;  // 1 / D_i of rows in the product of all; 0 for others
    std::vector<TransposePass<T>> passes;
    std::vector<Index> single;
  };
  mutable std::mutex transposed_mutex;
  mutable std::optional<TransposedRows> transposed;  // made when it is first needed

  State(std::shared_ptr<const ConvWeights<T>> all_weights, Index columns, const ApplyOptions& options, const RunContext& context)
      : weights(std::move(all_weights)),
        planned_columns(columns),
        layout(choose_layout(weights->weights.size(), weights->weights.starts(), columns, options.block)),
        row_tolerance(options.row_tolerance.value_or(default_row_tolerance<T>)),
        direct(weights->weights, layout.direct_segments) {
    for (Index i = 0; i < layout.size; ++i) row_factor.push_back(weights->row_factor(i));
    if constexpr (std::same_as<T, float>) {
      if (context.accelerator != nullptr) accelerate(*context.accelerator, context);
    }
    if (layout.pieces.empty()) return;
    partitioned.emplace(weights->weights, layout, context, accelerated ? SpectraMade::when_needed : SpectraMade::at_once);
  }

  /// With the same layout, so that the estimates of the FFT's error hold there too.
  void accelerate(const Accelerator& with, const RunContext& context) requires std::same_as<T, float> {
    const ConvBasis<float>& basis = weights->weights;
    std::vector<AcceleratedSegment> segments;
    for (Index r = 0; r < basis.count(); ++r) segments.push_back({basis.start(r), basis.lag_vector(r)});
    accelerated = with.product({layout.size, segments, row_factor, planned_columns, layout.block}, context);
    accelerator = with.name();
  }

  /// D^-1 A value, by the accelerator if it can: true then.
  bool multiply(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
    if constexpr (std::same_as<T, float>) {
      if (accelerated && accelerated->apply(value, false, output, context)) return true;
    }
    if (partitioned) {
      partitioned->apply(value, row_factor, output, context);
    } else {
      output.setZero();
    }
    direct.add(weights->weights, value, row_factor, output, context);
    return false;
  }

  /// A^T value with row i of value multiplied by factor[i], 1 / D_i or 0.
  void multiply_transposed(MatrixView<T> value, std::span<const T> factor, MutableMatrixView<T> output,
                           const RunContext& context) const {
    Scratch<T> memory(static_cast<std::size_t>(layout.size * value.cols()));
    MutableMatrixView<T> scaled(memory.data(), layout.size, value.cols(), Eigen::OuterStride<>(value.cols()));
    const MatrixView<T> input(scaled.data(), layout.size, value.cols(), Eigen::OuterStride<>(value.cols()));
    const auto fill = [&](bool divided) {
      constexpr Index at_once = 256;
      parallel_for(context, (layout.size + at_once - 1) / at_once, [&](Index item, int) {
        for (Index i = item * at_once; i < std::min(layout.size, (item + 1) * at_once); ++i) {
          if (const T own = factor[static_cast<std::size_t>(i)]; own > T{0}) {
            scaled.row(i) = (divided ? own : T{1}) * value.row(i);
          } else {
            scaled.row(i).setZero();
          }
        }
      });
    };
    if constexpr (std::same_as<T, float>) {
      if (accelerated) {
        fill(false);  // it divides by D itself
        if (accelerated->apply(input, true, output, context)) return;
      }
    }
    fill(true);
    if (partitioned) {
      partitioned->apply_transpose(input, output, context);
    } else {
      output.setZero();
    }
    direct.apply_transpose(weights->weights, input, output, context);
  }

  std::string path(bool by_accelerator) const {
    const std::string who = by_accelerator ? accelerator + ", " : "";
    if (!partitioned) return who + "direct product, " + precision_name<T>;
    return who + "partitioned FFT, block " + std::to_string(layout.block) + ", " + precision_name<T>;
  }

  /// The FFT's error in row i of D^-1 A V, from its error in A V of each output block.
  double row_noise(std::span<const double> block_noise, Index i) const {
    if (block_noise.empty()) return 0.0;
    return block_noise[static_cast<std::size_t>(i / layout.block)] / weights->row_sum[static_cast<std::size_t>(i)];
  }

  /// Of each block, the larger of two estimates of the FFT's error in A V: from what went in, which takes V for random, and from
  /// what came out, which also sees a V that is in step with the lags. A block's transform holds products of the block above too.
  std::vector<double> block_noise(MatrixView<T> value, std::span<const double> sizes, const RunContext& context) const {
    std::vector<double> noise = partitioned->error_estimate(value, context);
    double above = 0.0;
    for (std::size_t block = 0; block < noise.size(); ++block) {
      const std::size_t first = block * static_cast<std::size_t>(layout.block);
      const std::size_t last = std::min(first + static_cast<std::size_t>(layout.block), sizes.size());
      double squares = 0.0;
      for (std::size_t i = first; i < last; ++i) squares += std::pow(weights->row_sum[i] * sizes[i], 2);
      const double own = std::sqrt(squares / static_cast<double>(last - first));
      noise[block] = std::max(noise[block], partitioned->relative_error() * std::max(own, above));
      above = own;
    }
    return noise;
  }

  /// Rows whose error, as estimated, passes the tolerance, relative to the row itself. A row that the FFT has spoilt is no larger
  /// than the error in it, so it does not hide.
  std::vector<Index> rows_to_rescue(MatrixView<T> value, MatrixView<T> output, const RunContext& context) const {
    // The estimate is a typical error. With this margin nearly all rows kept are within the tolerance; more would cost more rows.
    constexpr double margin = 1.5;
    std::vector<double> sizes(static_cast<std::size_t>(output.rows()), 0.0);
    std::vector<double> noise;
    if (partitioned && row_tolerance > 0.0 && std::isfinite(row_tolerance)) {
      constexpr Index at_once = 256;
      parallel_for(context, (output.rows() + at_once - 1) / at_once, [&](Index item, int) {
        for (Index i = item * at_once; i < std::min(output.rows(), (item + 1) * at_once); ++i) {
          sizes[static_cast<std::size_t>(i)] = row_size(output, i);
        }
      });
      noise = block_noise(value, sizes, context);
    }
    std::vector<Index> found;
    for (Index i = 0; i < output.rows(); ++i) {
      const bool spoilt = !noise.empty() && !(margin * row_noise(noise, i) <= row_tolerance * sizes[static_cast<std::size_t>(i)]);
      if (row_tolerance == 0.0 || weights->underflows(i) || spoilt) found.push_back(i);
    }
    return found;
  }

  /// Rows of the output from the scores, in double.
  void rescue_directly(std::span<const Index> rescue, MatrixView<T> value, MutableMatrixView<T> output,
                       const RunContext& context) const {
    const Index groups = (std::ssize(rescue) + rows_at_once - 1) / rows_at_once;
    parallel_for(context, groups, [&](Index item, int) {
      const auto first = static_cast<std::size_t>((groups - 1 - item) * rows_at_once);  // the last rows are the dearest
      const std::span<const Index> rows = rescue.subspan(first, std::min<std::size_t>(rows_at_once, rescue.size() - first));
      Matrix<double> sums;
      apply_rows<T>(*weights, value, rows, sums);
      for (std::size_t r = 0; r < rows.size(); ++r) output.row(rows[r]) = sums.row(static_cast<Index>(r)).template cast<T>();
    });
  }

  /// Whether a float64 FFT of everything is cheaper than the given rows one by one.
  bool second_try_pays(std::span<const Index> rescue, Index columns) const {
    constexpr double dearer = 3.0;  // float64 than float32, with its plan and the conversions
    return std::same_as<T, float> && partitioned && row_tolerance > 0.0 && dearer * layout.cost < direct_rows_ns(rescue, columns);
  }

  /// The float64 plan, made on the first call.
  const ConvAttentionPlan<double>& second_plan(Index columns, const RunContext& context) const {
    const std::scoped_lock lock(second_mutex);
    if constexpr (std::same_as<T, float>) {
      if (!second) {
        auto wide = std::make_shared<const ConvWeights<double>>(exponentiate(widened(weights->scores), context));
        second = std::make_unique<ConvAttentionPlan<double>>(std::move(wide), columns,
                                                             ApplyOptions{.row_tolerance = row_tolerance}, context);
      }
    }
    return *second;
  }

  /// The rows from the float64 plan. V is converted a few columns at a time.
  void rescue_by_second_try(std::span<const Index> rescue, MatrixView<T> value, MutableMatrixView<T> output,
                            const RunContext& context) const {
    const ConvAttentionPlan<double>& plan = second_plan(value.cols(), context);
    constexpr Index at_once = 16;
    for (Index first = 0; first < value.cols(); first += at_once) {
      const Index count = std::min(at_once, value.cols() - first);
      const Matrix<double> in = value.middleCols(first, count).template cast<double>();
      Matrix<double> out(in.rows(), count);
      plan.apply(view(in), mutable_view(out), context);
      for (const Index row : rescue) output.row(row).segment(first, count) = out.row(row).template cast<T>();
    }
  }

  /// Rows that the transposed product of all leaves out: there 1 / D_i multiplies the input, so that a small D_i would drown the
  /// other rows of its block in rounding errors. They go through passes of their own or, where that does not pay, one by one.
  const TransposedRows& transposed_rows(const RunContext& context) const {
    const std::scoped_lock lock(transposed_mutex);
    if (transposed) return *transposed;
    const std::vector<double> noise = partitioned ? partitioned->unit_error_estimate() : std::vector<double>();
    TransposedRows found{row_factor, {}, {}};
    for (Index i = 0; i < layout.size; ++i) {
      if (!weights->underflows(i) && row_noise(noise, i) <= row_tolerance) continue;
      found.single.push_back(i);
      found.factor[static_cast<std::size_t>(i)] = T{0};
    }
    if (row_tolerance > 0.0) {
      found.passes =
          transpose_passes(*weights, found.single, planned_columns, row_tolerance, direct_entry_ns(planned_columns), context);
    }
    transposed = std::move(found);
    return *transposed;
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
const ConvWeights<T>& ConvAttentionPlan<T>::weights() const {
  return *state_->weights;
}

template <Real T>
const ApplyLayout& ConvAttentionPlan<T>::layout() const {
  return state_->layout;
}

template <Real T>
ApplyReport ConvAttentionPlan<T>::apply(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
  require_fitting<T>(size(), value, output);
  context.check();
  const bool by_accelerator = state_->multiply(value, output, context);
  const MatrixView<T> result(output.data(), output.rows(), output.cols(), Eigen::OuterStride<>(output.outerStride()));
  ApplyReport report{state_->rows_to_rescue(value, result, context), state_->layout.block, state_->direct.columns(), false,
                     state_->path(by_accelerator)};
  if (state_->second_try_pays(report.rescued, value.cols())) {
    state_->rescue_by_second_try(report.rescued, value, output, context);
    report.second_try = true;
    report.path += ", then float64";
  } else {
    state_->rescue_directly(report.rescued, value, output, context);
  }
  return report;
}

template <Real T>
void ConvAttentionPlan<T>::apply_transpose(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
  require_fitting<T>(size(), value, output);
  context.check();
  const auto& rows = state_->transposed_rows(context);
  state_->multiply_transposed(value, rows.factor, output, context);
  for (const TransposePass<T>& pass : rows.passes) pass.add(value, output, context);
  state_->add_transposed_rows(rows.single, value, output, context);
}

template class ConvAttentionPlan<float>;
template class ConvAttentionPlan<double>;

}  // namespace convbasis
