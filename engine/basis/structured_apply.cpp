#include "basis/structured_apply.h"

#include "basis/apply_layout.h"
#include "basis/direct_product.h"
#include "basis/partitioned.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace convbasis {
namespace {

template <Real T>
constexpr double default_row_tolerance = std::same_as<T, float> ? 1e-5 : 1e-13;

ConvBasis<double> with_precision(const ConvBasis<double>& lags, double) { return lags; }
ConvBasis<float> with_precision(const ConvBasis<double>& lags, float) {
  std::vector<std::vector<float>> narrow;
  for (Index r = 0; r < lags.count(); ++r) narrow.emplace_back(lags.lag_vector(r).begin(), lags.lag_vector(r).end());
  return {lags.size(), std::vector<Index>(lags.starts().begin(), lags.starts().end()), std::move(narrow)};
}

/// Products with the rest but for its row factors, in the precision U: sum_j g[i - j] b_j V_j.
template <Real U>
class LagProduct {
 public:
  LagProduct(const StructuredFit& fit, Index columns, Index block, const RunContext& context)
      : fit_(fit),
        lags_(with_precision(fit.lags, U{0})),
        layout_(choose_layout(fit.size(), lags_.starts(), columns, block)),
        direct_(lags_, layout_.direct_segments) {
    if (!layout_.pieces.empty()) partitioned_.emplace(lags_, layout_, context);
  }

  Index block() const { return layout_.block; }
  Index direct_columns() const { return direct_.columns(); }
  double cost() const { return layout_.cost; }

  struct Result {
    Matrix<U> product;
    std::vector<double> noise;  ///< of an entry of each row
  };

  template <Real T>
  Result multiply(MatrixView<T> value, const RunContext& context) const {
    Matrix<U> weighted = value.template cast<U>();
    for (Index j = 0; j < weighted.rows(); ++j)
      weighted.row(j) *= static_cast<U>(fit_.column_factor[static_cast<std::size_t>(j)]);
    Result result{Matrix<U>::Zero(weighted.rows(), weighted.cols()), std::vector<double>(static_cast<std::size_t>(fit_.size()))};
    if (partitioned_) partitioned_->apply(view(weighted), {}, mutable_view(result.product), context);
    // What is lost where a product of g and b V falls below the smallest normal number.
    const double lost = static_cast<double>(std::numeric_limits<U>::min()) * static_cast<double>(fit_.size()) *
                        (1.0 + static_cast<double>(weighted.cwiseAbs().maxCoeff()));
    std::ranges::fill(result.noise, lost);
    if (partitioned_) add_block_noise(view(weighted), result, context);
    direct_.add(lags_, view(weighted), {}, mutable_view(result.product), context);
    return result;
  }

 private:
  /// The FFT's: the larger of the estimates from what went in and from what came out, as ConvAttentionPlan has it.
  void add_block_noise(MatrixView<U> weighted, Result& result, const RunContext& context) const {
    const std::vector<double> estimate = partitioned_->error_estimate(weighted, context);
    double above = 0.0;
    for (std::size_t block = 0; block < estimate.size(); ++block) {
      const Index first = static_cast<Index>(block) * layout_.block;
      const Index last = std::min(first + layout_.block, fit_.size());
      double squares = 0.0;
      for (Index i = first; i < last; ++i) squares += sum_of_squares(result.product.row(i));
      const double own = std::sqrt(squares / static_cast<double>((last - first) * weighted.cols()));
      const double noise = std::max(estimate[block], partitioned_->relative_error() * std::max(own, above));
      for (Index i = first; i < last; ++i) result.noise[static_cast<std::size_t>(i)] += noise;
      above = own;
    }
  }

