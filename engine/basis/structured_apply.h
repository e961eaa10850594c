/// \file
/// Attention by a structured fit, from Q, K and V: the exact entries as small dense products, the rest by running sums (rank one)
/// or as a partitioned convolution. Mathematics page, section 7.
#pragma once

#include "attention/head.h"
#include "basis/apply.h"
#include "basis/structured_fit.h"
#include "core/run_context.h"

#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace convbasis {

/// output.row(i) = sum of P_ij V_j over the exact entries of row i, with P_ij = exp(S_ij - lse_i). Cost: n (w + c) (d + d_v)
/// multiply-adds and the edges of tiles. Throws InvalidArgument for shapes that do not fit, Cancelled.
template <Real T>
void exact_entries_product(const HeadView<T>& head, const ExactEntries& entries, std::span<const double> lse,
                           MutableMatrixView<T> output, const RunContext& context = {});

/// The log-sum-exps of the exact entries alone, with which they make rows that sum to 1: what attention is where the rest is
/// masked instead of replaced. `lse` as above, and kept in rows without weight in exact entries. Same cost with d_v = 1.
template <Real T>
std::vector<double> exact_entries_lse(const HeadView<T>& head, const ExactEntries& entries, std::span<const double> lse,
                                      const RunContext& context = {});

/// log sum exp(S_ij) over the exact entries of each row, without knowing anything of the others; minus infinity in rows without
/// any. Same cost but for V.
template <Real T>
std::vector<double> exact_entries_log_mass(const HeadView<T>& head, const ExactEntries& entries, const RunContext& context = {});

/// tile(x, y) = S(row + x, columns[y]) for `columns` ascending; anything above the diagonal. Cost O(rows columns d).
template <Real T>
void column_scores(const HeadView<T>& head, Index row, std::span<const Index> columns, MutableMatrixView<T> tile);

/// sum_j b_j g[i - j] of each row: what the rest of a row sums to but for its row factor. Relative error 1e-9 at most.
std::vector<double> rest_row_sums(const StructuredFit& fit, const RunContext& context = {});

/// plan -> execute -> destroy, as ConvAttentionPlan: construction does what depends on the fit alone.
template <Real T>
class StructuredPlan {
 public:
  /// `columns`: the expected number of columns of V, for the cost model only. Throws InvalidArgument when there is no fit.
  StructuredPlan(std::shared_ptr<const StructuredFit> fit, Index columns, const ApplyOptions& options = {},
                 const RunContext& context = {});
  ~StructuredPlan();
  StructuredPlan(StructuredPlan&&) noexcept;
  StructuredPlan& operator=(StructuredPlan&&) noexcept;

  /// output = P~ V, n x d_v. Rows in which the FFT's error would show are recomputed in double, as by ConvAttentionPlan, but held
  /// against the whole row, exact entries included. Cost: exact_entries_product() and n d_v for rank one, the convolution's
  /// otherwise. The result does not depend on the number of threads. Throws InvalidArgument for shapes that do not fit,
  /// Cancelled.
  ApplyReport apply(const HeadView<T>& head, MutableMatrixView<T> output, const RunContext& context = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Plan and product at once: P~ V of a fit that is applied only once, and how it went.
template <Real T>
std::pair<Matrix<T>, ApplyReport> fit_output(const HeadView<T>& head, std::shared_ptr<const StructuredFit> fit,
                                             const RunContext& context = {});

}  // namespace convbasis
