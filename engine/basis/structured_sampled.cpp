#include "basis/structured_sampled.h"

#include "attention/exact_rows.h"
#include "basis/structured_apply.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace convbasis {
namespace {

constexpr Index rows_at_once = 256;
constexpr Index fewest_landmarks = 8;  // before a row, for its mass to be estimated

/// Numbers without pattern, the same everywhere: splitmix64.
std::uint64_t hash(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

/// Columns of the rest at equal steps of a density: half of it even, half of it the rest's mass.
void choose_landmarks(SampledHead& sampled, Index count) {
  const RestSums& sums = sampled.sums;
  const Index n = sums.size();
  std::vector<double> density(static_cast<std::size_t>(n), 0.0);
  const double mass = sums.mass();
  const Index last = n - sums.exact.band;  // columns from here on have no rest
  const auto open = static_cast<double>(std::max<Index>(last - std::ssize(sums.exact.columns), 1));
  double total = 0.0;
  for (Index j = 0; j < last; ++j) {
    if (sums.exact.has_column(j)) continue;
    const auto at = static_cast<std::size_t>(j);
    density[at] = 0.5 / open + (mass > 0.0 ? 0.5 * sums.column[at] / mass : 0.0);
    total += density[at];
  }
  double before = 0.0;
  Index chosen = 0;
  for (Index j = 0; j < last && chosen < count; ++j) {
    const double here = density[static_cast<std::size_t>(j)];
    before += here;
    Index times = 0;
    while (chosen < count && before >= (static_cast<double>(chosen) + 0.5) / static_cast<double>(count) * total) {
      ++times;
      ++chosen;
    }
    if (times == 0) continue;
    sampled.landmarks.push_back(j);
    sampled.landmark_weights.push_back(static_cast<double>(times) * total / (here * static_cast<double>(count)));
  }
}

/// log(exp(a) + exp(b)).
double log_sum(double a, double b) {
  const double largest = std::max(a, b);
  if (largest == -std::numeric_limits<double>::infinity()) return largest;
  return largest + std::log(std::exp(a - largest) + std::exp(b - largest));
}

/// Rows whose mass is not estimated: those of the sample, and those with few landmarks before them.
std::vector<Index> early_rows(const SampledHead& sampled) {
  const auto& landmarks = sampled.landmarks;
  const Index n = sampled.sums.size();
  const Index first_estimated =
      std::ssize(landmarks) < fewest_landmarks
          ? n
          : std::min(n, landmarks[static_cast<std::size_t>(fewest_landmarks) - 1] + sampled.sums.exact.band);
  std::vector<Index> rows;
  for (Index i = 0; i < first_estimated; ++i) {
    if (!std::ranges::binary_search(sampled.sums.rows, i)) rows.push_back(i);
  }
  return rows;
}

/// Row factors and normalisers of all rows, from the landmarks.
template <Real T>
void estimate_rows(const HeadView<T>& head, const SampledHead& sampled, StructuredFit& fit, const RunContext& context) {
  const Index n = head.size();
  const Index band = fit.exact.band;
  const std::vector<double> sums = rest_row_sums(fit, context);
  const auto estimate = [&](Index row, const T* scores) {
    const auto i = static_cast<std::size_t>(row);
    const auto seen =
        static_cast<std::size_t>(std::ranges::upper_bound(sampled.landmarks, row - band) - sampled.landmarks.begin());
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t x = 0; x < seen; ++x) largest = std::max(largest, static_cast<double>(scores[x]));
    double found = 0.0;
    double modelled = 0.0;
    for (std::size_t x = 0; x < seen; ++x) {
      const Index j = sampled.landmarks[x];
      const double g = fit.k() == 0 ? 1.0 : fit.lags.entry(row, j);
      found += sampled.landmark_weights[x] * std::exp(static_cast<double>(scores[x]) - largest);
      modelled += sampled.landmark_weights[x] * fit.column_factor[static_cast<std::size_t>(j)] * g;
    }
    const double log_factor = modelled > 0.0 ? largest + std::log(found / modelled) : -std::numeric_limits<double>::infinity();
    fit.lse[i] = log_sum(sampled.exact_log_mass[i], log_factor + std::log(sums[i]));
    fit.row_factor[i] = std::exp(log_factor - fit.lse[i]);
  };
  parallel_for(context, (n + rows_at_once - 1) / rows_at_once, [&](Index item, int) {
    const Index first = item * rows_at_once;
    const Index count = std::min(rows_at_once, n - first);
    Matrix<T> scores(count, std::ssize(sampled.landmarks));
    column_scores<T>(head, first, sampled.landmarks, mutable_view(scores));
    for (Index x = 0; x < count; ++x) estimate(first + x, scores.data() + x * scores.cols());
  });
}

template <Real T>
std::vector<double> normalisers_of(const HeadView<T>& head, std::span<const Index> rows, const RunContext& context) {
  std::vector<double> lse(rows.size());
  Matrix<T> no_output(0, 0);
  exact_rows<T>(head, rows, mutable_view(no_output), lse, context);
  return lse;
}

}  // namespace

