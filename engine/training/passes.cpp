#include "training/passes.h"

#include "attention/exact_attention.h"
#include "basis/conv_backward.h"
#include "basis/conv_weights.h"
#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

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

std::vector<Backward> in_order(std::span<const Backward> backwards) {
  std::vector<Backward> result;
  for (const Backward backward : all_backwards) {
    if (std::ranges::find(backwards, backward) != backwards.end()) result.push_back(backward);
  }
  return result;
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
ConvForward<T> conv_forward(const HeadView<T>& head, ConvBasis<T> basis, const RunContext& context) {
  const auto weights = std::make_shared<const ConvWeights<T>>(exponentiate(basis, context));
  auto plan = std::make_shared<const ConvAttentionPlan<T>>(weights, head.value_width(), ApplyOptions{}, context);
  ConvForward<T> forward{std::move(basis), std::move(plan), Matrix<T>(head.size(), head.value_width())};
  forward.plan->apply(head.value, mutable_view(forward.output), context);
  return forward;
}

template <Real T>
GradientMatrices<T> conv_gradients(const HeadView<T>& head, const ConvForward<T>& forward, Backward backward,
                                   MatrixView<T> output_gradient, const RunContext& context) {
  GradientMatrices<T> matrices = gradients_of(head);
  const ConvBackwardInput<T> input{view(forward.output), output_gradient};
  const HeadGradients<T> gradients{mutable_view(matrices.query), mutable_view(matrices.key), mutable_view(matrices.value)};
  if (backward == Backward::estimate) {
    estimated_gradient(head, *forward.plan, input, gradients, context);
  } else {
    conv_forward_gradient(head, forward.basis, *forward.plan, input, gradients, context);
  }
  return matrices;
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
template ConvForward<float> conv_forward(const HeadView<float>&, ConvBasis<float>, const RunContext&);
template ConvForward<double> conv_forward(const HeadView<double>&, ConvBasis<double>, const RunContext&);
template GradientMatrices<float> conv_gradients(const HeadView<float>&, const ConvForward<float>&, Backward, MatrixView<float>,
                                                const RunContext&);
template GradientMatrices<double> conv_gradients(const HeadView<double>&, const ConvForward<double>&, Backward,
                                                 MatrixView<double>, const RunContext&);
template double relative_difference(const Matrix<float>&, const Matrix<float>&);
template double relative_difference(const Matrix<double>&, const Matrix<double>&);

}  // namespace convbasis
