#include "analysis/ladder.h"

#include "analysis/stopwatch.h"
#include "basis/structured_apply.h"
#include "basis/structured_scaling.h"
#include "basis/structured_sums.h"
#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

namespace convbasis {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

StructuredOptions structured(const LadderOptions& options) {
  return {.band = options.band, .columns = options.columns, .k = options.k, .rounds = options.rounds};
}

/// The relative error over those of the known rows that `counts` picks.
template <Real T, class Counts>
double error_over(const ExactPart<T>& exact, const Matrix<T>& output, const Counts& counts) {
  double difference = 0.0;
  double size = 0.0;
  for (std::size_t x = 0; x < exact.rows.size(); ++x) {
    if (!counts(exact.rows[x])) continue;
    const Eigen::RowVectorXd wanted = exact.output.row(static_cast<Index>(x)).template cast<double>();
    difference += (output.row(exact.rows[x]).template cast<double>() - wanted).squaredNorm();
    size += wanted.squaredNorm();
  }
  return difference == 0.0 ? 0.0 : std::sqrt(difference / size);
}

bool any_row(Index) { return true; }
bool odd_row(Index row) { return row % 2 == 1; }

/// One ladder in the making.
template <Real T>
class LadderMaker {
 public:
  LadderMaker(const HeadView<T>& head, const ExactPart<T>& exact, const LadderOptions& options, const RunContext& context)
      : head_(head), exact_(exact), options_(options), context_(context), quiet_(context), n_(head.size()) {
    quiet_.progress = {};  // of the parts
    ladder_.options = options;
    ladder_.n = n_;
  }

  Ladder make() {
    find_normalisers();
    Stopwatch watch;
    const ColumnSums columns = column_sums(head_, WeightedRows::every(lse_, 0, 1), options_.band, quiet_);
    columns_ = choose_columns<T>(columns, head_.value, options_.columns);
    std::vector<double> mass = columns.outside;
    for (const Index j : columns_) mass[static_cast<std::size_t>(j)] = 0.0;
    gather(options_.band, equal_mass_starts(mass, options_.k));
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
    for (const Index row : rows) lse_.push_back((*exact_.normalisers)[row]);
  }

  /// Sums over even rows, and over all.
  void gather(Index band, std::vector<Index> starts) {
    const ExactEntries exact{n_, band, columns_};
    if (!options_.heldout) {
      all_ = rest_sums(head_, WeightedRows::every(lse_, 0, 1), exact, std::move(starts), quiet_);
      return;
    }
    even_ = rest_sums(head_, WeightedRows::every(lse_, 0, 2), exact, starts, quiet_);
    all_ = joined(*even_, rest_sums(head_, WeightedRows::every(lse_, 1, 2), exact, std::move(starts), quiet_));
  }

  void add_rungs() {
    const auto lags = std::ssize(all_.starts);
    const RestSums flat = all_.without_segments();
    const std::optional<RestSums> even_flat = even_ ? std::optional(even_->without_segments()) : std::nullopt;
    RestSums no_band = flat;
    no_band.exact.band = 0;
    add(rung::columns, RestKind::dropped, no_band, {});
    add(rung::band, RestKind::dropped, flat, {});
    add(rung::rest_mass, RestKind::uniform, flat, {});
    add(rung::rank_one, RestKind::fitted, flat, even_flat);
    context_.report("ladder", 0.3);
    if (lags >= 1) {
      add(rung::one_lag_vector, RestKind::fitted, all_.with_one_segment(),
          even_ ? std::optional(even_->with_one_segment()) : std::nullopt);
    }
    context_.report("ladder", 0.5);
    if (options_.k > 1) add(rung::lag_vectors, RestKind::fitted, all_, even_);
    context_.report("ladder", 0.7);
    if (options_.yardsticks && lags >= 1) add_wider_band();
    context_.report("ladder", 1.0);
  }

  void add_wider_band() {
    const double spare = ladder_.rungs.back().cost - ladder_cost(n_, options_.band, options_.columns, 0, true);
    const Index wider = std::min(n_, options_.band + static_cast<Index>(std::lround(spare / 2.0)));
    Stopwatch watch;
    gather(wider, {});
    ladder_.fit_seconds += watch.lap();
    add(rung::wider_band, RestKind::fitted, all_, even_);
  }

  StructuredFit fitted(const RestSums& sums, RestKind kind) {
    StructuredOptions options = structured(options_);
    options.rest = kind;
    StructuredFit fit = fit_rest(sums, options, quiet_);
    fit.lse = lse_;
    const double rounding = 1e-9 * std::max(1.0, sums.mass());
    for (std::size_t step = 1; step < fit.objective.size(); ++step) {
      if (!(fit.objective[step] <= fit.objective[step - 1] + rounding)) ladder_.monotone = false;
    }
    return fit;
  }

  /// The output of a fit, and the seconds that it took.
  std::pair<Matrix<T>, double> applied(StructuredFit fit) const {
    Matrix<T> output(n_, head_.value_width());
    Stopwatch watch;
    const StructuredPlan<T> plan(std::make_shared<const StructuredFit>(std::move(fit)), head_.value_width(), {}, quiet_);
    plan.apply(head_, mutable_view(output), quiet_);
    return {std::move(output), watch.lap()};
  }

  void add(std::string_view key, RestKind kind, const RestSums& sums, const std::optional<RestSums>& even) {
    context_.check();
    Stopwatch watch;
    StructuredFit fit = fitted(sums, kind);
    ladder_.fit_seconds += watch.lap();
    LadderRung rung{.key = std::string(key), .band = sums.exact.band, .columns = options_.columns, .k = fit.k()};
    rung.cost = ladder_cost(n_, rung.band, rung.columns, rung.k, kind != RestKind::dropped);
    const auto [output, seconds] = applied(std::move(fit));
    rung.error = error_over(exact_, output, any_row);
    rung.seconds = seconds;
    // Without fitted columns or lags a row depends on itself alone.
    if (options_.heldout) rung.heldout_error = even ? heldout(*even, sums) : error_over(exact_, output, odd_row);
    ladder_.rungs.push_back(std::move(rung));
  }

  /// The error over odd rows of columns and lags fitted to even ones; odd rows keep their own mass.
  double heldout(const RestSums& even, const RestSums& all) {
    Stopwatch watch;
    StructuredFit fit = fitted(even, RestKind::fitted);
    set_row_factors(fit, all, quiet_);
    ladder_.fit_seconds += watch.lap();
    return error_over(exact_, applied(std::move(fit)).first, odd_row);
  }

  const HeadView<T>& head_;
  const ExactPart<T>& exact_;
  const LadderOptions& options_;
  const RunContext& context_;
  RunContext quiet_;
  Index n_;
  std::vector<double> lse_;
  std::vector<Index> columns_;
  RestSums all_;
  std::optional<RestSums> even_;
  Ladder ladder_;
};

}  // namespace

void require_valid(const LadderOptions& options, Index size) {
  require_valid(structured(options), size);
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
