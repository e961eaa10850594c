/// \file
/// Exact attention and its gradients on a GPU, from and to memory of the host. Inside the GPU module; see module_table.h.
#pragma once

#include "cuda/module_table.h"
#include "cuda/row_blocks.h"

#include <cstdint>

namespace convbasis::cuda {

struct HeadOutputs {
  float* const* output;
  std::int64_t stride;
  double* const* lse;
};

struct HeadForwards {
  const float* const* output;
  const double* const* lse;
  const float* const* output_gradient;
  std::int64_t stride;
};

struct HeadGradientOutputs {
  float* const* query;
  float* const* key;
  float* const* value;
};

/// Query heads one after the other. Rows go to the device in blocks, each once if all blocks of a head fit there, and as often as
/// they are needed if not; one is copied while another is computed. The results are the same bits in either case. Throw
/// DeviceError, std::bad_alloc, what `poll` throws.
void exact_attention(const ConvbasisCudaHeads& heads, const HeadOutputs& results, Workspace& workspace, const Poll& poll);
void exact_backward(const ConvbasisCudaHeads& heads, const HeadForwards& forward, const HeadGradientOutputs& gradients,
                    Workspace& workspace, const Poll& poll);
/// Of the first head.
void score_columns(const ConvbasisCudaHeads& heads, const std::int64_t* starts, std::int64_t count, float* const* lags,
                   Workspace& workspace, const Poll& poll);

}  // namespace convbasis::cuda
