/// \file
/// Measured runtime curves: exact attention against conv attention and polynomial features on planted inputs, on this machine,
/// now.
#pragma once

#include "core/run_context.h"
#include "core/types.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace convbasis {

enum class Precision { f32, f64 };
std::string_view name_of(Precision precision);

struct CurveRequest {
  std::vector<Index> n = {1024, 2048, 4096, 8192, 16384, 32768};
  std::vector<Index> k = {16};
  Index d = 64;
  Index degree = 2;  ///< of the features of method rank
  Precision precision = Precision::f32;
  int max_repeats = 7;
  double seconds_per_point = 1.0;  ///< repeats stop once a point has used this (at least one run)
  /// Repeats stop, too, once at least five lie close together: the middle half of the times within this share of the median. 0:
  /// all max_repeats are made.
  double steady_spread = 0.0;
  std::vector<std::string> methods = {};  ///< only these (see CurvePoint::method); empty: all
  Index full_length_limit = 65536;        ///< largest n for the paper's full-length scheme
  Index exact_limit = 65536;              ///< beyond it exact time is extrapolated by n^2 and marked so
};

struct CurvePoint {
  std::string method;  ///< exact, conv_full, conv_partitioned, planned (the one of exact and conv_partitioned that
                       ///< planned_attention takes), rank (polynomial features); cuda_exact and cuda_conv, the
                       ///< context's accelerator, in float, where there is one and it can
  Index n = 0;
  Index k = 0;  ///< segments; 0 for exact, which has none; of rank the number of features
  Index d = 0;
  Precision precision = Precision::f32;
  double seconds = 0.0;  ///< median
  double seconds_min = 0.0;
  double seconds_max = 0.0;
  int repeats = 0;  ///< 0 when extrapolated
  bool extrapolated = false;
};

/// Measures every (method, n, k), n ascending. Conv times are the whole way from Q, K, V: recover, exponentials, plan and apply;
/// methods are interleaved repeat by repeat so that drift of the machine hits all alike. `each`, when given, is called as points
/// finish. Throws InvalidArgument, Cancelled.
std::vector<CurvePoint> measure_curve(const CurveRequest& request, const RunContext& context = {},
                                      const std::function<void(const CurvePoint&)>& each = {});

}  // namespace convbasis
