/// \file
/// Forward passes and the backward passes that follow them, with the memory they need. Mathematics page, section 4.
#pragma once

#include "attention/exact_backward.h"
#include "attention/head.h"
#include "basis/apply.h"
#include "basis/conv_basis.h"
#include "core/run_context.h"
#include "core/types.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace convbasis {

/// The three backward passes, named apart everywhere.
enum class Backward : std::uint8_t {
  exact,     ///< of exact attention
  estimate,  ///< the paper's estimate of the exact gradient: d_v products of P~ after the conv forward
  conv,      ///< the gradient of the conv forward itself, starts held fixed
};
inline constexpr std::array all_backwards{Backward::exact, Backward::estimate, Backward::conv};
/// "exact", "estimate", "conv": in files, on the command line and in the window.
std::string_view name_of(Backward backward);
/// The other way round. Throws InvalidArgument for other names.
Backward backward_of(std::string_view name);
/// The same ones in the order of all_backwards, each once.
std::vector<Backward> in_order(std::span<const Backward> backwards);

/// What exact attention gave.
template <Real T>
struct ExactForward {
  Matrix<T> output;         ///< Y, n x d_v
  std::vector<double> lse;  ///< n
};

/// What attention by convolutions gave, and was made with.
template <Real T>
struct ConvForward {
  ConvBasis<T> basis;  ///< of the scores
  std::shared_ptr<const ConvAttentionPlan<T>> plan;
  Matrix<T> output;  ///< Y~, n x d_v
};

/// dL/dQ, dL/dK and dL/dV.
template <Real T>
struct GradientMatrices {
  Matrix<T> query, key, value;
};

/// These do the work on all threads of the context and give the same for any number of them. They throw InvalidArgument for
/// shapes that do not fit and for heads that are given by their scores, which have no queries and keys; Cancelled.
template <Real T>
ExactForward<T> exact_forward(const HeadView<T>& head, const RunContext& context);
template <Real T>
GradientMatrices<T> exact_gradients(const HeadView<T>& head, const ExactForward<T>& forward, MatrixView<T> output_gradient,
                                    const RunContext& context);

/// By a basis of the head's scores.
template <Real T>
ConvForward<T> conv_forward(const HeadView<T>& head, ConvBasis<T> basis, const RunContext& context);
/// By Backward::estimate or Backward::conv.
template <Real T>
GradientMatrices<T> conv_gradients(const HeadView<T>& head, const ConvForward<T>& forward, Backward backward,
                                   MatrixView<T> output_gradient, const RunContext& context);

/// ||gradient - exact||_F / ||exact||_F; 0 when both are zero. Sums in double.
template <Real T>
double relative_difference(const Matrix<T>& gradient, const Matrix<T>& exact);

}  // namespace convbasis
