/// \file
/// Exact attention and its gradients on a GPU, from and to memory of the host. Inside the GPU module; see module_table.h.
#pragma once

#include "cuda/module_table.h"

#include <cstdint>
#include <functional>

namespace convbasis::cuda {

/// Throws when the work is to be given up.
using Poll = std::function<void()>;

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

/// Key heads go to the device one after the other, each with the query heads that read it; one is copied while another is
/// computed. Device memory: two key heads with theirs. Throws DeviceError, std::bad_alloc.
void exact_attention(const ConvbasisCudaHeads& heads, const HeadOutputs& results, const Poll& poll);
void exact_backward(const ConvbasisCudaHeads& heads, const HeadForwards& forward, const HeadGradientOutputs& gradients,
                    const Poll& poll);
void score_columns(const ConvbasisCudaHeads& heads, const std::int64_t* starts, std::int64_t count, float* const* lags,
                   const Poll& poll);

}  // namespace convbasis::cuda
