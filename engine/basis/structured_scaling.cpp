#include "basis/structured_scaling.h"

#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace convbasis {
namespace {

using Numbers = Eigen::Map<Eigen::VectorXd>;
using ConstNumbers = Eigen::Map<const Eigen::VectorXd>;

constexpr Index columns_at_once = 512;  // so that what a step works on stays in the nearest cache
constexpr Index lags_at_once = 1024;
constexpr Index rows_at_once = 64;

/// What makes the sum of the model's entries, `factor` of each times `sum` without it, equal to `wanted`.
double proportional(double wanted, double sum) { return wanted == 0.0 || sum == 0.0 ? 0.0 : wanted / sum; }

/// Factors whose `sum` is 0, about which nothing is known, take the value of the last one known before, or of the first one
/// known, or 1.
void fill_gaps(std::vector<double>& factor, const std::vector<double>& sum) {
  const auto first = std::ranges::find_if(sum, [](double total) { return total != 0.0; });
  double last = first == sum.end() ? 1.0 : factor[static_cast<std::size_t>(first - sum.begin())];
  for (std::size_t x = 0; x < factor.size(); ++x) {
    if (sum[x] == 0.0) factor[x] = last;
    last = factor[x];
  }
}

/// sum wanted log factor.
double weighted_logs(const std::vector<double>& wanted, const std::vector<double>& factor) {
  double total = 0.0;
  for (std::size_t x = 0; x < wanted.size(); ++x) {
    if (wanted[x] != 0.0 && factor[x] != 0.0) total += wanted[x] * std::log(factor[x]);
  }
  return total;
}

/// The factors during a fit. Lag vectors are kept reversed, lag t at n - 1 - t, so that along a row they ascend with the columns.
class Factors {
 public:
  Factors(const RestSums& sums, const RunContext& context)
      : sums_(sums),
        context_(context),
        n_(sums.size()),
        band_(sums.exact.band),
        a_(sums.rows.size()),
        b_(static_cast<std::size_t>(n_), 1.0),
        column_sum_(static_cast<std::size_t>(n_)) {
    for (const Index j : sums.exact.columns) b_[static_cast<std::size_t>(j)] = 0.0;
    for (std::size_t r = 0; r < sums.starts.size(); ++r) {
      const auto length = static_cast<std::size_t>(n_ - start(r));
      reversed_.emplace_back(static_cast<std::size_t>(n_), 0.0);
      std::fill(reversed_[r].begin(), reversed_[r].end() - std::min(band_, n_), 1.0);
      lag_sum_.emplace_back(length, 0.0);
      for (Index first = start(r); first < end(r); first += columns_at_once) {
        pieces_.push_back({r, first, std::min(end(r), first + columns_at_once)});
      }
      for (Index first = band_; first < n_ - start(r); first += lags_at_once) {
        lag_blocks_.push_back({r, first, std::min(n_ - start(r), first + lags_at_once)});
      }
    }
  }

  /// From now on lag vectors are smooth.
  void smooth(const LagSmoothing& smoothing) {
    prior_ = smoothing.prior_entries;
    for (Index t = band_; t < n_;) {
      bins_.push_back(t);
      const auto seen = static_cast<double>(a_.size() - first_row(t));  // rows with an entry at this lag, in some segment
      const double enough = seen == 0.0 ? static_cast<double>(n_)
                                        : std::ceil(smoothing.entries_per_bin * static_cast<double>(reversed_.size()) / seen);
      const double most = std::max(1.0, static_cast<double>(t) / smoothing.bins_per_lag);
      t += static_cast<Index>(std::clamp(enough, 1.0, most));
    }
    bins_.push_back(n_);
    count_entries();
  }

  /// Takes the factors that were fitted, in place of 1.
  void take(const StructuredFit& fit) {
    b_ = fit.column_factor;
    for (std::size_t r = 0; r < reversed_.size(); ++r) {
      const auto lags = fit.lags.lag_vector(static_cast<Index>(r));
      std::ranges::copy(lags, reversed_[r].rbegin());
    }
  }

