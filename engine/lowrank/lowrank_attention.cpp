#include "lowrank/lowrank_attention.h"

#include "core/errors.h"
#include "lowrank/feature_stream.h"
#include "lowrank/masked_product.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace convbasis {
namespace {

constexpr double mebibyte = 1024.0 * 1024.0;

/// Throws unless `bytes(degree)` is within the limit; says what would be.
template <class Bytes>
void require_memory(const LowRankOptions& options, Index width, const Bytes& bytes) {
  const double needed = bytes(options.degree);
  if (needed <= options.memory_limit) return;
  Index fits = options.degree - 1;
  while (fits >= 0 && bytes(fits) > options.memory_limit) --fits;
  const std::string advice = fits < 0 ? "no degree would fit"
                                      : fmt::format("degree {} would fit ({} features, {:.3g} MiB)", fits,
                                                    feature_count(width, fits), bytes(fits) / mebibyte);
  throw InvalidArgument(fmt::format("degree {} in width {} makes {} features, which take {:.3g} MiB; the limit is {:.3g} MiB; {}",
                                    options.degree, width, feature_count(width, options.degree), needed / mebibyte,
                                    options.memory_limit / mebibyte, advice));
}

/// What is known of a run before it is done.
struct Choice {
  StreamPlan plan;
  bool by_features;
  double bytes;
  Operations operations;
};

template <Real T>
Choice choose(const HeadView<T>& head, const IntervalMask& mask, const LowRankOptions& options) {
  const Index d = head.width();
  const Index count = feature_count(d, options.degree);
  const Index block = stream_block<T>(count, d, head.value_width());
  StreamPlan through_sums(mask, block, true);
  const auto bytes = [&](Index degree) { return stream_bytes<T>(d, head.value_width(), degree, through_sums.fronts); };
  if (options.way == LowRankWay::features) require_memory(options, d, bytes);
  StreamPlan from_scores(mask, block, false);
  const Operations single = from_scores.operations(0, options.degree, d, head.value_width());
  if (options.way != LowRankWay::scores && bytes(options.degree) <= options.memory_limit) {
    const Operations summed = through_sums.operations(count, options.degree, d, head.value_width());
    if (options.way == LowRankWay::features || summed.multiply_adds < single.multiply_adds) {
      return {std::move(through_sums), true, bytes(options.degree), summed};
    }
  }
  return {std::move(from_scores), false, 0.0, single};
}

/// n x r features of all queries and keys, for masks that are not streamed.
template <Real T>
double matrix_bytes(const HeadView<T>& head, Index degree) {
  return PolynomialFeatures<T>::bytes(head.width(), degree) +
         2.0 * static_cast<double>(head.size()) * static_cast<double>(feature_count(head.width(), degree)) * sizeof(T);
}

template <Real T>
void require_matrices_fit(const HeadView<T>& head, const LowRankOptions& options) {
  if (options.way == LowRankWay::scores) {
    throw InvalidArgument("only continuous rows are summed from their scores; other masks need way = features");
  }
  require_memory(options, head.width(), [&](Index degree) { return matrix_bytes(head, degree); });
}

template <Real T>
Operations sum_by_matrices(const LowRankResult<T>& result, MutableMatrixView<T> sums, const RunContext& context) {
  using Side = typename PolynomialFeatures<T>::Side;
  const HeadView<T>& head = result.scores.head();
  const PolynomialFeatures<T> features(head.width(), result.scores.polynomial().coefficients);
  const Matrix<T> query = static_cast<T>(head.scale) * head.query;
  const Matrix<T> left = features.matrix(Side::query, view(query));
  const Matrix<T> right = features.matrix(Side::key, result.scores.key());
  Matrix<T> value(head.size(), head.value_width() + 1);
  value << head.value, Matrix<T>::Ones(head.size(), 1);
  Operations operations = masked_product<T>({view(left), view(right)}, result.mask, view(value), sums, context);
  operations.multiply_adds += 2 * head.size() * features.count();
  return operations;
}

template <Real T>
void divide(MatrixView<T> sums, LowRankResult<T>& result) {
  const Index n = sums.rows();
  const Index value_width = sums.cols() - 1;
  result.output = Matrix<T>::Zero(n, value_width);
  result.row_sum.resize(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) {
    const T mass = sums(i, value_width);
    result.row_sum[static_cast<std::size_t>(i)] = static_cast<double>(mass);
    if (mass > T{0}) {
      result.output.row(i) = sums.row(i).head(value_width) / mass;
    } else {
      ++result.not_positive;
    }
  }
}

}  // namespace

