/// \file
/// Half-precision numbers as CUDA names them: stands in for the real header when the module is built for tests.
#pragma once

#include <Eigen/Core>

#include <cstdint>

struct __half {
  std::uint16_t bits;
};

inline float __half2float(__half number) {
  return Eigen::half_impl::half_to_float(Eigen::half_impl::raw_uint16_to_half(number.bits));
}
inline __half __float2half_rn(float number) { return {Eigen::half_impl::float_to_half_rtne(number).x}; }
