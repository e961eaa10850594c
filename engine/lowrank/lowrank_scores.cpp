#include "core/errors.h"
#include "lowrank/lowrank_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace convbasis {
namespace {

/// Scores of one row, evenly spread over what it sees, each with how many it stands for.
template <Real T>
void add_row(const HeadView<T>& head, const MatrixView<T>& key, Index i, std::vector<WeightedScore>& samples) {
  constexpr Index most_columns = 256;
  const Index columns = std::min(i + 1, most_columns);
  for (Index y = 1; y <= columns; ++y) {
    const T product = head.query.row(i).dot(key.row((i + 1) * y / columns - 1));
    samples.push_back({head.scale * static_cast<double>(product), static_cast<double>(i + 1) / static_cast<double>(columns)});
  }
}

/// The weights e = exp(score - high) of a row sum to D. The sum of (p - e)^2 / (e D) is the chi-squared distance of the
/// probabilities that p makes of the row from the true ones, which bounds their total variation. Weights below the row's mean
/// count like the mean, for only their sum matters.
void weigh_row(std::span<WeightedScore> row, double high) {
  constexpr double smallest_sum = 1e-12;  // rows below that would decide alone
  double row_sum = 0.0, all = 0.0;
  for (const auto& [score, stands_for] : row) {
    row_sum += stands_for * std::exp(score - high);
    all += stands_for;
  }
  row_sum = std::max(row_sum, smallest_sum);
  for (auto& [score, weight] : row) weight /= row_sum * std::max(std::exp(score - high), row_sum / all);
}

/// Scores of some rows of the causal triangle, weighted for fit_exp_to().
template <Real T>
std::vector<WeightedScore> sample(const HeadView<T>& head, const MatrixView<T>& key) {
  constexpr Index most_rows = 32;
  const Index n = head.size();
  const Index rows = std::min(n, most_rows);
  std::vector<WeightedScore> samples;
  std::vector<std::size_t> row_ends{0};
  for (Index x = 1; x <= rows; ++x) {
    add_row(head, key, n * x / rows - 1, samples);
    row_ends.push_back(samples.size());
  }
  const double high = std::ranges::max(samples, {}, &WeightedScore::score).score;
  for (std::size_t x = 1; x < row_ends.size(); ++x) {
    weigh_row(std::span(samples).subspan(row_ends[x - 1], row_ends[x] - row_ends[x - 1]), high);
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
