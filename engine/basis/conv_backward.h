/// \file
/// Two backward passes of attention by a conv basis, which are not the same thing. The *estimate* takes P~ for P in the formula
/// of the exact gradient. The *conv gradient* is the gradient of the approximate forward itself. Mathematics page, section 4.
#pragma once

#include "attention/exact_backward.h"
#include "attention/head.h"
#include "basis/apply.h"
#include "basis/conv_basis.h"
#include "core/run_context.h"

namespace convbasis {

/// What attention by a conv basis gave, and the gradient of a loss by its output.
template <Real T>
struct ConvBackwardInput {
  MatrixView<T> output;           ///< Y~ = P~ V as ConvAttentionPlan::apply gives it, n x d_v
  MatrixView<T> output_gradient;  ///< G = dL/dY, n x d_v
};

/// The estimate of the exact gradient (Conv-Basis paper): with delta_i = G_i . Y~_i and P~ of the plan
///   dQ = scale (sum_c diag(G_c) P~ diag(V_c) K - diag(delta) P~ K),
///   dK = scale (sum_c diag(V_c) P~^T diag(G_c) Q - P~^T diag(delta) Q),   dV = P~^T G.
/// It is the exact gradient where P~ is P, and its error follows that of P~. A position bias of the head has no gradient.
///
/// Cost: d_v + 1 products of P~, and as many of P~^T, with n x d matrices: O(k n d d_v log n). Memory: O(n max(d, 64)). Rounding
/// errors: those of apply() and apply_transpose() with the plan's tolerance, each relative to its own product, not to what is
/// left when they are added up. Bit-identical for any number of threads. Thread-safe. Throws InvalidArgument for shapes that do
/// not fit and for heads that are given by their scores, Cancelled (the gradients are then unspecified).
template <Real T>
void estimated_gradient(const HeadView<T>& head, const ConvAttentionPlan<T>& plan, const ConvBackwardInput<T>& forward,
                        const HeadGradients<T>& gradients, const RunContext& context = {});

/// The gradient of the approximate forward: of Y~ as a function of Q, K and V, where the starts s_r are held fixed and u_r is
/// column s_r of the scores, read again from Q and K. With g_i = G_i / D_i and e_i = delta_i / D_i, delta_i = G_i . Y~_i,
///   dE_r[t] = sum_{j in segment r} (g_{j+t} . V_j - e_{j+t}),   du_r = E_r o dE_r,
///   dQ[s_r + t] += scale du_r[t] K[s_r],   dK[s_r] += scale sum_t du_r[t] Q[s_r + t],   dV = P~^T G.
/// So only the keys at starts have a gradient. Columns before the first start have score 0 whatever Q and K are: no gradient
/// comes from them. A position bias of the head is a part of u_r that does not change. `basis`: the scores as recovered, before
/// exponentiate(); the plan must have been made from its weights.
///
/// Cost: O(k n d log n) or less, about two products of the plan with V. Memory: O(n (d + k)). Rows are split by the size of D_i
/// into classes that go through the FFT one after the other, so that rows of a small D_i (whose g_i is large) do not drown the
/// others; rows beside which weights underflow are added one by one in their own scale, O(n d) each. In float the errors of dQ
/// and dK, as Frobenius norms, were up to 1.4e-5 of their size, and up to 4e-5 where D_i varies by twenty powers of ten; in
/// double, 1e-11 and less of |G| |K| and |G| |Q|. They are larger, relatively, where attention is so peaked that the gradient
/// itself nearly cancels: what is summed is P~_ij G_i . (V_j - Y~_i), and rounding is relative to P~_ij |G_i| |V_j - mean V|.
/// Bit-identical for any number of threads. Thread-safe. Throws InvalidArgument for shapes that do not fit, for a basis that is
/// not the plan's and for heads that are given by their scores, Cancelled (the gradients are then unspecified).
template <Real T>
void conv_forward_gradient(const HeadView<T>& head, const ConvBasis<T>& basis, const ConvAttentionPlan<T>& plan,
                           const ConvBackwardInput<T>& forward, const HeadGradients<T>& gradients,
                           const RunContext& context = {});

/// What both ask of their arguments; throws InvalidArgument.
template <Real T>
void require_fitting(const HeadView<T>& head, Index plan_size, const ConvBackwardInput<T>& forward,
                     const HeadGradients<T>& gradients);

}  // namespace convbasis
