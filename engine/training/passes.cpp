#include "training/passes.h"

#include "attention/exact_attention.h"
#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace convbasis {
namespace {

template <Real T>
GradientMatrices<T> gradients_of(const HeadView<T>& head) {
  return {Matrix<T>(head.size(), head.width()), Matrix<T>(head.size(), head.width()), Matrix<T>(head.size(), head.value_width())};
}

}  // namespace

std::string_view name_of(Backward backward) {
  switch (backward) {
    case Backward::exact:
      return "exact";
    case Backward::estimate:
      return "estimate";
    case Backward::conv:
      break;
  }
  return "conv";
}

Backward backward_of(std::string_view name) {
  for (const Backward backward : all_backwards) {
    if (name_of(backward) == name) return backward;
  }
  throw InvalidArgument(fmt::format("the backward pass is \"{}\"; it must be exact, estimate or conv", name));
}

template <Real T>
ExactForward<T> exact_forward(const HeadView<T>& head, const RunContext& context) {
  ExactForward<T> forward{Matrix<T>(head.size(), head.value_width()), std::vector<double>(static_cast<std::size_t>(head.size()))};
  exact_attention<T>(head, mutable_view(forward.output), forward.lse, context);
  return forward;
}

template <Real T>
GradientMatrices<T> exact_gradients(const HeadView<T>& head, const ExactForward<T>& forward, MatrixView<T> output_gradient,
                                    const RunContext& context) {
  GradientMatrices<T> gradients = gradients_of(head);
  exact_backward<T>(head, {view(forward.output), forward.lse, output_gradient},
                    {mutable_view(gradients.query), mutable_view(gradients.key), mutable_view(gradients.value)}, context);
  return gradients;
}

template <Real T>
ConvForward<T> plan_forward(const HeadView<T>& head, const ConvBasis<T>& scores, const RunContext& context) {
  ConvForward<T> forward;
  forward.weights = std::make_shared<const ConvWeights<T>>(exponentiate(scores, context));
  forward.plan = std::make_shared<const ConvAttentionPlan<T>>(forward.weights, head.value_width(), ApplyOptions{}, context);
  return forward;
}

template <Real T>
void run_forward(const HeadView<T>& head, ConvForward<T>& forward, const RunContext& context) {
  forward.output.resize(head.size(), head.value_width());
  forward.plan->apply(head.value, mutable_view(forward.output), context);
}

template <Real T>
GradientMatrices<T> conv_gradients(const HeadView<T>& head, const ConvForward<T>&, Backward backward, MatrixView<T>,
                                   const RunContext&) {
  if (head.matrix) throw InvalidArgument("a head that is given by its scores has no queries and keys to take gradients by");
  throw InvalidArgument(fmt::format("the backward pass \"{}\" is not there yet; take exact", name_of(backward)));
}

template <Real T>
double relative_difference(const Matrix<T>& gradient, const Matrix<T>& exact) {
  const double size = exact.template cast<double>().norm();
  const double difference = (gradient.template cast<double>() - exact.template cast<double>()).norm();
  return difference == 0.0 ? 0.0 : difference / size;
}

template ExactForward<float> exact_forward(const HeadView<float>&, const RunContext&);
template ExactForward<double> exact_forward(const HeadView<double>&, const RunContext&);
template GradientMatrices<float> exact_gradients(const HeadView<float>&, const ExactForward<float>&, MatrixView<float>,
                                                 const RunContext&);
template GradientMatrices<double> exact_gradients(const HeadView<double>&, const ExactForward<double>&, MatrixView<double>,
                                                  const RunContext&);
template ConvForward<float> plan_forward(const HeadView<float>&, const ConvBasis<float>&, const RunContext&);
template ConvForward<double> plan_forward(const HeadView<double>&, const ConvBasis<double>&, const RunContext&);
template void run_forward(const HeadView<float>&, ConvForward<float>&, const RunContext&);
template void run_forward(const HeadView<double>&, ConvForward<double>&, const RunContext&);
template GradientMatrices<float> conv_gradients(const HeadView<float>&, const ConvForward<float>&, Backward, MatrixView<float>,
                                                const RunContext&);
template GradientMatrices<double> conv_gradients(const HeadView<double>&, const ConvForward<double>&, Backward,
                                                 MatrixView<double>, const RunContext&);
template double relative_difference(const Matrix<float>&, const Matrix<float>&);
template double relative_difference(const Matrix<double>&, const Matrix<double>&);

}  // namespace convbasis
