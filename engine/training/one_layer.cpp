#include "training/one_layer.h"

#include "attention/exact_attention.h"
#include "core/errors.h"
#include "data/planted.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace convbasis {
namespace {

void require_valid_distance(double distance) {
  if (!(distance >= 0.0) || !std::isfinite(distance)) {
    throw InvalidArgument(fmt::format("distance is {}; it must be a finite number, 0 or more", distance));
  }
}

/// Columns of one segment differ by at most 2 T eps, those of two by at least delta - 2 T eps. The threshold goes half way
/// between them, by their logarithms: while X moves, both change by factors. Without noise, a thousandth of delta takes the lower
/// place.
RecoverOptions recover_options(const OneLayerOptions& options, double delta) {
  const double noise = 2.0 * static_cast<double>(options.T) * options.noise;
  const double threshold = std::sqrt(std::max(noise, 1e-3 * delta) * (delta - noise));
  return {.k = options.k, .T = options.T, .delta = threshold + noise, .eps = options.noise};
}

/// X_0 with a random rotation and scaling added to each of its blocks.
template <Real T>
Matrix<T> planted_solution(const OneLayerOptions& options) {
  // The planted head draws from `seed` itself; these numbers must not be the same ones.
  constexpr std::uint64_t other_stream = 0x9e3779b97f4a7c15;
  const Matrix<double> random = make_random_head<double>(options.d / 2, 2, 1, options.seed ^ other_stream).query;
  const double size = 1.0 / std::sqrt(static_cast<double>(options.d));
  Matrix<T> solution = Matrix<T>::Zero(options.d, options.d);
  for (Index block = 0; block < options.d / 2; ++block) {
    const double along = size * (1.0 + options.distance * random(block, 0));
    const double across = size * options.distance * random(block, 1);
    const Index at = 2 * block;
    solution(at, at) = solution(at + 1, at + 1) = static_cast<T>(along);
    solution(at + 1, at) = static_cast<T>(across);
    solution(at, at + 1) = static_cast<T>(-across);
  }
  return solution;
}

template <Real T>
Matrix<T> output_at(const OneLayerProblem<T>& problem, const Matrix<T>& x, const RunContext& context) {
  const Matrix<T> query = problem.a1 * x;
  Matrix<T> output(query.rows(), problem.value.cols());
  std::vector<double> lse(static_cast<std::size_t>(query.rows()));
  const HeadView<T> head{view(query), view(problem.a2), view(problem.value), 1.0};
  exact_attention<T>(head, mutable_view(output), lse, context);
  return output;
}

}  // namespace

template <Real T>
OneLayerProblem<T> plant_one_layer(const OneLayerOptions& options, const RunContext& context) {
  require_valid_distance(options.distance);
  Planted<T> planted = make_planted<T>({.n = options.n,
                                        .d = options.d,
                                        .value_width = options.value_width,
                                        .k = options.k,
                                        .T = options.T,
                                        .noise = options.noise,
                                        .spread = options.spread,
                                        .seed = options.seed},
                                       context);
  OneLayerProblem<T> problem;
  // The planted head has scale 1/sqrt(d), which is what X_0 does here.
  problem.start = Matrix<T>::Identity(options.d, options.d) * static_cast<T>(planted.head.scale);
  problem.solution = planted_solution<T>(options);
  problem.starts = std::move(planted.starts);
  problem.recover = recover_options(options, planted.delta);
  problem.a1 = std::move(planted.head.query);
  problem.a2 = std::move(planted.head.key);
  problem.value = std::move(planted.head.value);
  problem.target = output_at(problem, problem.solution, context);
  return problem;
}

template OneLayerProblem<float> plant_one_layer(const OneLayerOptions&, const RunContext&);
template OneLayerProblem<double> plant_one_layer(const OneLayerOptions&, const RunContext&);

}  // namespace convbasis