  bool has_lags() const { return !reversed_.empty(); }

  void fit_rows() {
    std::vector<double> row_sum(a_.size());
    if (has_lags()) {
      parallel_for(context_, (std::ssize(a_) + rows_at_once - 1) / rows_at_once, [&](Index item, int) {
        const auto first = static_cast<std::size_t>(item * rows_at_once);
        const std::size_t last = std::min(a_.size(), first + static_cast<std::size_t>(rows_at_once));
        for (std::size_t x = first; x < last; ++x) row_sum[x] = sum_of_row(sums_.rows[x]);
      });
    } else {
      double before = 0.0;
      Index j = 0;
      for (std::size_t x = 0; x < a_.size(); ++x) {
        for (; j <= sums_.rows[x] - band_; ++j) before += b_[static_cast<std::size_t>(j)];
        row_sum[x] = before;
      }
    }
    model_sum_ = 0.0;
    for (std::size_t x = 0; x < a_.size(); ++x) {
      a_[x] = proportional(sums_.row[x], row_sum[x]);
      model_sum_ += sums_.weight[x] * a_[x] * row_sum[x];
    }
    row_logs_ = 0.0;
    for (std::size_t x = 0; x < a_.size(); ++x) {
      if (a_[x] != 0.0 && sums_.row[x] != 0.0) row_logs_ += sums_.weight[x] * sums_.row[x] * std::log(a_[x]);
    }
  }

  void fit_columns() {
    std::ranges::fill(column_sum_, 0.0);
    if (has_lags()) {
      parallel_for(context_, std::ssize(pieces_), [&](Index item, int) { sum_columns(pieces_[static_cast<std::size_t>(item)]); });
    } else {
      double after = 0.0;
      auto x = std::ssize(a_) - 1;
      for (Index j = n_ - 1; j >= 0; --j) {
        for (; x >= 0 && sums_.rows[static_cast<std::size_t>(x)] >= j + band_; --x)
          after += weighted(static_cast<std::size_t>(x));
        column_sum_[static_cast<std::size_t>(j)] = after;
      }
    }
    for (const Index j : sums_.exact.columns) column_sum_[static_cast<std::size_t>(j)] = 0.0;
    model_sum_ = 0.0;
    for (std::size_t j = 0; j < b_.size(); ++j) {
      b_[j] = proportional(sums_.column[j], column_sum_[j]);
      model_sum_ += b_[j] * column_sum_[j];
    }
    column_logs_ = weighted_logs(sums_.column, b_);
  }

  void fit_lags() {
    parallel_for(context_, std::ssize(lag_blocks_),
                 [&](Index item, int) { sum_lags(lag_blocks_[static_cast<std::size_t>(item)]); });
    bins_.empty() ? set_lags() : set_smooth_lags();
    model_sum_ = 0.0;
    lag_logs_ = 0.0;
    for (std::size_t r = 0; r < reversed_.size(); ++r) {
      const std::vector<double>& wanted = sums_.diagonal[r];
      for (std::size_t t = static_cast<std::size_t>(band_); t < wanted.size(); ++t) {
        const double factor = reversed_[r][static_cast<std::size_t>(n_) - 1 - t];
        model_sum_ += factor * lag_sum_[r][t];
        if (factor != 0.0 && wanted[t] != 0.0) lag_logs_ += wanted[t] * std::log(factor);
      }
    }
  }

  /// After a step: sum M log(M / A) - M + A.
  double objective(double mass) const { return sums_.log_sum - row_logs_ - column_logs_ - lag_logs_ - mass + model_sum_; }

