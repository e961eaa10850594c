#include "core/errors.h"
#include "lowrank/lowrank_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace convbasis {
namespace {

/// Scores of some rows and columns, evenly spread over the causal triangle; each counts as its probability's error does.
template <Real T>
std::vector<WeightedScore> sample(const HeadView<T>& head, const MatrixView<T>& key) {
  constexpr Index most_rows = 32;
  constexpr Index most_columns = 256;
  const Index n = head.size();
  const Index rows = std::min(n, most_rows);
  std::vector<WeightedScore> samples;
  std::vector<Index> row_ends;
  for (Index x = 1; x <= rows; ++x) {
    const Index i = n * x / rows - 1;
    const Index columns = std::min(i + 1, most_columns);
    for (Index y = 1; y <= columns; ++y) {
      const T product = head.query.row(i).dot(key.row((i + 1) * y / columns - 1));
      // How many scores it stands for, until the row is complete.
      samples.push_back({head.scale * static_cast<double>(product), static_cast<double>(i + 1) / static_cast<double>(columns)});
    }
    row_ends.push_back(std::ssize(samples));
  }
  double high = -std::numeric_limits<double>::infinity();
  for (const auto& [score, weight] : samples) high = std::max(high, score);
  Index first = 0;
  for (const Index last : row_ends) {
    double row_sum = 0.0;
    const auto entries = std::span(samples).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
    for (const auto& [score, stands_for] : entries) row_sum += stands_for * std::exp(score - high);
    // A row of very small weights would decide alone.
    row_sum = std::max(row_sum, 1e-8);
    for (auto& [score, weight] : entries) weight /= row_sum * row_sum;
    first = last;
  }
  return samples;
}

template <Real T>
ExpPolynomial polynomial_for(const HeadView<T>& head, const MatrixView<T>& key, const LowRankOptions& options) {
  if (options.fit != ExpFit::sampled && options.interval) {
    return fit_exp(options.degree, options.interval->first, options.interval->second, options.fit);
  }
  const std::vector<WeightedScore> samples = sample(head, key);
  if (options.fit == ExpFit::sampled) return fit_exp_to(options.degree, samples);
  const auto [low, high] = std::ranges::minmax(samples, {}, &WeightedScore::score);
  return fit_exp(options.degree, low.score, high.score, options.fit);
}

template <Real T>
std::shared_ptr<const Matrix<T>> keys_of(const HeadView<T>& head, bool centred) {
  require_valid(head);
  if (head.matrix || !head.bias.empty()) {
    throw InvalidArgument(fmt::format("the rank basis needs scores that are products of queries and keys alone; this head {}",
                                      head.matrix ? "is given by its scores" : "has a position bias"));
  }
  if (!head.query.allFinite() || !head.key.allFinite()) {
    throw InvalidArgument("query or key holds a value that is not finite; the rank basis has no polynomial for it");
  }
  if (!centred) return std::make_shared<const Matrix<T>>(head.key);
  const RowVector<double> mean = head.key.template cast<double>().colwise().mean();
  return std::make_shared<const Matrix<T>>(head.key.rowwise() - mean.cast<T>());
}

}  // namespace

template <Real T>
LowRankScores<T>::LowRankScores(const HeadView<T>& head, const LowRankOptions& options)
    : head_(head), key_(keys_of(head, options.centre_keys)), polynomial_(polynomial_for(head, view(*key_), options)) {}

template <Real T>
void LowRankScores<T>::weight_row(Index row, Index column, std::span<T> weights) const {
  const RowVector<T> query = static_cast<T>(head_.scale) * head_.query.row(row);
  const std::vector<double>& coefficients = polynomial_.coefficients;
  for (std::size_t y = 0; y < weights.size(); ++y) {
    const T score = query.dot(key_->row(column + static_cast<Index>(y)));
    T value = 0;
    for (std::size_t p = coefficients.size(); p-- > 0;) value = value * score + static_cast<T>(coefficients[p]);
    weights[y] = value;
  }
}

template class LowRankScores<float>;
template class LowRankScores<double>;

}  // namespace convbasis
