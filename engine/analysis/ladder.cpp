#include "analysis/ladder.h"

#include "analysis/error_report.h"
#include "analysis/yardsticks.h"
#include "basis/structured.h"
#include "basis/structured_apply.h"
#include "basis/structured_sampled.h"
#include "core/errors.h"
#include "core/stopwatch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

namespace convbasis {
namespace {

StructuredOptions structured(const LadderOptions& options) {
  return {.band = options.band,
          .columns = options.columns,
          .k = options.k,
          .column_rule = options.column_rule,
          .rounds = options.rounds};
}

HeadSums changed(const HeadSums& sums, RestSums (RestSums::*change)() const) {
  return {(sums.all.*change)(), sums.even ? std::optional(((*sums.even).*change)()) : std::nullopt};
}

/// One ladder in the making.
template <Real T>
class LadderMaker {
 public:
  LadderMaker(const HeadView<T>& head, const ExactPart<T>& exact, const LadderOptions& options, const RunContext& context)
      : head_(head), exact_(exact), options_(options), context_(context), quiet_(context), n_(head.size()) {
    quiet_.progress = {};  // of the parts
    if (options.sample_rows > 0) sample_ = SampleOptions{.rows = options.sample_rows};
    if (options.sample_rows == 0 && n_ > full_fit_limit) sample_ = SampleOptions{};
    ladder_.options = options;
    ladder_.n = n_;
  }

  Ladder make() {
    Stopwatch watch;
    if (sample_) {
      sampled_ = sample_head(head_, structured(options_), *sample_, quiet_);
      sums_.all = sampled_.sums;
      structure_ = {sums_.all.exact, sums_.all.starts};
    } else {
      find_normalisers();
      watch.lap();
      structure_ = choose_structure(head_, WeightedRows::every(lse_, 0, 1), structured(options_), quiet_);
      sums_ = gather_sums(head_, std::span<const double>(lse_), structure_, options_.heldout, quiet_);
    }
    ladder_.fit_seconds += watch.lap();
    context_.report("ladder", 0.2);
    add_rungs();
    return std::move(ladder_);
  }

 private:
  void find_normalisers() {
    std::vector<Index> rows(static_cast<std::size_t>(n_));
    std::iota(rows.begin(), rows.end(), Index{0});
    exact_.normalisers->require(head_, rows, quiet_);
    lse_ = exact_.normalisers->all();
  }

  void add_rungs() {
    const bool has_lags = !structure_.starts.empty();
    const HeadSums flat = changed(sums_, &RestSums::without_segments);
    HeadSums no_band = flat;
    no_band.all.exact.band = 0;
    add(rung::columns, RestKind::dropped, no_band);
    add(rung::band, RestKind::dropped, flat);
    add(rung::rest_mass, RestKind::uniform, flat);
    add(rung::rank_one, RestKind::fitted, flat);
    context_.report("ladder", 0.3);
    if (has_lags) add(rung::one_lag_vector, RestKind::fitted, changed(sums_, &RestSums::with_one_segment));
    context_.report("ladder", 0.5);
    if (options_.k > 1) add(rung::lag_vectors, RestKind::fitted, sums_);
    context_.report("ladder", 0.7);
    if (options_.yardsticks) add_yardsticks(has_lags);
    context_.report("ladder", 1.0);
  }

  void add_yardsticks(bool has_lags) {
    const LadderRung top = ladder_.rungs.back();
    const ExactEntries& exact = structure_.exact;
    const double spare = top.cost - ladder_cost(n_, options_.band, options_.columns, 0, false);
    const auto bought = [](double cost) { return std::max<Index>(1, std::lround(cost / 2.0)); };  // a band's lag, a rank: 2 each
    if (has_lags) add_wider_band(std::min(n_, options_.band + bought(spare - 2.0)));
    context_.report("ladder", 0.8);
    if (n_ > yardstick_limit) return;
    if (sample_) find_normalisers();
    const Matrix<T> probability = dense_probabilities(head_, std::span<const double>(lse_), quiet_);
    add_nonnegative(probability, exact, std::min(n_, options_.rank > 0 ? options_.rank : bought(spare)));
    context_.report("ladder", 0.9);
    add_svd(probability, std::min(n_, bought(top.cost)));
  }

  void add_wider_band(Index wider) {
    Stopwatch watch;
    HeadSums sums;
    if (sample_) {
      StructuredOptions options = structured(options_);
      options.band = wider;
      options.k = 0;
      sampled_ = sample_head(head_, options, *sample_, quiet_);
      sums.all = sampled_.sums;
    } else {
      const Structure structure{{n_, wider, structure_.exact.columns}, {}};
      sums = gather_sums(head_, std::span<const double>(lse_), structure, options_.heldout, quiet_);
    }
    ladder_.fit_seconds += watch.lap();
    add(rung::wider_band, RestKind::fitted, sums);
  }

  void add_nonnegative(const Matrix<T>& probability, const ExactEntries& exact, Index rank) {
    Stopwatch watch;
    const MatrixFactors<T> factors = nonnegative_factors(probability, exact, rank, options_.rank_iterations, quiet_);
    ladder_.fit_seconds += watch.lap();
    Matrix<T> output(n_, head_.value_width());
    exact_entries_product<T>(head_, exact, lse_, mutable_view(output), quiet_);
    add_factored_rest<T>(factors, exact, head_.value, mutable_view(output), quiet_);
    LadderRung rung{.key = std::string(rung::nonnegative_rank), .band = exact.band, .columns = options_.columns, .rank = rank};
    rung.cost = ladder_cost(n_, exact.band, options_.columns, 0, false) + 2.0 * static_cast<double>(rank);
    rung.seconds = watch.lap();
    rung.error = known_row_error(exact_, output);
    ladder_.rungs.push_back(std::move(rung));
  }

