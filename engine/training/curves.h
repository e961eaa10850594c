/// \file
/// Whole training runs, and what a step of them takes against n.
#pragma once

#include "core/run_context.h"
#include "training/trainer.h"

#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace convbasis {

/// The first `steps` steps of a run, `each` called after every one. Throws InvalidArgument (as Trainer, or steps < 1), Cancelled.
template <Real T>
std::vector<TrainingStep> train(std::shared_ptr<const OneLayerProblem<T>> problem, const TrainingOptions& options, int steps,
                                const RunContext& context = {}, const std::function<void(const TrainingStep&)>& each = {});

/// max_t |loss_t - reference_t| / reference_t over the steps that both have; NaN where one of them is. Two losses of 0 do not
/// differ.
double largest_loss_difference(std::span<const TrainingStep> run, std::span<const TrainingStep> reference);

struct StepTimesRequest {
  std::vector<Index> n = {256, 512, 1024, 2048, 4096};
  OneLayerOptions problem;   ///< all but n
  TrainingOptions training;  ///< all but backward and compare
  std::vector<Backward> backwards = {all_backwards.begin(), all_backwards.end()};
  int max_repeats = 7;
  double seconds_per_point = 1.0;  ///< repeats stop once a point has used this (at least one)
};

struct StepTime {
  Backward backward = Backward::exact;
  Index n = 0;
  double seconds = 0.0;  ///< median of TrainingStep::seconds
  double seconds_min = 0.0;
  double seconds_max = 0.0;
  int repeats = 0;
};

/// Measures every (n, backward), n ascending. The first step of a run warms plans and caches and does not count; after it the
/// backward passes take turns step by step, so that drift of the machine hits all alike. `each` is called as points finish. Cost:
/// that of the steps, and of exact attention for each n. Throws InvalidArgument, Cancelled.
template <Real T>
std::vector<StepTime> measure_step_times(const StepTimesRequest& request, const RunContext& context = {},
                                         const std::function<void(const StepTime&)>& each = {});

}  // namespace convbasis
