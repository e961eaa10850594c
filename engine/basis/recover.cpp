#include "basis/recover.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <sstream>
#include <utility>

namespace convbasis {
namespace {

template <class Value>
void require(bool holds, const char* name, Value value, const std::string& range) {
  if (holds) return;
  std::ostringstream message;
  message << name << " is " << value << "; it must be " << range;
  throw InvalidArgument(message.str());
}

/// The search for starts: keeps v, the first T entries of the current lag vector, and the trace.
template <Real T>
class StartSearch {
 public:
  StartSearch(const ScoreColumns<T>& scores, const RecoverOptions& options, const RunContext& context)
      : scores_(scores),
        options_(options),
        context_(context),
        last_column_(scores.size() - options.T),
        current_(static_cast<std::size_t>(options.T), T{0}),
        probed_(current_.size()) {}

  std::vector<Index> run() {
    std::vector<Index> starts;
    for (Index round = 0; round < options_.k; ++round) {
      const Index low = starts.empty() ? 0 : starts.back() + 1;
      const auto found = options_.search == Search::binary ? bisect(round, low) : scan(round, low);
      if (!found) break;
      starts.push_back(*found);
      previous_ = current_;
      scores_.read(*found, current_);
      context_.report("recover", static_cast<double>(round + 1) / static_cast<double>(options_.k));
    }
    return starts;
  }

  std::vector<Probe> take_trace() { return std::move(trace_); }
  bool monotone() const { return monotone_; }

 private:
  bool differs(Index round, Index low, Index high, Index column) {
    context_.check();
    scores_.read(column, probed_);
    const double distance = distance_to(current_);
    const bool result = distance >= options_.threshold();
    trace_.push_back({round, low, high, column, distance, options_.threshold(), result});
    // This column lies to the right of the last start, which differed from the vector before it: so must this one.
    if (round > 0 && distance_to(previous_) < options_.threshold()) monotone_ = false;
    return result;
  }

  double distance_to(const std::vector<T>& lags) const {
    double distance = 0.0;
    for (std::size_t t = 0; t < lags.size(); ++t) {
      distance += std::abs(static_cast<double>(probed_[t]) - static_cast<double>(lags[t]));
    }
    return distance;
  }

  std::optional<Index> bisect(Index round, Index low) {
    Index high = last_column_;
    if (low > high) return std::nullopt;
    while (low < high) {
      const Index middle = low + (high - low) / 2;
      if (differs(round, low, high, middle)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    if (high < last_column_ || differs(round, low, high, low)) return low;  // a lowered `high` is known to differ
    return std::nullopt;
  }

  std::optional<Index> scan(Index round, Index low) {
    for (Index column = low; column <= last_column_; ++column) {
      if (differs(round, column, last_column_, column)) return column;
    }
    return std::nullopt;
  }

  const ScoreColumns<T>& scores_;
  const RecoverOptions& options_;
  const RunContext& context_;
  const Index last_column_;
  std::vector<T> current_;   // v, the first T lags of the last segment found
  std::vector<T> previous_;  // v one round earlier
  std::vector<T> probed_;
  std::vector<Probe> trace_;
  bool monotone_ = true;
};

}  // namespace

std::string_view name_of(Search search) { return search == Search::binary ? "binary" : "scan"; }

void require_valid(const RecoverOptions& options, Index size) {
  const std::string n = std::to_string(size);
  require(options.k >= 1 && options.k <= size, "k", options.k, "between 1 and n = " + n);
  require(options.T >= 1 && options.T <= size, "T", options.T, "between 1 and n = " + n);
  require(std::isfinite(options.delta) && options.delta >= 0, "delta", options.delta, "a finite number, 0 or larger");
  require(std::isfinite(options.eps) && options.eps >= 0, "eps", options.eps, "a finite number, 0 or larger");
}

template <Real T>
Recovery<T> recover(const ScoreColumns<T>& scores, const RecoverOptions& options, const RunContext& context) {
  const Index n = scores.size();
  require_valid(options, n);
  StartSearch<T> search(scores, options, context);
  std::vector<Index> starts = search.run();
  std::vector<std::vector<T>> lag_vectors = scores.read_whole(starts, context);
  return {ConvBasis<T>(n, std::move(starts), std::move(lag_vectors)), search.take_trace(), search.monotone()};
}

template <Real T>
Recovery<T> recover_at(const ScoreColumns<T>& scores, std::vector<Index> starts, const RunContext& context) {
  const Index n = scores.size();
  const bool ascending = std::ranges::adjacent_find(starts, std::ranges::greater_equal()) == starts.end();
  if (starts.empty() || !ascending || starts.front() < 0 || starts.back() >= n) {
    throw InvalidArgument(fmt::format("the starts must be strictly ascending and in [0, {})", n));
  }
  std::vector<std::vector<T>> lag_vectors = scores.read_whole(starts, context);
  return {ConvBasis<T>(n, std::move(starts), std::move(lag_vectors)), {}, true};
}

template Recovery<float> recover_at(const ScoreColumns<float>&, std::vector<Index>, const RunContext&);
template Recovery<double> recover_at(const ScoreColumns<double>&, std::vector<Index>, const RunContext&);
template Recovery<float> recover(const ScoreColumns<float>&, const RecoverOptions&, const RunContext&);
template Recovery<double> recover(const ScoreColumns<double>&, const RecoverOptions&, const RunContext&);

}  // namespace convbasis