template <Real T>
LowRankResult<T> lowrank_attention(const HeadView<T>& head, const Mask& mask, const LowRankOptions& options,
                                   const RunContext& context) {
  require_valid(head);
  if (size(mask) != head.size()) {
    throw InvalidArgument(fmt::format("a mask of {} rows for {} tokens; they must be as many", size(mask), head.size()));
  }
  if (options.degree < 0 || options.degree > max_exp_degree) {
    throw InvalidArgument(
        fmt::format("degree {} of the rank basis; it must be between 0 and {}", options.degree, max_exp_degree));
  }
  const auto* intervals = std::get_if<IntervalMask>(&mask);
  std::optional<Choice> choice;
  // Features are refused before any work; a head that has none at all is refused below, for what it is.
  if (head.width() > 0 && intervals) choice = choose(head, *intervals, options);
  if (head.width() > 0 && !intervals) require_matrices_fit(head, options);
  LowRankResult<T> result{.scores = LowRankScores<T>(head, options), .mask = mask};
  result.degree = options.degree;
  result.features = feature_count(head.width(), options.degree);
  result.by_features = choice ? choice->by_features : true;
  result.bytes = choice ? choice->bytes : matrix_bytes(head, options.degree);
  Matrix<T> sums(head.size(), head.value_width() + 1);
  if (choice) {
    const StreamInput<T> input{head.query, result.scores.key(), head.value, head.scale, result.scores.polynomial().coefficients};
    stream_features(input, *intervals, choice->plan, mutable_view(sums), context);
    result.operations = choice->operations;
  } else {
    result.operations = sum_by_matrices(result, mutable_view(sums), context);
  }
  divide(view(sums), result);
  return result;
}

template <Real T>
LowRankResult<T> lowrank_attention(const HeadView<T>& head, const LowRankOptions& options, const RunContext& context) {
  return lowrank_attention(head, Mask(IntervalMask::causal(head.size())), options, context);
}

template <Real T>
void LowRankResult<T>::probability_row(Index row, Index column, std::span<T> target) const {
  const double mass = row_sum[static_cast<std::size_t>(row)];
  if (!(mass > 0.0)) return std::fill(target.begin(), target.end(), T{0});
  scores.weight_row(row, column, target);
  for (std::size_t y = 0; y < target.size(); ++y) {
    const bool seen = contains(mask, row, column + static_cast<Index>(y));
    target[y] = seen ? static_cast<T>(static_cast<double>(target[y]) / mass) : T{0};
  }
}

template <Real T>
void LowRankResult<T>::probability_tile(Index row, Index column, MutableMatrixView<T> tile) const {
  for (Index a = 0; a < tile.rows(); ++a) {
    probability_row(row + a, column, std::span(tile.data() + a * tile.outerStride(), static_cast<std::size_t>(tile.cols())));
  }
}

double lowrank_cost(Index n, Index width, Index value_width, Index degree) {
  return 2.0 * static_cast<double>(n) * static_cast<double>(feature_count(width, degree)) * static_cast<double>(value_width + 2);
}

double exact_cost(Index n, Index width, Index value_width) {
  return 0.5 * static_cast<double>(n) * static_cast<double>(n + 1) * static_cast<double>(width + value_width);
}

template <Real T>
double lowrank_bytes(Index width, Index value_width, Index degree) {
  return stream_bytes<T>(width, value_width, degree, 0);
}

template struct LowRankResult<float>;
template struct LowRankResult<double>;
template LowRankResult<float> lowrank_attention(const HeadView<float>&, const Mask&, const LowRankOptions&, const RunContext&);
template LowRankResult<double> lowrank_attention(const HeadView<double>&, const Mask&, const LowRankOptions&, const RunContext&);
template LowRankResult<float> lowrank_attention(const HeadView<float>&, const LowRankOptions&, const RunContext&);
template LowRankResult<double> lowrank_attention(const HeadView<double>&, const LowRankOptions&, const RunContext&);
template double lowrank_bytes<float>(Index, Index, Index);
template double lowrank_bytes<double>(Index, Index, Index);

}  // namespace convbasis
