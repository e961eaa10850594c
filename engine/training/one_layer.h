/// \file
/// The Conv-Basis paper's one-layer problem, planted: L(X) = 1/2 || D^-1 exp(A1 X A2^T) A3 Y0 - E ||_F^2, causal. Mathematics
/// page, section 4. It is attention with Q = A1 X, K = A2, V = A3 Y0 and scale 1, so dL/dX = A1^T dS A2 = A1^T dQ.
///
/// With R the rotary rotation of one position, A1 has the rows R^i a and A2 the rows R^j kappa_r for j in segment r. Wherever X
/// commutes with R, that is consists of 2 x 2 blocks of rotation and scaling along its diagonal, the scores A1 X A2^T are then
/// exactly Toeplitz inside each segment; elsewhere they are not. Both X_0 and the X* that E is made with are such blocks.
#pragma once

#include "basis/recover.h"
#include "core/run_context.h"
#include "core/types.h"

#include <cstdint>
#include <vector>

namespace convbasis {

struct OneLayerOptions {
  Index n = 512;          ///< tokens
  Index d = 16;           ///< width of A1, A2 and X; even, >= 2
  Index k = 4;            ///< segments, 1 <= k <= n - T + 1
  Index T = 8;            ///< entries of a column that a probe of Recover reads
  Index value_width = 0;  ///< d_v; 0: d
  double noise = 0.0;     ///< eps: no score at X_0 is further than this from a k-conv basis; at most delta / (5 T)
  double spread = 1.5;    ///< standard deviation of the entries of a and kappa
  double distance = 0.5;  ///< of X* from X_0: standard deviation of an entry of a block of sqrt(d) (X* - X_0)
  std::uint64_t seed = 1;
};

/// Immutable once made; share it between threads freely.
template <Real T>
struct OneLayerProblem {
  Matrix<T> a1, a2;           ///< n x d
  Matrix<T> value;            ///< A3 Y0, n x d_v
  Matrix<T> target;           ///< E, n x d_v: exact attention's output at X*, so that the least loss is 0
  Matrix<T> start;            ///< X_0 = I / sqrt(d), d x d
  Matrix<T> solution;         ///< X*, d x d
  std::vector<Index> starts;  ///< the planted segment starts
  RecoverOptions recover;     ///< find the planted basis at X_0, with room on either side of the threshold while X moves
};

/// Planted data of the given seed: the same everywhere up to the last digit of sin, cos, log and exp. Cost: exact attention of n
/// tokens. Throws InvalidArgument, naming the option, its value and its range, Cancelled.
template <Real T>
OneLayerProblem<T> plant_one_layer(const OneLayerOptions& options, const RunContext& context = {});

}  // namespace convbasis