  const StructuredFit& fit_;
  ConvBasis<U> lags_;
  ApplyLayout layout_;
  DirectProduct<U> direct_;
  std::optional<PartitionedProduct<U>> partitioned_;
};

/// output.row(i) += a_i sum_{j <= i - band} b_j V_j, by running sums in double.
template <Real T>
void add_rank_one(const StructuredFit& fit, MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) {
  constexpr Index columns_at_once = 16;
  parallel_for(context, (value.cols() + columns_at_once - 1) / columns_at_once, [&](Index item, int) {
    const Index first = item * columns_at_once;
    const Index count = std::min(columns_at_once, value.cols() - first);
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(count);
    for (Index i = fit.exact.band; i < fit.size(); ++i) {
      if (i % 4096 == 0) context.check();
      const Index j = i - fit.exact.band;
      const double b = fit.column_factor[static_cast<std::size_t>(j)];
      if (b != 0.0) sum += b * value.row(j).segment(first, count).template cast<double>();
      output.row(i).segment(first, count) += (fit.row_factor[static_cast<std::size_t>(i)] * sum).template cast<T>();
    }
  });
}

/// a_i sum_j g[i - j] b_j V_j of one row, in double.
template <Real T>
Eigen::RowVectorXd rest_of_row(const StructuredFit& fit, MatrixView<T> value, Index row) {
  Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(value.cols());
  for (Index r = 0; r < fit.lags.count(); ++r) {
    for (Index j = fit.lags.start(r); j < std::min(fit.lags.end(r), row - fit.exact.band + 1); ++j) {
      const double b = fit.column_factor[static_cast<std::size_t>(j)];
      if (b == 0.0) continue;
      sum += b * fit.lags.lag_vector(r)[static_cast<std::size_t>(row - j)] * value.row(j).template cast<double>();
    }
  }
  return fit.row_factor[static_cast<std::size_t>(row)] * sum;
}

}  // namespace

std::vector<double> rest_row_sums(const StructuredFit& fit, const RunContext& context) {
  const Matrix<double> ones = Matrix<double>::Ones(fit.size(), 1);
  std::vector<double> sums(static_cast<std::size_t>(fit.size()), 0.0);
  if (fit.k() == 0) {
    double before = 0.0;
    for (Index i = fit.exact.band; i < fit.size(); ++i) {
      before += fit.column_factor[static_cast<std::size_t>(i - fit.exact.band)];
      sums[static_cast<std::size_t>(i)] = before;
    }
    return sums;
  }
  const auto rest = LagProduct<double>(fit, 1, 0, context).multiply<double>(view(ones), context);
  StructuredFit unscaled = fit;
  std::ranges::fill(unscaled.row_factor, 1.0);
  parallel_for(context, fit.size(), [&](Index i, int) {
    const double sum = rest.product(i, 0);
    const bool sound = i >= fit.exact.band && rest.noise[static_cast<std::size_t>(i)] <= 1e-9 * sum;
    sums[static_cast<std::size_t>(i)] = sound ? sum : rest_of_row<double>(unscaled, view(ones), i)(0);
  });
  return sums;
}

template <Real T>
struct StructuredPlan<T>::State {
  std::shared_ptr<const StructuredFit> fit;
  Index columns;
  double row_tolerance;
  std::optional<LagProduct<T>> lags;
  mutable std::mutex second_mutex;
  mutable std::unique_ptr<LagProduct<double>> second;  // for a plan in float32; made when it is first needed

  State(std::shared_ptr<const StructuredFit> the_fit, Index expected_columns, const ApplyOptions& options,
        const RunContext& context)
      : fit(std::move(the_fit)),
        columns(expected_columns),
        row_tolerance(options.row_tolerance.value_or(default_row_tolerance<T>)) {
    if (fit->k() > 0) lags.emplace(*fit, columns, options.block, context);
  }

  /// output += the rest, but for the rows it returns: there the noise would show, and nothing is added.
  template <Real U>
  std::vector<Index> add_product(const typename LagProduct<U>::Result& rest, std::span<const Index> rows,
                                 MutableMatrixView<T> output) const {
    constexpr double margin = 1.5;  // the estimate is a typical error; see ConvAttentionPlan
    std::vector<Index> noisy;
    for (const Index i : rows) {
      const double a = fit->row_factor[static_cast<std::size_t>(i)];
      if (a == 0.0) continue;
      const Eigen::RowVectorXd sum = output.row(i).template cast<double>() + a * rest.product.row(i).template cast<double>();
      const double size = std::sqrt(sum.squaredNorm() / static_cast<double>(sum.size()));
      if (row_tolerance == 0.0 || !(margin * a * rest.noise[static_cast<std::size_t>(i)] <= row_tolerance * size)) {
        noisy.push_back(i);
      } else {
        output.row(i) = sum.template cast<T>();
      }
    }
    return noisy;
  }

