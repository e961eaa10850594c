/// \file
/// The one-layer training experiment that the window wants, as a value.
#pragma once

#include "analysis/runtime_curve.h"
#include "state/device_wish.h"
#include "training/gradients.h"
#include "training/one_layer.h"
#include "training/trainer.h"

#include <array>
#include <cstddef>
#include <memory>

namespace convscope {

using convbasis::Backward;
using convbasis::Index;
using convbasis::Precision;

/// The problem, and how it is trained: as `convscope train` with the same options.
struct TrainingRequest {
  convbasis::OneLayerOptions problem;
  convbasis::Optimiser optimiser = convbasis::TrainingOptions{}.optimiser;
  double rate = convbasis::TrainingOptions{}.rate;  ///< 0: the optimiser's own
  convbasis::Parameters parameters = convbasis::TrainingOptions{}.parameters;
  int steps = 200;
  int recover_every = convbasis::TrainingOptions{}.recover_every;
  convbasis::Between between = convbasis::TrainingOptions{}.between;
  Precision precision = Precision::f64;
  std::array<bool, convbasis::all_backwards.size()> wanted{true, true, true};  ///< in the order of all_backwards

  bool wants(Backward backward) const { return wanted[static_cast<std::size_t>(backward)]; }
  /// What a run with `backward` is begun with.
  convbasis::TrainingOptions options(Backward backward) const;
};

/// True when both are the same experiment, carried on for another number of steps at most.
bool same_experiment(const TrainingRequest& a, const TrainingRequest& b);
bool operator==(const TrainingRequest& a, const TrainingRequest& b);

/// What helps the CPU with n tokens in this precision; null: nothing. A GPU computes in f32 alone.
std::shared_ptr<const convbasis::Accelerator> accelerator_for(Precision precision, Index n, const ChosenDevice& device);

/// The nearest request that can be computed here: n into [16, 8192], d even in [2, 64], k and T so that k segments fit, steps
/// into [1, 10000], recover_every into [1, steps], finite numbers >= 0, and one backward at least.
TrainingRequest clamped(TrainingRequest request);

/// "exact", "estimate (paper)", "conv forward": for people.
const char* title_of(Backward backward);

}  // namespace convscope
