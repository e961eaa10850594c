#include "analysis/rank_approximation.h"

#include "analysis/error_report.h"
#include "analysis/ladder.h"
#include "core/errors.h"

#include <fmt/format.h>

#include <cmath>

namespace convbasis {
namespace {

void require_valid_svd(Index k, Index n) {
  if (n > yardstick_limit) {
    throw InvalidArgument(
        fmt::format("a truncated SVD holds all of P, so it is for at most {} tokens; this head has {}: take fewer "
                    "tokens, or rank kind features",
                    yardstick_limit, n));
  }
  if (k < 1 || k > n) throw InvalidArgument(fmt::format("k is {}; the rank of an SVD must be in [1, {}]", k, n));
  if (k > svd_rank_limit) throw InvalidArgument(fmt::format("k is {}; the rank of an SVD must be at most {}", k, svd_rank_limit));
}

template <Real T>
void require_valid_features(Index degree, const HeadView<T>& head) {
  if (degree < 0 || degree > max_exp_degree) {
    throw InvalidArgument(fmt::format("degree is {}; the degree of features must be in [0, {}]", degree, max_exp_degree));
  }
  if (head.matrix || !head.bias.empty()) {
    throw InvalidArgument(
        fmt::format("features need scores that are products of queries and keys alone; this head {}: take rank kind "
                    "svd",
                    head.matrix ? "is given by its scores" : "has a position bias"));
  }
  if (const std::string problem = feature_problem(degree, head.width(), head.value_width()); !problem.empty()) {
    throw InvalidArgument(problem);
  }
}

template <Real T>
RankApproximation<T> by_features(const HeadView<T>& head, const RankOptions& options, Matrix<T>& output,
                                 const RunContext& context) {
  auto found = std::make_shared<LowRankResult<T>>(
      lowrank_attention<T>(head, {.degree = options.degree, .way = LowRankWay::cheaper}, context));
  output = std::move(found->output);
  RankApproximation<T> result;
  result.options = options;
  result.rank = found->features;
  result.features = std::move(found);
  return result;
}

template <Real T>
RankApproximation<T> by_svd(const HeadView<T>& head, const ExactPart<T>& exact, const RankOptions& options, Matrix<T>& output,
                            const RunContext& context) {
  if (!exact.complete()) {
    throw InvalidArgument(
        fmt::format("a truncated SVD needs exact attention of all {} rows; {} are known", head.size(), exact.rows.size()));
  }
  RankApproximation<T> result;
  result.options = options;
  result.rank = options.k;
  result.lse = exact.normalisers->all();
  context.report("singular values", 0.0);
  result.factors = probability_factors<T>(head, result.lse, options.k, context);
  for (Index c = 0; c < options.k; ++c) result.singular.push_back(result.factors.right.col(c).template cast<double>().norm());
  output = causal_factored_product<T>(result.factors, head.value, context);
  result.unmasked_error = known_row_error<T>(exact, factored_product(result.factors, head.value, context));
  return result;
}

/// What log(weight) of features lacks of a score in row `row`: the polynomial's shift, and what centring the keys took away.
template <Real T>
double score_offset(const LowRankScores<T>& scores, Index row) {
  const HeadView<T>& head = scores.head();
  const RowVector<double> mean = head.key.row(0).template cast<double>() - scores.key().row(0).template cast<double>();
  return scores.polynomial().shift + head.scale * head.query.row(row).template cast<double>().dot(mean);
}

}  // namespace

std::string feature_problem(Index degree, Index width, Index value_width) {
  constexpr double mebibyte = 1024.0 * 1024.0;
  const double limit = LowRankOptions{}.memory_limit;
  const double needed = lowrank_bytes<float>(width, value_width, degree);
  if (needed <= limit) return "";
  Index fits = degree - 1;
  while (fits > 0 && lowrank_bytes<float>(width, value_width, fits) > limit) --fits;
  return fmt::format(
      "degree {} in width {} makes {} features, which take {:.3g} MiB; the limit is {:.0f} MiB: take degree {} or less", degree,
      width, feature_count(width, degree), needed / mebibyte, limit / mebibyte, fits);
}

template <Real T>
void require_valid(const RankOptions& options, const HeadView<T>& head) {
  if (options.kind == RankKind::svd) return require_valid_svd(options.k, head.size());
  require_valid_features(options.degree, head);
}

template <Real T>
void RankApproximation<T>::probabilities(Index row, Index column, std::span<T> target) const {
  if (features) return features->probability_row(row, column, target);
  Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, 1>> cells(target.data(), std::ssize(target));
  cells.noalias() = factors.right.middleRows(column, std::ssize(target)) * factors.left.row(row).transpose();
}

template <Real T>
void RankApproximation<T>::scores(Index row, Index column, std::span<T> target) const {
  if (features) {
    features->scores.weight_row(row, column, target);
  } else {
    probabilities(row, column, target);
  }
  const double normaliser = features ? score_offset(features->scores, row) : lse[static_cast<std::size_t>(row)];
  for (T& cell : target) {
    cell = static_cast<T>(cell <= T{0} ? masked_score : std::log(static_cast<double>(cell)) + normaliser);  // NaN stays NaN
  }
}

template <Real T>
RankApproximation<T> approximate_by_rank(const HeadView<T>& head, const ExactPart<T>& exact, const RankOptions& options,
                                         Matrix<T>& output, const RunContext& context) {
  require_valid(options, head);
  return options.kind == RankKind::svd ? by_svd(head, exact, options, output, context)
                                       : by_features(head, options, output, context);
}

template <Real T>
std::string describe(const RankApproximation<T>& approximation) {
  if (approximation.features) {
    return fmt::format("{} features of degree {}, {}", approximation.rank, approximation.options.degree,
                       approximation.features->by_features ? "running sums" : "as a polynomial of each score");
  }
  return fmt::format("truncated SVD of rank {}, causal part", approximation.rank);
}

template <Real T>
MatrixFactors<T> probability_factors(const HeadView<T>& head, std::span<const double> lse, Index rank,
                                     const RunContext& context) {
  const MatrixFactors<T> ascending = truncated_svd(dense_probabilities<T>(head, lse, context), rank, context);
  MatrixFactors<T> factors{ascending.left.rowwise().reverse(), ascending.right.rowwise().reverse()};
  for (Index c = 0; c < factors.right.cols(); ++c) {
    if (!(factors.right.col(c).sum() < T{0})) continue;
    factors.left.col(c) *= T{-1};  // u and v may change sign together: the same one each time
    factors.right.col(c) *= T{-1};
  }
  return factors;
}

template <Real T>
Matrix<T> causal_factored_product(const MatrixFactors<T>& factors, MatrixView<T> value, const RunContext& context) {
  Matrix<T> output = Matrix<T>::Zero(value.rows(), value.cols());
  add_factored_rest<T>(factors, ExactEntries{value.rows(), 0, {}}, value, mutable_view(output), context);
  return output;
}

template void require_valid(const RankOptions&, const HeadView<float>&);
template void require_valid(const RankOptions&, const HeadView<double>&);
template struct RankApproximation<float>;
template struct RankApproximation<double>;
template RankApproximation<float> approximate_by_rank(const HeadView<float>&, const ExactPart<float>&, const RankOptions&,
                                                      Matrix<float>&, const RunContext&);
template RankApproximation<double> approximate_by_rank(const HeadView<double>&, const ExactPart<double>&, const RankOptions&,
                                                       Matrix<double>&, const RunContext&);
template std::string describe(const RankApproximation<float>&);
template std::string describe(const RankApproximation<double>&);
template MatrixFactors<float> probability_factors(const HeadView<float>&, std::span<const double>, Index, const RunContext&);
template MatrixFactors<double> probability_factors(const HeadView<double>&, std::span<const double>, Index, const RunContext&);
template Matrix<float> causal_factored_product(const MatrixFactors<float>&, MatrixView<float>, const RunContext&);
template Matrix<double> causal_factored_product(const MatrixFactors<double>&, MatrixView<double>, const RunContext&);

}  // namespace convbasis
