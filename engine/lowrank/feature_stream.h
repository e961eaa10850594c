/// \file
/// The streamed product of features under continuous rows. Internal to the engine.
#pragma once

#include "core/run_context.h"
#include "lowrank/features.h"
#include "lowrank/masks.h"
#include "lowrank/stream_plan.h"

#include <span>

namespace convbasis {

/// What is summed: the weights are polynomial(scale query_i . key_j).
template <Real T>
struct StreamInput {
  MatrixView<T> query;
  MatrixView<T> key;
  MatrixView<T> value;
  double scale;
  std::span<const double> coefficients;
};

/// Rows of a block, and keys: enough for the products with the sums to run well, and few enough that what is done from scores
/// within a block costs a quarter of them.
template <Real T>
Index stream_block(Index features, Index width, Index value_width);
/// Bytes of the features and the running sums.
template <Real T>
double stream_bytes(Index width, Index value_width, Index degree, Index fronts);

/// sums.row(i) = sum over the columns j of row i of weight_ij (V_j, 1): n x (d_v + 1). The plan's block is stream_block()'s.
/// The result does not depend on the number of threads. Throws Cancelled.
template <Real T>
void stream_features(const StreamInput<T>& input, const IntervalMask& mask, const StreamPlan& plan, MutableMatrixView<T> sums,
                     const RunContext& context);

}  // namespace convbasis
