/// \file
/// What another processor, such as a GPU, may do in place of the CPU. The seam alone; the engine works without one.
#pragma once

#include "attention/exact_backward.h"
#include "attention/head.h"
#include "core/run_context.h"

#include <memory>
#include <span>
#include <string>

namespace convbasis {

/// One segment of a lower-triangular matrix A: A_ij = lags[i - j] for its columns, from `start` to the next segment's.
struct AcceleratedSegment {
  Index start;
  std::span<const float> lags;  ///< n - start numbers
};

/// D^-1 A with A as a sum of segments, and how the CPU would cut its product (basis/apply_layout.h). Read during the call only.
struct AcceleratedWeights {
  Index size;                                    ///< n
  std::span<const AcceleratedSegment> segments;  ///< the first starts at column 0
  std::span<const float> row_factor;             ///< 1 / D_i; 0 leaves a row out
  Index columns;                                 ///< expected, of a value
  Index block;                                   ///< B of the partitioned FFT, a power of two; 0: as choose_layout() has it
};

/// D^-1 A, kept by the other processor. Several threads may call at the same time.
class AcceleratedProduct {
 public:
  virtual ~AcceleratedProduct() = default;
  /// output = D^-1 A value, or with `transpose` A^T D^-1 value; both n x columns. False: not done, `output` is unspecified and
  /// the CPU must do it. Throws Cancelled.
  virtual bool apply(MatrixView<float> value, bool transpose, MutableMatrixView<float> output,
                     const RunContext& context) const = 0;
};

/// Another processor. It does what it can and says where it cannot, which is no error: the CPU then does the same work, and
/// nothing is lost. Several threads may call at the same time. Shapes have been checked by the caller.
class Accelerator {
 public:
  virtual ~Accelerator() = default;
  /// For people: "GPU 0 (NVIDIA H100)".
  virtual std::string name() const = 0;

  /// As exact_attention() and exact_backward(), in float32. True: done. False: not done, the results are unspecified and the CPU
  /// must do it. Throw Cancelled.
  virtual bool exact_attention(const HeadView<float>& head, MutableMatrixView<float> output, std::span<double> lse,
                               const RunContext& context) const = 0;
  virtual bool exact_backward(const HeadView<float>& head, const BackwardInput<float>& forward,
                              const HeadGradients<float>& gradients, const RunContext& context) const = 0;
  /// Null: the CPU must do it. The accelerator must outlive the product. Throws Cancelled.
  virtual std::unique_ptr<AcceleratedProduct> product(const AcceleratedWeights& weights, const RunContext& context) const = 0;
};

}  // namespace convbasis
