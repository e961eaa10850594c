/// \file
/// What `train` found, as JSON, as CSV and as tables.
#pragma once

#include "cli/head_input.h"
#include "cli/machine.h"
#include "training/curves.h"
#include "training/gradients.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace convscope {

/// One run of the one-layer problem.
struct TrainingRun {
  convbasis::TrainingOptions options;  ///< with what the trainer filled in
  std::vector<convbasis::TrainingStep> steps;
  double loss_difference = convbasis::TrainingStep::unknown;  ///< largest_loss_difference to the exact run; NaN without one
};

/// All that the report of one-layer training says, whatever the precision.
struct TrainingReport {
  Machine machine;
  std::string precision;  ///< "f32" or "f64"
  convbasis::OneLayerOptions problem;
  std::vector<Index> starts;               ///< the planted ones
  std::vector<TrainingRun> runs;           ///< exact first, where it is wanted
  std::vector<convbasis::StepTime> times;  ///< of --time-per-step; then there are no runs
};

/// {version, machine, precision, problem: {n, d, d_v, k, T, noise, seed, starts}, runs: [{backward, optimizer, rate, parameters,
/// recover_every, between, recover: {k, T, delta, eps}, final_loss, largest_loss_difference, seconds_per_step, and arrays with a
/// number for each step: loss, exact_loss, gradient_norm, gradient_error, k_found, recovered, seconds}], step_times: [{backward,
/// n, seconds, seconds_min, seconds_max, repeats}]}. What was not compared is null.
nlohmann::ordered_json to_json(const TrainingReport& report);
/// A line for each step of each run; with times per step, for each of them.
std::string csv_text(const TrainingReport& report);
void print_report(const TrainingReport& report);

/// {version, file, model, layer, head, kv_head, n, d, d_v, scale, precision, k_requested, k_found, T, delta, eps, starts,
/// gradient_seed, planted, gradients: [{backward, query_error, key_error, value_error, query_norm, key_norm, value_norm, seconds:
/// {forward, backward}}]}.
template <convbasis::Real T>
nlohmann::ordered_json gradients_json(const HeadInput<T>& input, const convbasis::RecoverOptions& options, std::uint64_t seed,
                                      const convbasis::GradientComparison<T>& comparison);
template <convbasis::Real T>
void print_gradients(const HeadInput<T>& input, const convbasis::RecoverOptions& options,
                     const convbasis::GradientComparison<T>& comparison);

}  // namespace convscope
