/// \file
/// Attention by a conv basis: Y = D^-1 (sum_r conv(E_r) (V on segment r)). Mathematics page, section 3.
#pragma once

#include "basis/conv_weights.h"
#include "core/run_context.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace convbasis {

struct ApplyOptions {
  /// Block of the partitioned convolution, a power of two of at least 2; 0 lets the cost model choose.
  Index block = 0;
  /// A row whose estimated rounding error passes this, relative to the row's own root mean square, is recomputed in double
  /// ("rescued"): directly, or where such rows are many by a float64 FFT first. Unset: 1e-5 for float, 1e-13 for double. The
  /// error found in a row that is kept passes it at times, by a factor of up to 2 or 3 (narrow V, very unequal rows of V). 0
  /// rescues every row; with infinity only rows whose sum underflows.
  std::optional<double> row_tolerance = std::nullopt;
};

struct ApplyReport {
  std::vector<Index> rescued;  ///< rows recomputed in double, ascending
  Index block = 0;             ///< FFT block used; 0 when every segment was done directly
  Index direct_columns = 0;    ///< columns whose segments were too short for an FFT
  bool second_try = false;     ///< they were computed by a float64 FFT; one by one, in double, only where that did not do
  std::string path;            ///< for people: "partitioned FFT, block 512, float32" and the like

  Index rescued_rows() const { return static_cast<Index>(rescued.size()); }
};

struct ApplyLayout;

/// Uniformly partitioned convolution with accumulation in the frequency domain: each block of V is transformed once, each
/// lag block of E once, each block of the output is transformed back once. Segments may start anywhere; short ones are
/// multiplied directly. plan -> execute -> destroy: construction does all work that depends on the weights alone;
/// apply() and apply_transpose() are const and may run at the same time on different data.
/// Memory of a plan: about 2 (k/2) n (number + spectrum); of an execution: O(n * channels in flight).
template <Real T>
class ConvAttentionPlan {
 public:
  /// `columns`: the expected number of columns of V, for the cost model only. Keeps a reference to nothing but the context's
  /// accelerator, which in float multiplies by D^-1 A where it can; rows are checked and rescued here all the same.
  ConvAttentionPlan(std::shared_ptr<const ConvWeights<T>> weights, Index columns, const ApplyOptions& options = {},
                    const RunContext& context = {});
  ~ConvAttentionPlan();
  ConvAttentionPlan(ConvAttentionPlan&&) noexcept;
  ConvAttentionPlan& operator=(ConvAttentionPlan&&) noexcept;

  Index size() const;
  const ConvWeights<T>& weights() const;
  const ApplyLayout& layout() const;
  /// output = P~ value; both n x d_v. Cost O((n/B) d_v (FFT(2B) + n B / 2B)) + rescued rows. Throws InvalidArgument, Cancelled.
  ApplyReport apply(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context = {}) const;
  /// output = P~^T value, the adjoint: <P~ x, y> = <x, P~^T y> to rounding. Same cost; rows with a
  /// row sum too small for the FFT go through passes of their own, made on the first call, or are added one by one.
  void apply_transpose(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The paper's scheme, one FFT of length >= 2n - 1 for every segment and column: O(k n d log n). The readable reference
/// and the "conv_full" line of the curves; no rows are rescued.
template <Real T>
void apply_full_length(const ConvWeights<T>& weights, MatrixView<T> value, MutableMatrixView<T> output,
                       const RunContext& context = {});

}  // namespace convbasis
