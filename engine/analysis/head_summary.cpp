#include "analysis/head_summary.h"

#include "attention/exact_attention.h"
#include "attention/kernels.h"
#include "basis/apply.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <span>

namespace convbasis {
namespace {

constexpr double nothing = std::numeric_limits<double>::quiet_NaN();
constexpr Index block_rows = 64;
constexpr Index block_columns = 256;

/// What the rows of exact attention say, each in its own place, so that threads do not share sums.
struct RowFigures {
  explicit RowFigures(Index n)
      : entropy(static_cast<std::size_t>(n)), sink(static_cast<std::size_t>(n)), band(static_cast<std::size_t>(n)) {}
  std::vector<double> entropy;  ///< in nats
  std::vector<double> sink, band;
};

/// The mean of values[first], values[first + 1], ...; NaN when there are none.
double mean_from(std::span<const double> values, Index first) {
  if (first >= static_cast<Index>(values.size())) return nothing;
  const auto part = values.subspan(static_cast<std::size_t>(first));
  return std::accumulate(part.begin(), part.end(), 0.0) / static_cast<double>(part.size());
}

/// Adds up the cells of one block of probabilities. Pixel rows and columns are those of a side x side picture of n x n cells.
template <Real T>
class BlockReader {
 public:
  BlockReader(const HeadView<T>& head, std::span<const double> lse, const HeadSummaryOptions& options, RowFigures& figures)
      : head_(head), lse_(lse), options_(options), figures_(figures), side_(std::min(thumbnail_side, head.size())) {
    sums_.assign(static_cast<std::size_t>(side_), 0.0);
  }

  /// All cells of rows [first, end), which make up one row of pixels.
  void read_rows(Index first, Index end, const RunContext& context) {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    for (Index row = first; row < end; row += block_rows) {
      const Index count = std::min(block_rows, end - row);
      for (Index column = 0; column < row + count; column += block_columns) {
        context.check();
        read_block(row, count, column, std::min(block_columns, row + count - column));
      }
    }
  }

  /// The pixels of the rows that were read last, `side` of them.
  void write_pixels(Index first, Index end, std::span<float> pixels) const {
    for (Index b = 0; b < side_; ++b) {
      const Index left = b * head_.size() / side_;
      const Index right = (b + 1) * head_.size() / side_;
      Index cells = 0;
      for (Index i = first; i < end; ++i) cells += std::clamp<Index>(i + 1 - left, 0, right - left);
      const auto pixel = static_cast<std::size_t>(b);
      pixels[pixel] =
          cells == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(sums_[pixel] / static_cast<double>(cells));
    }
  }

 private:
  void read_block(Index row, Index count, Index column, Index columns) {
    scores_.resize(count, columns);
    probabilities_.resize(columns);
    score_tile<T>(head_, row, column, mutable_view(scores_));
    for (Index a = 0; a < count; ++a) {
      const Index causal = std::min(columns, row + a - column + 1);
      if (causal > 0) read_row(row + a, column, {scores_.data() + a * columns, static_cast<std::size_t>(causal)});
    }
  }

  void read_row(Index row, Index column, std::span<const T> scores) {
    const auto place = static_cast<std::size_t>(row);
    const auto count = static_cast<Index>(scores.size());
    kernels::exp_shifted<T>(scores.data(), count, static_cast<T>(lse_[place]), probabilities_.data());
    double entropy = 0.0;
    for (Index x = 0; x < count; ++x) {
      // The terms -P log P are never negative but for rounding, so nothing cancels as it would in lse - sum P S.
      const double log_probability = static_cast<double>(scores[static_cast<std::size_t>(x)]) - lse_[place];
      entropy -= static_cast<double>(probabilities_[x]) * log_probability;
    }
    figures_.entropy[place] += entropy;
    figures_.sink[place] += sum(0, std::min(count, options_.sink - column));
    figures_.band[place] += sum(std::max<Index>(0, row - options_.band + 1 - column), count);
    const Index n = head_.size();
    for (Index x = 0; x < count;) {
      // The pixel b with b n / side <= column + x < (b + 1) n / side, both ends rounded down.
      const Index b = ((column + x + 1) * side_ - 1) / n;
      const Index end = std::min(count, (b + 1) * n / side_ - column);
      sums_[static_cast<std::size_t>(b)] += sum(x, end);
      x = end;
    }
  }

  double sum(Index first, Index end) const {
    double total = 0.0;
    for (Index x = first; x < end; ++x) total += static_cast<double>(probabilities_[x]);
    return total;
  }

