#include "analysis/error_by_k.h"

#include "analysis/rank_approximation.h"
#include "basis/apply.h"
#include "basis/conv_weights.h"
#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace convbasis {
namespace {

template <Real T>
void require_fitting(const HeadView<T>& head, std::span<const Index> rows, MatrixView<T> exact_rows, Index size,
                     std::span<const Index> ks) {
  const auto require = [](bool holds, const std::string& problem) {
    if (!holds) throw InvalidArgument(problem);
  };
  require(size == head.size(), fmt::format("the basis is of size {}; the head has {} tokens", size, head.size()));
  require(exact_rows.rows() == static_cast<Index>(rows.size()) && exact_rows.cols() == head.value_width(),
          fmt::format("the exact rows are {} x {}; they must be {} x {}", exact_rows.rows(), exact_rows.cols(), rows.size(),
                      head.value_width()));
  const bool ascending = std::ranges::adjacent_find(rows, std::ranges::greater_equal()) == rows.end();
  require(ascending && (rows.empty() || (rows.front() >= 0 && rows.back() < head.size())),
          fmt::format("the rows must ascend strictly between 0 and {}", head.size() - 1));
  for (const Index k : ks) require(k >= 1, fmt::format("k is {}; it must be at least 1", k));
}

template <Real T>
double relative_error(std::span<const Index> rows, MatrixView<T> exact_rows, const Matrix<T>& output) {
  double difference_squares = 0.0;
  double exact_squares = 0.0;
  for (std::size_t x = 0; x < rows.size(); ++x) {
    const auto exact = exact_rows.row(static_cast<Index>(x)).template cast<double>();
    difference_squares += (output.row(rows[x]).template cast<double>() - exact).squaredNorm();
    exact_squares += exact.squaredNorm();
  }
  return difference_squares == 0.0 ? 0.0 : std::sqrt(difference_squares / exact_squares);
}

}  // namespace

std::vector<Index> k_ladder(Index largest) {
  std::vector<Index> ks;
  for (Index k = 1; k <= largest; k *= 2) {
    ks.push_back(k);
    if (k >= 2 && k + k / 2 <= largest) ks.push_back(k + k / 2);
  }
  if (!ks.empty() && ks.back() != largest) ks.push_back(largest);
  return ks;
}

template <Real T>
std::vector<KError> error_by_k(const HeadView<T>& head, std::span<const Index> rows, MatrixView<T> exact_rows,
                               const ConvBasis<T>& basis, std::span<const Index> ks,
                               const std::function<void(const KError&)>& each, const RunContext& context) {
  require_fitting(head, rows, exact_rows, basis.size(), ks);
  std::vector<KError> points;
  Matrix<T> output(head.size(), head.value_width());
  RunContext quiet = context;
  quiet.progress = {};
  for (const Index k : ks) {
    context.check();
    const auto weights = std::make_shared<const ConvWeights<T>>(exponentiate(basis.first(std::min(k, basis.count())), quiet));
    const ConvAttentionPlan<T> plan(weights, head.value_width(), {}, quiet);
    plan.apply(head.value, mutable_view(output), quiet);
    points.push_back({k, std::min(k, basis.count()), relative_error(rows, exact_rows, output)});
    if (each) each(points.back());
    context.report("error against k", static_cast<double>(points.size()) / static_cast<double>(ks.size()));
  }
  return points;
}

template <Real T>
std::vector<KError> error_by_rank(const HeadView<T>& head, std::span<const Index> rows, MatrixView<T> exact_rows,
                                  const MatrixFactors<T>& factors, std::span<const Index> ks, const RunContext& context) {
  require_fitting(head, rows, exact_rows, factors.left.rows(), ks);
  std::vector<KError> points;
  for (const Index k : ks) {
    context.check();
    const Index rank = std::min(k, factors.left.cols());
    const MatrixFactors<T> first{factors.left.leftCols(rank), factors.right.leftCols(rank)};
    points.push_back({k, rank, relative_error(rows, exact_rows, causal_factored_product(first, head.value, context))});
  }
  return points;
}

template std::vector<KError> error_by_rank(const HeadView<float>&, std::span<const Index>, MatrixView<float>,
                                           const MatrixFactors<float>&, std::span<const Index>, const RunContext&);
template std::vector<KError> error_by_rank(const HeadView<double>&, std::span<const Index>, MatrixView<double>,
                                           const MatrixFactors<double>&, std::span<const Index>, const RunContext&);
template std::vector<KError> error_by_k(const HeadView<float>&, std::span<const Index>, MatrixView<float>,
                                        const ConvBasis<float>&, std::span<const Index>,
                                        const std::function<void(const KError&)>&, const RunContext&);
template std::vector<KError> error_by_k(const HeadView<double>&, std::span<const Index>, MatrixView<double>,
                                        const ConvBasis<double>&, std::span<const Index>,
                                        const std::function<void(const KError&)>&, const RunContext&);

}  // namespace convbasis
