#include "training/trainer.h"

#include "core/errors.h"
#include "core/stopwatch.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace convbasis {
namespace {

template <Real T>
const OneLayerProblem<T>& require_problem(const std::shared_ptr<const OneLayerProblem<T>>& problem) {
  if (!problem) throw InvalidArgument("there is no one-layer problem to train on");
  return *problem;
}

template <Real T>
TrainingOptions filled_in(TrainingOptions options, const OneLayerProblem<T>& problem) {
  const Index n = problem.a1.rows();
  if (!(options.rate >= 0.0) || !std::isfinite(options.rate)) {
    throw InvalidArgument(fmt::format("rate is {}; it must be a finite number above 0, or 0 for the default", options.rate));
  }
  if (options.rate == 0.0) options.rate = default_rate(options.optimiser, n, problem.value.cols());
  if (options.recover_every < 1) {
    throw InvalidArgument(fmt::format("recover_every is {}; it must be at least 1", options.recover_every));
  }
  if (!options.recover) options.recover = problem.recover;
  require_valid(*options.recover, n);
  return options;
}

/// Rows of one piece of work.
constexpr Index block_rows = 2048;

/// Calls `body(first row, rows, block)` for every block of the n rows, on all threads. Blocks are the same for any number of
/// them.
template <class Body>
void for_each_block(Index n, const RunContext& context, const Body& body) {
  parallel_for(context, (n + block_rows - 1) / block_rows, [&](Index block, int) {
    const Index first = block * block_rows;
    body(first, std::min(block_rows, n - first), static_cast<std::size_t>(block));
  });
}

/// A X, for A with many rows.
template <Real T>
Matrix<T> product(const Matrix<T>& a, const Matrix<T>& x, const RunContext& context) {
  Matrix<T> result(a.rows(), x.cols());
  for_each_block(a.rows(), context, [&](Index first, Index rows, std::size_t) {
    result.middleRows(first, rows).noalias() = a.middleRows(first, rows) * x;
  });
  return result;
}

/// A^T B, for matrices with many rows; blocks are added up in order.
template <Real T>
Matrix<T> transposed_product(const Matrix<T>& a, const Matrix<T>& b, const RunContext& context) {
  std::vector<Matrix<T>> parts(static_cast<std::size_t>((a.rows() + block_rows - 1) / block_rows));
  for_each_block(a.rows(), context, [&](Index first, Index rows, std::size_t block) {
    parts[block].noalias() = a.middleRows(first, rows).transpose() * b.middleRows(first, rows);
  });
  for (std::size_t block = 1; block < parts.size(); ++block) parts.front() += parts[block];
  return std::move(parts.front());
}

/// G = Y - E, and the loss 1/2 ||G||_F^2.
template <Real T>
std::pair<Matrix<T>, double> residual(const Matrix<T>& output, const Matrix<T>& target) {
  Matrix<T> difference = output - target;
  double squares = 0.0;
  for (Index i = 0; i < difference.rows(); ++i) squares += difference.row(i).template cast<double>().squaredNorm();
  return {std::move(difference), squares / 2.0};
}

}  // namespace

std::string_view name_of(Between between) { return between == Between::starts ? "starts" : "basis"; }

Between between_of(std::string_view name) {
  for (const Between between : {Between::starts, Between::basis}) {
    if (name_of(between) == name) return between;
  }
  throw InvalidArgument(fmt::format("what is kept between recoveries is \"{}\"; it must be starts or basis", name));
}

std::string_view name_of(Parameters parameters) { return parameters == Parameters::tied ? "tied" : "free"; }

Parameters parameters_of(std::string_view name) {
  for (const Parameters parameters : {Parameters::tied, Parameters::free}) {
    if (name_of(parameters) == name) return parameters;
  }
  throw InvalidArgument(fmt::format("the parameters are \"{}\"; they must be tied or free", name));
}

double default_rate(Optimiser optimiser, Index n, Index value_width) {
  return optimiser == Optimiser::adam ? 0.01 : 0.8 / (static_cast<double>(n) * static_cast<double>(value_width));
}

template <Real T>
Trainer<T>::Trainer(std::shared_ptr<const OneLayerProblem<T>> problem, const TrainingOptions& options)
    : problem_(std::move(problem)),
      options_(filled_in(options, require_problem(problem_))),
      descent_(options_.optimiser, options_.rate),
      parameters_(problem_->start) {}