  /// Factors that nothing is known about. A column takes that of the last one before. A lag takes the mean over all segments, at
  /// the level of its own segment; where no segment knows it, the lag before, and the first lag known where none is before.
  void fill_unseen() {
    fill_gaps(b_, column_sum_);
    for (const Index j : sums_.exact.columns) b_[static_cast<std::size_t>(j)] = 0.0;
    if (!has_lags() || !bins_.empty() || !misses_lags()) return;
    const std::vector<double> mean = mean_lags();
    for (std::size_t r = 0; r < reversed_.size(); ++r) {
      double wanted = 0.0;
      double expected = 0.0;
      for (std::size_t t = static_cast<std::size_t>(band_); t < lag_sum_[r].size(); ++t) {
        wanted += sums_.diagonal[r][t];
        expected += lag_sum_[r][t] * mean[t];
      }
      const double level = expected == 0.0 ? 1.0 : wanted / expected;
      for (std::size_t t = static_cast<std::size_t>(band_); t < lag_sum_[r].size(); ++t) {
        if (lag_sum_[r][t] == 0.0) reversed_[r][static_cast<std::size_t>(n_) - 1 - t] = level * mean[t];
      }
    }
  }

  /// The largest entry of each lag vector and of b becomes 1; what they lose goes to a.
  void write(StructuredFit& fit) {
    std::vector<std::vector<double>> lags;
    for (std::size_t r = 0; r < reversed_.size(); ++r) {
      const auto length = n_ - start(r);
      Numbers g(reversed_[r].data() + (n_ - length), length);
      const double largest = g.maxCoeff();
      if (largest > 0.0) {
        g /= largest;
        Numbers(b_.data() + start(r), end(r) - start(r)) *= largest;
      }
      lags.emplace_back(reversed_[r].rbegin(), reversed_[r].rbegin() + length);
    }
    const double largest = *std::ranges::max_element(b_);
    if (largest > 0.0) {
      for (double& b : b_) b /= largest;
      for (double& a : a_) a *= largest;
    }
    fit.column_factor = b_;
    fit.lags = ConvBasis<double>(n_, std::vector<Index>(sums_.starts), std::move(lags));
    write_rows(fit);
  }

  void write_rows(StructuredFit& fit) const {
    for (std::size_t x = 0; x < a_.size(); ++x) fit.row_factor[static_cast<std::size_t>(sums_.rows[x])] = a_[x];
  }

 private:
  /// Columns of one segment, or lags of it: [first, last).
  struct Piece {
    std::size_t segment;
    Index first, last;
  };

  void set_lags() {
    for (std::size_t r = 0; r < reversed_.size(); ++r) {
      for (std::size_t t = static_cast<std::size_t>(band_); t < lag_sum_[r].size(); ++t) {
        reversed_[r][static_cast<std::size_t>(n_) - 1 - t] = proportional(sums_.diagonal[r][t], lag_sum_[r][t]);
      }
    }
  }

  /// How many entries of each bin and segment the rows have.
  void count_entries() {
    for (std::size_t r = 0; r < reversed_.size(); ++r) {
      std::vector<double> change(static_cast<std::size_t>(n_) + 1, 0.0);  // of the number of entries from one lag to the next
      for (const Index row : sums_.rows) {
        const Index first = std::max<Index>(0, row - end(r) + 1);
        if (row < start(r)) continue;
        change[static_cast<std::size_t>(first)] += 1.0;
        change[static_cast<std::size_t>(row - start(r) + 1)] -= 1.0;
      }
      for (std::size_t t = 1; t < change.size(); ++t) change[t] += change[t - 1];
      entries_.push_back(binned(change));
    }
  }

  /// Sums over each bin.
  std::vector<double> binned(const std::vector<double>& lags) const {
    std::vector<double> sums(bins_.size() - 1, 0.0);
    for (std::size_t bin = 0; bin < sums.size(); ++bin) {
      const auto last = std::min(static_cast<std::size_t>(bins_[bin + 1]), lags.size());
      for (auto t = static_cast<std::size_t>(bins_[bin]); t < last; ++t) sums[bin] += lags[t];
    }
    return sums;
  }

