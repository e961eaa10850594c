/// \file
/// Inputs with a known conv basis. Mathematics page, section 6: with R the rotary rotation of one position,
/// q_i = R^i q and k_j = R^j kappa_r for j in segment r give scores that are exactly Toeplitz inside each segment.
#pragma once

#include "attention/head.h"
#include "core/run_context.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace convbasis {

struct PlantedOptions {
  Index n = 1024;
  Index d = 64;           ///< even, >= 2
  Index value_width = 0;  ///< 0: d
  Index k = 4;            ///< segments, 1 <= k <= n - T + 1
  Index T = 8;            ///< probe length for which delta is computed
  double noise = 0.0;     ///< eps: no score is moved by more than this
  double spread = 1.5;    ///< standard deviation of the entries of q and kappa; larger means a larger dynamic range
  std::uint64_t seed = 1;
};

template <Real T>
struct Planted {
  HeadTensors<T> head;
  std::vector<Index> starts;  ///< the true s_r, starts[0] = 0
  double delta = 0.0;         ///< the basis is (T, delta)-non-degenerate for this delta, rounding to the type included
  double noise = 0.0;         ///< no score was moved by more than this (rounding to the type not counted)
};

/// Throws InvalidArgument, naming the option, its value and its range, unless `options` are in range.
void require_valid(const PlantedOptions& options);

/// Throws InvalidArgument for options out of range, and when `noise` > delta / (5 T) so that Recover could not work.
/// Starts are random, at least T apart where k such segments fit. Cost O(n d + k T (k + d)), mostly on all threads.
/// The same seed gives the same input everywhere, up to the last digit of the machine's sin, cos and log. Throws Cancelled.
template <Real T>
Planted<T> make_planted(const PlantedOptions& options, const RunContext& context = {});

/// The same query, key, scale, starts and delta, but no value: head.value stays empty. For inputs whose V does not fit in memory
/// as a whole (data/planted_values.h).
template <Real T>
Planted<T> make_planted_scores(const PlantedOptions& options, const RunContext& context = {});

/// Gaussian Q, K, V without any structure. scale = 1/sqrt(d).
template <Real T>
HeadTensors<T> make_random_head(Index n, Index d, Index value_width, std::uint64_t seed);

/// Reads "k=4,n=1024,d=64,T=8,noise=0.001,seed=1" (any subset, any order). Throws InvalidArgument naming the offending part.
PlantedOptions parse_planted(std::string_view text);

}  // namespace convbasis
