/// \file
/// Gradients of exact causal attention, streamed: no n x n matrix is made. Mathematics page, section 4.
#pragma once

#include "attention/head.h"
#include "core/run_context.h"

#include <span>

namespace convbasis {

/// What exact attention gave, and the gradient of a loss by its output.
template <Real T>
struct BackwardInput {
  MatrixView<T> output;           ///< Y, n x d_v
  std::span<const double> lse;    ///< n row log-sum-exps
  MatrixView<T> output_gradient;  ///< G = dL/dY, n x d_v
};

/// Where the gradients go; shapes as query, key and value.
template <Real T>
struct HeadGradients {
  MutableMatrixView<T> query;  ///< dL/dQ
  MutableMatrixView<T> key;    ///< dL/dK
  MutableMatrixView<T> value;  ///< dL/dV
};

/// Throws InvalidArgument, naming what does not fit, unless the head has queries and keys, and output, its gradient and the
/// gradients have the head's shapes.
template <Real T>
void require_gradient_shapes(const HeadView<T>& head, const MatrixView<T>& output, const MatrixView<T>& output_gradient,
                             const HeadGradients<T>& gradients);

/// With P = softmax(S), delta_i = G_i . Y_i and dS_ij = P_ij (G_i . V_j - delta_i): dQ = scale dS K, dK = scale dS^T Q and
/// dV = P^T G. A position bias counts in S and has no gradient. P is made anew from the log-sum-exps, tile by tile.
///
/// Cost: n^2 (3 d + 2 d_v) / 2 multiply-adds. Memory: up to 8 times the size of Q for sums of dQ, and copies of Q and G in the
/// order in which tiles read them: O(n (d + d_v)). The work is cut by n alone and summed in a fixed order, so that the result is
/// the same, bit for bit, for any number of threads; more than 8 are of no use. Accuracy: products and sums in T. In float the
/// context's accelerator does it where it can, in an order of its own.
/// Thread-safe. Throws InvalidArgument for shapes that do not fit and for heads that are given by their scores, Cancelled (the
/// gradients are then unspecified).
template <Real T>
void exact_backward(const HeadView<T>& head, const BackwardInput<T>& forward, const HeadGradients<T>& gradients,
                    const RunContext& context = {});

}  // namespace convbasis