  void set_smooth_lags() {
    std::vector<std::vector<double>> wanted, sum;
    std::vector<double> all_wanted(bins_.size() - 1, 0.0), all_sum(bins_.size() - 1, 0.0);
    for (std::size_t r = 0; r < reversed_.size(); ++r) {
      wanted.push_back(binned(sums_.diagonal[r]));
      sum.push_back(binned(lag_sum_[r]));
      for (std::size_t bin = 0; bin < all_sum.size(); ++bin) {
        all_wanted[bin] += wanted[r][bin];
        all_sum[bin] += sum[r][bin];
      }
    }
    std::vector<double> mean(all_sum.size());
    for (std::size_t bin = 0; bin < mean.size(); ++bin) mean[bin] = proportional(all_wanted[bin], all_sum[bin]);
    fill_gaps(mean, all_sum);
    for (std::size_t r = 0; r < reversed_.size(); ++r) {
      double expected = 0.0;
      double found = 0.0;
      for (std::size_t bin = 0; bin < mean.size(); ++bin) {
        expected += sum[r][bin] * mean[bin];
        found += wanted[r][bin];
      }
      const double level = expected == 0.0 ? 1.0 : found / expected;
      for (std::size_t bin = 0; bin < mean.size(); ++bin) {
        const double own = sum[r][bin] == 0.0 ? 0.0 : entries_[r][bin];
        const double total = own + prior_;
        const double factor = total > 0.0 ? (own * proportional(wanted[r][bin], sum[r][bin]) + prior_ * level * mean[bin]) / total
                                          : level * mean[bin];
        const Index last = std::min(bins_[bin + 1], n_ - start(r));
        for (Index t = bins_[bin]; t < last; ++t) reversed_[r][static_cast<std::size_t>(n_ - 1 - t)] = factor;
      }
    }
  }

  bool misses_lags() const {
    return std::ranges::any_of(lag_sum_, [this](const std::vector<double>& sums) {
      return std::any_of(sums.begin() + std::min(band_, std::ssize(sums)), sums.end(), [](double sum) { return sum == 0.0; });
    });
  }

  /// One lag vector for all segments, with a and b as they are.
  std::vector<double> mean_lags() const {
    std::vector<double> mean(static_cast<std::size_t>(n_), 0.0);
    std::vector<double> sum(mean.size(), 0.0);
    for (std::size_t r = 0; r < reversed_.size(); ++r) {
      for (std::size_t t = 0; t < lag_sum_[r].size(); ++t) {
        mean[t] += sums_.diagonal[r][t];
        sum[t] += lag_sum_[r][t];
      }
    }
    for (std::size_t t = 0; t < mean.size(); ++t) mean[t] = proportional(mean[t], sum[t]);
    fill_gaps(mean, sum);
    return mean;
  }

  Index start(std::size_t r) const { return sums_.starts[r]; }
  Index end(std::size_t r) const { return r + 1 < sums_.starts.size() ? sums_.starts[r + 1] : n_; }
  double weighted(std::size_t x) const { return sums_.weight[x] * a_[x]; }
  /// The first of the rows that has an entry of the rest in column j, as a place among them.
  std::size_t first_row(Index lowest) const {
    return static_cast<std::size_t>(std::ranges::lower_bound(sums_.rows, lowest) - sums_.rows.begin());
  }
  /// g_r[i - j] for columns j from `column` on.
  const double* along_row(std::size_t r, Index row, Index column) const { return reversed_[r].data() + (n_ - 1 - row + column); }

  double sum_of_row(Index row) const {
    double sum = 0.0;
    for (std::size_t r = 0; r < reversed_.size() && start(r) <= row - band_; ++r) {
      const Index count = std::min(end(r), row - band_ + 1) - start(r);
      sum += ConstNumbers(b_.data() + start(r), count).dot(ConstNumbers(along_row(r, row, start(r)), count));
    }
    return sum;
  }

  void sum_columns(const Piece& piece) {
    double* target = column_sum_.data() + piece.first;
    for (std::size_t x = first_row(piece.first + band_); x < a_.size(); ++x) {
      if (x % 256 == 0) context_.check();
      const Index row = sums_.rows[x];
      const Index count = std::min(piece.last, row - band_ + 1) - piece.first;
      Numbers(target, count) += weighted(x) * ConstNumbers(along_row(piece.segment, row, piece.first), count);
    }
  }

