/// \file
/// What the parts of attention cost on this machine: the numbers behind every choice between ways of computing the same thing
/// (block size, FFT or direct, conv or exact). They change which way is taken, never whether its result is right.
#pragma once

#include "core/types.h"

#include <array>

namespace convbasis {

/// Nanoseconds on one thread in float32, working sets as large as they come. The defaults were measured by calibrate()
/// (analysis/calibrate.h) on a two-core AMD EPYC with AVX2; elsewhere mostly their ratios matter.
struct CostModel {
  /// Blocks of 2^5 ... 2^16 rows.
  static constexpr int smallest_log_block = 5;
  static constexpr int largest_log_block = 16;
  using Transforms = std::array<double, largest_log_block - smallest_log_block + 1>;
  /// Working sets for which `spectral` was measured: each is four times the one before it.
  static constexpr double smallest_working_set = 16.0 * 1024.0;
  using Spectral = std::array<double, 5>;

  /// One number to the frequency domain and back, by blocks of each size: twist, FFT and store, load, inverse FFT and untwist.
  Transforms transform = {5.9, 3.5, 3.6, 3.6, 3.8, 4.2, 4.5, 5.7, 8.4, 10.3, 10.8, 13.1};
  /// One complex multiply-add, when the spectra that are summed over take 16 KiB, 64 KiB, ... 4 MiB for each chunk of
  /// frequencies.
  Spectral spectral = {0.104, 0.147, 0.213, 0.27, 0.37};
  double direct = 0.047;      ///< one multiply-add of the direct product
  double exact = 0.022;       ///< one multiply-add of exact attention
  double exact_score = 0.03;  ///< one score of it: exponential, maximum, mask
  double recover = 0.041;     ///< one multiply-add of recover
  double exponential = 3.6;   ///< one number of a lag vector: to a weight, into the row sums
  double conv_value = 2.0;    ///< one number of V, by the conv way: error estimate and fresh memory
  double exact_call = 12e3;   ///< exact attention of next to nothing
  double conv_call = 130e3;   ///< the conv way of next to nothing
  double exact_double = 2.2;  ///< how many times the above exact attention takes in float64
  double conv_double = 1.9;   ///< and the conv way

  /// Cost of `transform` for blocks of `block` rows, a power of two; the nearest one where that size was not measured.
  double transform_of(Index block) const;
  /// Cost of one complex multiply-add with a working set of so many bytes, between the measured ones by its logarithm.
  double spectral_of(double bytes) const;

  bool operator==(const CostModel&) const = default;
};

/// Whether every number is finite and above 0 and within a factor that a real machine could show.
bool is_plausible(const CostModel& model);

/// The model in use by the whole process: the defaults until set_cost_model. Thread-safe.
CostModel cost_model();
/// For what is planned from now on. Throws InvalidArgument unless the model is plausible.
void set_cost_model(const CostModel& model);

}  // namespace convbasis
