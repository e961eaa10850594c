/// \file
/// Products with a matrix in conv form on a GPU: mirrors basis/apply and basis/partitioned. Inside the GPU module.
#pragma once

#include "cuda/host_rows.h"
#include "cuda/row_blocks.h"

#include <cstdint>
#include <memory>

namespace convbasis::cuda {

/// Everything that depends on the weights alone stays on the device: lags, their spectra, and the lists of what to sum. The
/// columns of a value go through in blocks, one copied while another is computed.
class ConvPlan {
 public:
  ConvPlan(const ConvbasisCudaWeights& weights, Workspace& workspace);
  ~ConvPlan();

  /// output = D^-1 A value, or A^T D^-1 value; n rows. Throws DeviceError, what `poll` throws, std::bad_alloc.
  void apply(const HostRows& value, bool transpose, float* output, std::int64_t output_stride, Workspace& workspace,
             const Poll& poll) const;

 private:
  class State;
  class Product;
  std::unique_ptr<State> state_;
};

}  // namespace convbasis::cuda