template <Real T>
TrainingStep Trainer<T>::step(const RunContext& context) {
  const bool exact = options_.backward == Backward::exact;
  TrainingStep result;
  result.step = steps_taken_;
  result.recovered = !exact && steps_taken_ % options_.recover_every == 0;
  Stopwatch watch;
  const Matrix<T> query = product(problem_->a1, parameters_, context);
  ConvForward<T> forward;
  if (!exact) forward = forward_of(head(query), result.recovered, context);
  Slope slope = exact ? exact_slope(head(query), context) : conv_slope(head(query), forward, context);
  result.seconds = watch.lap();
  result.loss = slope.loss;
  result.gradient_norm = slope.gradient.template cast<double>().norm();
  result.k_found = forward.basis.count();
  Slope truth;
  if (exact) {
    result.exact_loss = slope.loss;
    result.gradient_error = 0.0;
    if (options_.compare) truth.gradient = slope.gradient;
  } else if (options_.compare) {
    truth = exact_slope(head(query), context);
    result.exact_loss = truth.loss;
    result.gradient_error = relative_difference(slope.gradient, truth.gradient);
  }
  context.check();
  watch.lap();  // comparing is no part of a step
  move_against(slope.gradient);
  // Nothing below can fail: the run moves on as a whole.
  gradient_ = std::move(slope.gradient);
  exact_gradient_ = std::move(truth.gradient);
  forward_ = std::move(forward);
  ++steps_taken_;
  result.seconds += watch.lap();
  return result;
}

template <Real T>
void Trainer<T>::move_against(const Matrix<T>& gradient) {
  Descent<T> descent = descent_;
  Matrix<T> moved = parameters_;
  descent.move(gradient, moved);
  if (!moved.allFinite()) {
    throw InvalidArgument(
        fmt::format("X is no longer finite after step {}; rate is {:.3g} and must be smaller", steps_taken_, options_.rate));
  }
  descent_ = std::move(descent);
  parameters_ = std::move(moved);
}

template <Real T>
HeadView<T> Trainer<T>::head(const Matrix<T>& query) const {
  return {view(query), view(problem_->a2), view(problem_->value), 1.0};
}

template <Real T>
typename Trainer<T>::Slope Trainer<T>::exact_slope(const HeadView<T>& head, const RunContext& context) const {
  const ExactForward<T> forward = exact_forward(head, context);
  const auto [output_gradient, loss] = residual(forward.output, problem_->target);
  return {loss, by_parameters(exact_gradients(head, forward, view(output_gradient), context).query, context)};
}

template <Real T>
typename Trainer<T>::Slope Trainer<T>::conv_slope(const HeadView<T>& head, const ConvForward<T>& forward,
                                                  const RunContext& context) const {
  const auto [output_gradient, loss] = residual(forward.output, problem_->target);
  return {loss, by_parameters(conv_gradients(head, forward, options_.backward, view(output_gradient), context).query, context)};
}

template <Real T>
Matrix<T> Trainer<T>::by_parameters(const Matrix<T>& query_gradient, const RunContext& context) const {
  Matrix<T> gradient = transposed_product(problem_->a1, query_gradient, context);
  return options_.parameters == Parameters::tied ? tied(gradient) : gradient;
}

template <Real T>
ConvForward<T> Trainer<T>::forward_of(const HeadView<T>& head, bool recovers, const RunContext& context) const {
  const HeadScores<T> scores(head);
  if (recovers) return conv_forward(head, recover<T>(scores, *options_.recover, context).basis, context);
  if (options_.between == Between::basis || forward_.basis.count() == 0) return forward_;
  const auto starts = forward_.basis.starts();
  return conv_forward(head, recover_at<T>(scores, {starts.begin(), starts.end()}, context).basis, context);
}

template <Real T>
Matrix<T> tied(const Matrix<T>& matrix) {
  if (matrix.rows() != matrix.cols() || matrix.rows() % 2 != 0) {
    throw InvalidArgument(
        fmt::format("matrix is {} x {}; to be tied it must be square and of even size", matrix.rows(), matrix.cols()));
  }
  Matrix<T> result = Matrix<T>::Zero(matrix.rows(), matrix.cols());
  for (Index at = 0; at < matrix.rows(); at += 2) {
    const T along = (matrix(at, at) + matrix(at + 1, at + 1)) / 2;
    const T across = (matrix(at + 1, at) - matrix(at, at + 1)) / 2;
    result(at, at) = result(at + 1, at + 1) = along;
    result(at + 1, at) = across;
    result(at, at + 1) = -across;
  }
  return result;
}

template class Trainer<float>;
template class Trainer<double>;
template Matrix<float> tied(const Matrix<float>&);
template Matrix<double> tied(const Matrix<double>&);

}  // namespace convbasis
