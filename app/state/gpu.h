/// \file
/// Finds the GPU module and loads it.
#pragma once

#include "cuda/gpu.h"

#include <memory>

namespace convscope {

/// The module that CONVSCOPE_CUDA_MODULE names, or the one beside the program or in its lib folder. Never null: status() says
/// what is missing. Cost: loading a library and asking the driver, some 100 ms where there is a GPU.
std::shared_ptr<const convbasis::Gpu> open_gpu();

}  // namespace convscope