  const HeadView<T>& head_;
  std::span<const double> lse_;
  const HeadSummaryOptions& options_;
  RowFigures& figures_;
  Index side_;
  std::vector<double> sums_;
  Matrix<T> scores_;
  RowVector<T> probabilities_;
};

/// A picture of fewer cells than pixels, each cell spread over its pixels.
std::vector<float> magnified(const std::vector<float>& cells, Index side) {
  std::vector<float> pixels(static_cast<std::size_t>(thumbnail_side * thumbnail_side));
  for (Index a = 0; a < thumbnail_side; ++a) {
    for (Index b = 0; b < thumbnail_side; ++b) {
      const Index cell = a * side / thumbnail_side * side + b * side / thumbnail_side;
      pixels[static_cast<std::size_t>(a * thumbnail_side + b)] = cells[static_cast<std::size_t>(cell)];
    }
  }
  return pixels;
}

/// Entropy, masses and picture, from one pass over the probabilities.
template <Real T>
void look_at_rows(const HeadView<T>& head, std::span<const double> lse, HeadSummary& summary, const RunContext& context) {
  const Index n = head.size();
  const Index side = std::min(thumbnail_side, n);
  RowFigures figures(n);
  std::vector<float> cells(static_cast<std::size_t>(side * side));
  std::vector<std::unique_ptr<BlockReader<T>>> readers(static_cast<std::size_t>(thread_count(context)));
  parallel_for(context, side, [&](Index item, int worker) {
    auto& reader = readers[static_cast<std::size_t>(worker)];
    if (!reader) reader = std::make_unique<BlockReader<T>>(head, lse, summary.options, figures);
    const Index a = side - 1 - item;  // the last rows have the most cells
    const Index first = a * n / side;
    const Index end = (a + 1) * n / side;
    reader->read_rows(first, end, context);
    const auto pixels = std::span(cells).subspan(static_cast<std::size_t>(a * side), static_cast<std::size_t>(side));
    reader->write_pixels(first, end, pixels);
  });
  summary.thumbnail = side == thumbnail_side ? std::move(cells) : magnified(cells, side);
  std::vector<double> relative(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < relative.size(); ++i) {
    figures.entropy[i] /= std::log(2.0);
    if (figures.entropy[i] < 0.0) figures.entropy[i] = 0.0;  // by rounding; a NaN stays
    relative[i] = figures.entropy[i] / std::log2(static_cast<double>(i + 1));
  }
  summary.entropy = mean_from(figures.entropy, 0);
  summary.relative_entropy = mean_from(relative, 1);
  summary.sink_mass = mean_from(figures.sink, summary.options.sink);
  summary.band_mass = mean_from(figures.band, summary.options.band);
}

/// Errors of a head against its exact output, for prefixes of one recovered basis. A number of segments is measured once.
template <Real T>
class ErrorMeter {
 public:
  ErrorMeter(const HeadView<T>& head, const Matrix<T>& exact, const ConvBasis<T>& basis, const RunContext& context)
      : head_(head), exact_(exact), basis_(basis), context_(context), output_(exact.rows(), exact.cols()) {
    exact_squares_ = squares(exact);
  }

  Index most_found() const { return basis_.count(); }

  /// The error with at most k segments.
  double at(Index k) {
    const Index segments = std::min(k, basis_.count());
    const auto [place, is_new] = errors_.try_emplace(segments, 0.0);
    if (is_new) place->second = measure(segments);
    return place->second;
  }

  std::vector<ErrorAtK> all() const {
    std::vector<ErrorAtK> list;
    for (const auto& [k, error] : errors_) list.push_back({k, error});
    return list;
  }

 private:
  double measure(Index segments) {
    context_.check();
    const auto weights = std::make_shared<const ConvWeights<T>>(exponentiate(basis_.first(segments), context_));
    const ConvAttentionPlan<T> plan(weights, head_.value_width(), {}, context_);
    plan.apply(head_.value, mutable_view(output_), context_);
    output_ -= exact_;
    const double difference_squares = squares(output_);
    return difference_squares == 0.0 ? 0.0 : std::sqrt(difference_squares / exact_squares_);
  }

  static double squares(const Matrix<T>& matrix) {
    double total = 0.0;
    for (Index i = 0; i < matrix.rows(); ++i) total += matrix.row(i).template cast<double>().squaredNorm();
    return total;
  }