  void add_svd(const Matrix<T>& probability, Index rank) {
    Stopwatch watch;
    const MatrixFactors<T> factors = truncated_svd(probability, rank, quiet_);
    ladder_.fit_seconds += watch.lap();
    const Matrix<T> output = factored_product<T>(factors, head_.value, quiet_);
    LadderRung rung{.key = std::string(rung::truncated_svd), .rank = rank};
    rung.cost = 2.0 * static_cast<double>(rank);
    rung.seconds = watch.lap();
    rung.error = known_row_error(exact_, output);
    ladder_.rungs.push_back(std::move(rung));
  }

  StructuredFit fitted(const RestSums& sums, const StructuredOptions& options) {
    if (!sample_) return fit_structured(head_, std::span<const double>(lse_), sums, options, quiet_);
    SampledHead sampled = sampled_;
    if (sums.exact.band != sampled.sums.exact.band) {
      sampled.exact_log_mass = exact_entries_log_mass(head_, sums.exact, quiet_);
    }
    sampled.sums = sums;
    return fit_sampled(head_, sampled, options, *sample_, quiet_);
  }

  void check_steps(const StructuredFit& fit, double mass) {
    const double rounding = 1e-9 * std::max(1.0, mass);
    for (std::size_t step = 1; step < fit.objective.size(); ++step) {
      if (!(fit.objective[step] <= fit.objective[step - 1] + rounding)) ladder_.monotone = false;
    }
  }

  /// The output of a fit, and the seconds that it took.
  std::pair<Matrix<T>, double> applied(StructuredFit fit) const {
    Stopwatch watch;
    Matrix<T> output = fit_output(head_, std::make_shared<const StructuredFit>(std::move(fit)), quiet_).first;
    return {std::move(output), watch.lap()};
  }

  void add(std::string_view key, RestKind kind, const HeadSums& sums) {
    context_.check();
    StructuredOptions options = structured(options_);
    options.rest = kind;
    Stopwatch watch;
    StructuredFit fit = fitted(sums.all, options);
    ladder_.fit_seconds += watch.lap();
    if (!sample_) check_steps(fit, sums.all.mass());
    LadderRung rung{.key = std::string(key), .band = fit.exact.band, .columns = options_.columns, .k = fit.k()};
    rung.cost = ladder_cost(n_, rung.band, rung.columns, rung.k, kind != RestKind::dropped);
    const auto [output, seconds] = applied(std::move(fit));
    rung.error = known_row_error(exact_, output);
    rung.seconds = seconds;
    if (sums.even) {
      // Without fitted columns or lags a row depends on itself alone.
      rung.heldout_error = kind == RestKind::fitted ? heldout(sums, options) : odd_row_error(exact_, output);
    }
    ladder_.rungs.push_back(std::move(rung));
  }

  double heldout(const HeadSums& sums, const StructuredOptions& options) {
    Stopwatch watch;
    StructuredFit fit = fit_heldout(head_, std::span<const double>(lse_), sums, options, quiet_);
    ladder_.fit_seconds += watch.lap();
    return odd_row_error(exact_, applied(std::move(fit)).first);
  }

  const HeadView<T>& head_;
  const ExactPart<T>& exact_;
  const LadderOptions& options_;
  const RunContext& context_;
  RunContext quiet_;
  Index n_;
  std::vector<double> lse_;  // of all rows; unknown while a sample does
  Structure structure_;
  HeadSums sums_;
  std::optional<SampleOptions> sample_;
  SampledHead sampled_;
  Ladder ladder_;
};

}  // namespace

void require_valid(const LadderOptions& options, Index size) {
  require_valid(structured(options), size);
  if (options.sample_rows < 0) {
    throw InvalidArgument(fmt::format("sample_rows is {}; it must be at least 0", options.sample_rows));
  }
  if (options.rank < 0) throw InvalidArgument(fmt::format("rank is {}; it must be at least 0", options.rank));
  if (options.rank_iterations < 1) {
    throw InvalidArgument(fmt::format("rank_iterations is {}; it must be at least 1", options.rank_iterations));
  }
}

const LadderRung* Ladder::find(std::string_view key) const {
  const auto place = std::ranges::find(rungs, key, &LadderRung::key);
  return place == rungs.end() ? nullptr : &*place;
}

double ladder_cost(Index n, Index band, Index columns, Index k, bool has_rest) {
  const double exact = 2.0 * static_cast<double>(band + columns);
  if (!has_rest) return exact;
  if (k == 0) return exact + 2.0;
  const auto vectors = static_cast<double>(k);
  return exact + 5.0 * std::log2(2.0 * static_cast<double>(n) / vectors) + 2.0 * vectors;
}

template <Real T>
Ladder make_ladder(const HeadView<T>& head, const ExactPart<T>& exact, const LadderOptions& options, const RunContext& context) {
  require_valid(head);
  require_valid(options, head.size());
  if (!exact.normalisers || exact.normalisers->size() != head.size() || exact.output.rows() != std::ssize(exact.rows) ||
      exact.output.cols() != head.value_width()) {
    throw InvalidArgument(fmt::format("the exact part is not of this head of {} tokens", head.size()));
  }
  return LadderMaker<T>(head, exact, options, context).make();
}

template Ladder make_ladder(const HeadView<float>&, const ExactPart<float>&, const LadderOptions&, const RunContext&);
template Ladder make_ladder(const HeadView<double>&, const ExactPart<double>&, const LadderOptions&, const RunContext&);

}  // namespace convbasis
