/// \file
/// Half-precision numbers as they are stored on the device.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

namespace convbasis::cuda {

using Half = __half;

/// Rows of Half have a width that is a multiple of this on the device, filled up with zeros: they are read 16 bytes at a time.
inline constexpr int half_step = 8;
constexpr std::int64_t padded_width(std::int64_t width) { return (width + half_step - 1) / half_step * half_step; }

}  // namespace convbasis::cuda
