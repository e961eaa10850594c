/// \file
/// The error of the approximation against the number k of lag vectors, from one recovery: what Recover finds for a smaller k are
/// the first segments of what it finds for a larger one. Likewise against the rank of an SVD, from one decomposition.
#pragma once

#include "analysis/yardsticks.h"
#include "attention/head.h"
#include "basis/conv_basis.h"
#include "core/run_context.h"

#include <functional>
#include <span>
#include <vector>

namespace convbasis {

struct KError {
  Index k = 0;         ///< as asked for
  Index found = 0;     ///< segments that there were: fewer than k when Recover needed no more
  double error = 0.0;  ///< ||Y~ - Y||_F / ||Y||_F over the rows looked at; 0 when both are zero. NaN stays NaN.
  bool operator==(const KError&) const = default;
};

/// 1, 2, 3, 4, 6, 8, 12, 16, ...: the powers of two and one number between each two of them, up to `largest`, which is the last.
std::vector<Index> k_ladder(Index largest);

/// For each of `ks`, in their order: the error of conv attention from the first k segments of `basis`, which are the scores that
/// recover() gave for the largest of them. `rows` are the ascending row indices of which `exact_rows` holds exact attention (rows
/// x d_v). `each`, when given, is called as points finish. Cost: exponentiate, plan and apply for each k, O(k n d_v) at most;
/// memory O(n (k + d_v)). Throws InvalidArgument for shapes that do not fit and for k < 1, Cancelled.
template <Real T>
std::vector<KError> error_by_k(const HeadView<T>& head, std::span<const Index> rows, MatrixView<T> exact_rows,
                               const ConvBasis<T>& basis, std::span<const Index> ks,
                               const std::function<void(const KError&)>& each = {}, const RunContext& context = {});

/// The same against the rank: of the causal part of the first k columns of `factors`, which come in the order of descending
/// singular values. Cost: 2 n k d_v multiply-adds for each k.
template <Real T>
std::vector<KError> error_by_rank(const HeadView<T>& head, std::span<const Index> rows, MatrixView<T> exact_rows,
                                  const MatrixFactors<T>& factors, std::span<const Index> ks, const RunContext& context = {});

}  // namespace convbasis