  /// Whether a float64 FFT of everything is cheaper than the given rows one by one; see ConvAttentionPlan.
  bool second_try_pays(std::span<const Index> noisy, Index width) const {
    double entries = 0.0;
    for (const Index i : noisy) entries += static_cast<double>(i + 1);
    return std::same_as<T, float> && row_tolerance > 0.0 && lags->block() > 0 &&
           3.0 * lags->cost() < entries * (2.0 + 0.5 * static_cast<double>(width));
  }

  const LagProduct<double>& second_product(const RunContext& context) const {
    const std::scoped_lock lock(second_mutex);
    if (!second) second = std::make_unique<LagProduct<double>>(*fit, columns, 0, context);
    return *second;
  }

  ApplyReport add_lags(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
    std::vector<Index> all(static_cast<std::size_t>(fit->size()));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<Index>(i);
    ApplyReport report;
    report.rescued = add_product<T>(lags->template multiply<T>(value, context), all, output);
    report.block = lags->block();
    report.direct_columns = lags->direct_columns();
    std::vector<Index> noisy = report.rescued;
    if (second_try_pays(noisy, value.cols())) {
      report.second_try = true;
      noisy = add_product<double>(second_product(context).template multiply<T>(value, context), noisy, output);
    }
    parallel_for(context, std::ssize(noisy), [&](Index item, int) {
      const Index row = noisy[static_cast<std::size_t>(std::ssize(noisy) - 1 - item)];
      output.row(row) = (output.row(row).template cast<double>() + rest_of_row<T>(*fit, value, row)).template cast<T>();
    });
    return report;
  }
};

template <Real T>
StructuredPlan<T>::StructuredPlan(std::shared_ptr<const StructuredFit> fit, Index columns, const ApplyOptions& options,
                                  const RunContext& context) {
  if (!fit) throw InvalidArgument("the plan has no structured fit; it needs one");
  if (columns < 1) throw InvalidArgument(fmt::format("columns is {}; it must be at least 1", columns));
  if (options.row_tolerance && !(*options.row_tolerance >= 0)) throw InvalidArgument("row_tolerance must be 0 or larger");
  state_ = std::make_unique<State>(std::move(fit), columns, options, context);
}

template <Real T>
StructuredPlan<T>::~StructuredPlan() = default;
template <Real T>
StructuredPlan<T>::StructuredPlan(StructuredPlan&&) noexcept = default;
template <Real T>
StructuredPlan<T>& StructuredPlan<T>::operator=(StructuredPlan&&) noexcept = default;

template <Real T>
ApplyReport StructuredPlan<T>::apply(const HeadView<T>& head, MutableMatrixView<T> output, const RunContext& context) const {
  const StructuredFit& fit = *state_->fit;
  exact_entries_product<T>(head, fit.exact, fit.lse, output, context);
  ApplyReport report;
  if (state_->lags) {
    report = state_->add_lags(head.value, output, context);
  } else {
    add_rank_one<T>(fit, head.value, output, context);
  }
  report.path = fmt::format("exact band {} and {} columns, {}", fit.exact.band, fit.exact.columns.size(),
                            !state_->lags       ? "running sums"
                            : report.block == 0 ? "direct product"
                                                : fmt::format("partitioned FFT, block {}", report.block));
  report.path += std::same_as<T, float> ? ", float32" : ", float64";
  if (report.second_try) report.path += ", then float64";
  return report;
}

template <Real T>
std::pair<Matrix<T>, ApplyReport> fit_output(const HeadView<T>& head, std::shared_ptr<const StructuredFit> fit,
                                             const RunContext& context) {
  Matrix<T> output(head.size(), head.value_width());
  const StructuredPlan<T> plan(std::move(fit), head.value_width(), {}, context);
  ApplyReport report = plan.apply(head, mutable_view(output), context);
  return {std::move(output), std::move(report)};
}

template std::pair<Matrix<float>, ApplyReport> fit_output(const HeadView<float>&, std::shared_ptr<const StructuredFit>,
                                                          const RunContext&);
template std::pair<Matrix<double>, ApplyReport> fit_output(const HeadView<double>&, std::shared_ptr<const StructuredFit>,
                                                           const RunContext&);
template class StructuredPlan<float>;
template class StructuredPlan<double>;

}  // namespace convbasis