void require_valid(const SampleOptions& options) {
  if (options.rows < 1) throw InvalidArgument(fmt::format("rows is {}; it must be at least 1", options.rows));
  if (options.landmarks < 1) throw InvalidArgument(fmt::format("landmarks is {}; it must be at least 1", options.landmarks));
  const LagSmoothing& smoothing = options.smoothing;
  if (!(smoothing.entries_per_bin >= 0.0) || !(smoothing.bins_per_lag > 0.0) || !(smoothing.prior_entries >= 0.0)) {
    throw InvalidArgument("bins_per_lag must be above 0, entries_per_bin and prior_entries 0 or larger");
  }
}

WeightedRows stratified_rows(Index size, Index count) {
  count = std::min(count, size);
  WeightedRows rows;
  for (Index x = 0; x < count; ++x) {
    const Index first = x * size / count;
    const Index stratum = (x + 1) * size / count - first;
    rows.rows.push_back(first + static_cast<Index>(hash(static_cast<std::uint64_t>(x)) % static_cast<std::uint64_t>(stratum)));
    rows.weight.push_back(static_cast<double>(stratum));
  }
  return rows;
}

template <Real T>
SampledHead sample_head(const HeadView<T>& head, const StructuredOptions& options, const SampleOptions& sample,
                        const RunContext& context) {
  require_valid(head);
  require_valid(options, head.size());
  require_valid(sample);
  WeightedRows rows = stratified_rows(head.size(), sample.rows);
  rows.lse = normalisers_of<T>(head, rows.rows, context);
  Structure structure = choose_structure(head, rows, options, context);
  SampledHead sampled;
  sampled.sums = rest_sums(head, rows, structure.exact, std::move(structure.starts), context);
  sampled.lse = std::move(rows.lse);
  sampled.exact_log_mass = exact_entries_log_mass(head, sampled.sums.exact, context);
  choose_landmarks(sampled, sample.landmarks);
  return sampled;
}

template <Real T>
StructuredFit fit_sampled(const HeadView<T>& head, const SampledHead& sampled, const StructuredOptions& options,
                          const SampleOptions& sample, const RunContext& context) {
  StructuredFit fit = fit_rest(sampled.sums, options, sample.smoothing, context);
  fit.sampled = true;
  if (options.rest == RestKind::dropped) {
    fit.lse = sampled.exact_log_mass;
    for (double& lse : fit.lse) lse = std::isfinite(lse) ? lse : 0.0;  // of rows without exact entries, which stay 0
    return fit;
  }
  fit.lse.assign(static_cast<std::size_t>(head.size()), 0.0);
  estimate_rows(head, sampled, fit, context);
  for (std::size_t x = 0; x < sampled.sums.rows.size(); ++x)
    fit.lse[static_cast<std::size_t>(sampled.sums.rows[x])] = sampled.lse[x];
  set_row_factors(fit, sampled.sums, context);
  WeightedRows early;
  early.rows = early_rows(sampled);
  if (early.rows.empty()) return fit;
  early.weight.assign(early.rows.size(), 1.0);
  early.lse = normalisers_of<T>(head, early.rows, context);
  for (std::size_t x = 0; x < early.rows.size(); ++x) fit.lse[static_cast<std::size_t>(early.rows[x])] = early.lse[x];
  set_row_factors(fit, rest_sums(head, early, fit.exact, {}, context), context);
  return fit;
}

template <Real T>
StructuredFit fit_sampled(const HeadView<T>& head, const StructuredOptions& options, const SampleOptions& sample,
                          const RunContext& context) {
  return fit_sampled(head, sample_head(head, options, sample, context), options, sample, context);
}

template SampledHead sample_head(const HeadView<float>&, const StructuredOptions&, const SampleOptions&, const RunContext&);
template StructuredFit fit_sampled(const HeadView<float>&, const SampledHead&, const StructuredOptions&, const SampleOptions&,
                                   const RunContext&);
template StructuredFit fit_sampled(const HeadView<float>&, const StructuredOptions&, const SampleOptions&, const RunContext&);
template SampledHead sample_head(const HeadView<double>&, const StructuredOptions&, const SampleOptions&, const RunContext&);
template StructuredFit fit_sampled(const HeadView<double>&, const SampledHead&, const StructuredOptions&, const SampleOptions&,
                                   const RunContext&);
template StructuredFit fit_sampled(const HeadView<double>&, const StructuredOptions&, const SampleOptions&, const RunContext&);

}  // namespace convbasis
