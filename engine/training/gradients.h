/// \file
/// Gradients of any head by the three backward passes, with their errors and times. The gradient of the conv forward is that of
/// another function of Q, K and V, which reads the keys at starts alone: its dK is zero elsewhere and its dQ is not the exact
/// one, even where both forwards are equal. Only along changes that keep the conv basis do they agree.
#pragma once

#include "attention/head.h"
#include "basis/recover.h"
#include "core/run_context.h"
#include "training/passes.h"

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace convbasis {

/// One head's gradients by one backward pass.
template <Real T>
struct GradientsByOneWay {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();  ///< without the exact gradients
  Backward backward = Backward::exact;
  Matrix<T> query, key, value;    ///< dQ, dK, dV
  double query_error = unknown;   ///< ||. - exact||_F / ||exact||_F; 0 for exact itself
  double key_error = unknown;     ///< of dK
  double value_error = unknown;   ///< of dV
  double forward_seconds = 0.0;   ///< exact attention; or recover, exponentials, plan and apply, done once for both others
  double backward_seconds = 0.0;  ///< the backward pass alone
};

template <Real T>
struct GradientComparison {
  Matrix<T> output_gradient;               ///< G = dL/dY
  std::vector<GradientsByOneWay<T>> ways;  ///< in the order of all_backwards
  Index k_found = 0;                       ///< segments that Recover found; 0 without estimate and conv
  std::vector<Index> starts;               ///< where they start
};

/// The gradients of sum G . Y by every wanted way; the errors need the exact one among them. Cost: O(n^2 d) with it, see
/// exact_backward.h and conv_backward.h. Throws InvalidArgument (bad options, shapes that do not fit, a head that is given by its
/// scores, no way wanted), Cancelled.
template <Real T>
GradientComparison<T> compare_gradients(const HeadView<T>& head, const RecoverOptions& options, MatrixView<T> output_gradient,
                                        std::span<const Backward> wanted, const RunContext& context = {});

/// Independent standard normal numbers of the given seed, n x d_v.
template <Real T>
Matrix<T> random_output_gradient(Index n, Index value_width, std::uint64_t seed);

}  // namespace convbasis