  const HeadView<T>& head_;
  const Matrix<T>& exact_;
  const ConvBasis<T>& basis_;
  const RunContext& context_;
  Matrix<T> output_;
  double exact_squares_ = 0.0;
  std::map<Index, double> errors_;
};

template <Real T>
std::optional<Index> smallest_k(ErrorMeter<T>& meter, double target, Index most_k) {
  // Where no segment is found at all, any k has the error of attention that is the same everywhere.
  if (meter.most_found() == 0) return meter.at(1) <= target ? std::optional<Index>(1) : std::nullopt;
  Index below = 0;  // the largest rung that misses the target
  for (Index k = 1;; k *= 2) {
    k = std::min({k, most_k, meter.most_found()});
    if (k <= below) return std::nullopt;
    if (meter.at(k) <= target) {
      Index reached = k;
      while (reached - below > 1) {
        const Index middle = below + (reached - below) / 2;
        (meter.at(middle) <= target ? reached : below) = middle;
      }
      return reached;
    }
    below = k;
  }
}

template <Real T>
struct Exact {
  Matrix<T> output;
  std::vector<double> lse;
};

template <Real T>
Exact<T> exact_part(const HeadView<T>& head, const RunContext& context) {
  Exact<T> exact{Matrix<T>(head.size(), head.value_width()), std::vector<double>(static_cast<std::size_t>(head.size()))};
  exact_attention<T>(head, mutable_view(exact.output), exact.lse, context);
  return exact;
}

template <Real T>
ConvBasis<T> recovered(const HeadView<T>& head, RecoverOptions options, Index k, const RunContext& context) {
  options.k = k;
  return recover<T>(HeadScores<T>(head), options, context).basis;
}

}  // namespace

std::optional<double> HeadSummary::error_at(Index k) const {
  // Where fewer than asked for were found there are no more.
  const Index used = most_found < most_tried ? std::min(k, most_found) : k;
  const auto place = std::ranges::find(errors, used, &ErrorAtK::k);
  if (place == errors.end()) return std::nullopt;
  return place->error;
}

void require_valid(const HeadSummaryOptions& options, Index size) {
  require_valid(options.recover, size);
  if (!(options.target_error > 0.0) || !std::isfinite(options.target_error)) {
    throw InvalidArgument(fmt::format("target_error is {}; it must be a finite number above 0", options.target_error));
  }
  const auto at_least_one = [](const char* name, Index value) {
    if (value < 1) throw InvalidArgument(fmt::format("{} is {}; it must be at least 1", name, value));
  };
  at_least_one("most_k", options.most_k);
  at_least_one("sink", options.sink);
  at_least_one("band", options.band);
}

template <Real T>
HeadSummary summarize_head(const HeadView<T>& head, const HeadSummaryOptions& options, const RunContext& context) {
  require_valid(head);
  const Index n = head.size();
  require_valid(options, n);
  RunContext quiet = context;
  quiet.progress = {};  // of the parts; the whole is what a caller can make use of
  HeadSummary summary;
  summary.options = options;
  summary.n = n;
  const Exact<T> exact = exact_part(head, quiet);
  context.report("summary", 0.2);
  look_at_rows(head, std::span<const double>(exact.lse), summary, quiet);
  context.report("summary", 0.4);
  const Index most_k = std::min(options.most_k, n);
  summary.most_tried = std::max(most_k, options.recover.k);
  const ConvBasis<T> basis = recovered(head, options.recover, summary.most_tried, quiet);
  context.report("summary", 0.5);
  ErrorMeter<T> meter(head, exact.output, basis, quiet);
  summary.most_found = basis.count();
  summary.found = std::min(options.recover.k, basis.count());
  summary.error = meter.at(options.recover.k);
  summary.k_for_target = smallest_k(meter, options.target_error, most_k);
  summary.errors = meter.all();
  context.report("summary", 1.0);
  return summary;
}

template <Real T>
HeadSummary with_k(const HeadSummary& earlier, const HeadView<T>& head, Index k, const RunContext& context) {
  require_valid(head);
  if (head.size() != earlier.n) {
    throw InvalidArgument(fmt::format("the head has {} tokens, its summary {}; they must be the same", head.size(), earlier.n));
  }
  RecoverOptions options = earlier.options.recover;
  options.k = k;
  require_valid(options, head.size());
  if (auto known = with_known_k(earlier, k)) return *known;
  RunContext quiet = context;
  quiet.progress = {};
  const Exact<T> exact = exact_part(head, quiet);
  const ConvBasis<T> basis = recovered(head, options, k, quiet);
  ErrorMeter<T> meter(head, exact.output, basis, quiet);
  HeadSummary summary = earlier;
  summary.error = meter.at(k);
  summary.found = basis.count();
  const auto place = std::ranges::lower_bound(summary.errors, summary.found, {}, &ErrorAtK::k);
  if (place == summary.errors.end() || place->k != summary.found) summary.errors.insert(place, {summary.found, summary.error});
  summary.most_found = std::max(summary.most_found, summary.found);
  summary.most_tried = std::max(summary.most_tried, k);
  summary.options.recover.k = k;
  return summary;
}

std::optional<HeadSummary> with_known_k(const HeadSummary& earlier, Index k) {
  const auto error = earlier.error_at(k);
  if (!error) return std::nullopt;
  HeadSummary summary = earlier;
  summary.options.recover.k = k;
  summary.error = *error;
  summary.found = std::min(k, earlier.most_found);
  return summary;
}

template HeadSummary summarize_head(const HeadView<float>&, const HeadSummaryOptions&, const RunContext&);
template HeadSummary summarize_head(const HeadView<double>&, const HeadSummaryOptions&, const RunContext&);
template HeadSummary with_k(const HeadSummary&, const HeadView<float>&, Index, const RunContext&);
template HeadSummary with_k(const HeadSummary&, const HeadView<double>&, Index, const RunContext&);

}  // namespace convbasis