  void sum_lags(const Piece& piece) {
    std::vector<double> sums(static_cast<std::size_t>(piece.last - piece.first), 0.0);  // reversed, as the lag vectors
    const std::size_t r = piece.segment;
    for (std::size_t x = first_row(start(r) + piece.first); x < a_.size(); ++x) {
      if (x % 256 == 0) context_.check();
      const Index row = sums_.rows[x];
      const Index first = std::max(start(r), row - piece.last + 1);
      const Index count = std::min(end(r), row - piece.first + 1) - first;
      if (count <= 0) break;  // later rows are further below the segment still
      Numbers(sums.data() + (piece.last - 1 - row + first), count) += weighted(x) * ConstNumbers(b_.data() + first, count);
    }
    std::ranges::copy(sums, lag_sum_[r].rend() - piece.last);
  }

  const RestSums& sums_;
  const RunContext& context_;
  Index n_, band_;
  std::vector<double> a_, b_;
  std::vector<std::vector<double>> reversed_;
  std::vector<double> column_sum_;            // of the model, without b
  std::vector<std::vector<double>> lag_sum_;  // of the model, without g
  std::vector<Piece> pieces_, lag_blocks_;
  std::vector<Index> bins_;                   // of lags: first ones, and the end; empty: every lag for itself
  std::vector<std::vector<double>> entries_;  // of each bin and segment
  double prior_ = 0.0;
  double row_logs_ = 0.0, column_logs_ = 0.0, lag_logs_ = 0.0;  // sum M log of the factors
  double model_sum_ = 0.0;                                      // sum A
};

/// Rounds of all steps until the objective hardly falls.
void run_rounds(Factors& factors, StructuredFit& fit, double mass, const StructuredOptions& options, const RunContext& context) {
  const auto note = [&] { fit.objective.push_back(factors.objective(mass)); };
  while (fit.rounds < options.rounds) {
    context.check();
    const double before = fit.objective.back();
    // Columns before lags: on every other row a column meets lags of one parity alone, so that the level of a column could as
    // well go into those lags, and be wrong on the rows between.
    factors.fit_columns();
    note();
    if (factors.has_lags()) {
      factors.fit_lags();
      note();
    }
    factors.fit_rows();
    note();
    ++fit.rounds;
    if (before - fit.objective.back() <= options.tolerance * mass) return;
  }
}

}  // namespace

namespace {

StructuredFit fit_rest(const RestSums& sums, const StructuredOptions& options, const LagSmoothing* smoothing,
                       const RunContext& context) {
  const auto n = static_cast<std::size_t>(sums.size());
  StructuredFit fit{.exact = sums.exact, .row_factor = std::vector<double>(n), .column_factor = std::vector<double>(n)};
  fit.lags = ConvBasis<double>(sums.size());
  if (options.rest == RestKind::dropped) return fit;
  const bool fitted = options.rest == RestKind::fitted;
  const RestSums flat = fitted ? RestSums{} : sums.without_segments();
  Factors factors(fitted ? sums : flat, context);
  if (smoothing && factors.has_lags()) factors.smooth(*smoothing);
  const double mass = sums.mass();
  factors.fit_rows();
  fit.objective.push_back(factors.objective(mass));
  if (fitted) {
    run_rounds(factors, fit, mass, options, context);
    factors.fill_unseen();
  }
  factors.write(fit);
  return fit;
}

}  // namespace

StructuredFit fit_rest(const RestSums& sums, const StructuredOptions& options, const RunContext& context) {
  return fit_rest(sums, options, nullptr, context);
}

StructuredFit fit_rest(const RestSums& sums, const StructuredOptions& options, const LagSmoothing& smoothing,
                       const RunContext& context) {
  return fit_rest(sums, options, &smoothing, context);
}

void set_row_factors(StructuredFit& fit, const RestSums& sums, const RunContext& context) {
  RestSums shape = sums.without_segments();
  shape.starts.assign(fit.lags.starts().begin(), fit.lags.starts().end());
  Factors factors(shape, context);
  factors.take(fit);
  factors.fit_rows();
  factors.write_rows(fit);
}

}  // namespace convbasis
