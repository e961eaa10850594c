#include "state/training_request.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace convscope {

namespace {

constexpr Index least_n = 16;
constexpr Index largest_n = 8192;
constexpr Index largest_d = 64;
constexpr int most_steps = 10000;

double finite(double value, double otherwise) { return std::isfinite(value) && value >= 0.0 ? value : otherwise; }

/// All that a run depends on.
auto experiment_of(const TrainingRequest& request) {
  const convbasis::OneLayerOptions& problem = request.problem;
  return std::tuple(problem.n, problem.d, problem.k, problem.T, problem.value_width, problem.noise, problem.spread,
                    problem.distance, problem.seed, request.optimiser, request.rate, request.parameters, request.recover_every,
                    request.between, request.precision, request.wanted);
}

}  // namespace

convbasis::TrainingOptions TrainingRequest::options(Backward backward) const {
  convbasis::TrainingOptions options;
  options.backward = backward;
  options.optimiser = optimiser;
  options.rate = rate;
  options.parameters = parameters;
  options.recover_every = recover_every;
  options.between = between;
  return options;
}

bool same_experiment(const TrainingRequest& a, const TrainingRequest& b) { return experiment_of(a) == experiment_of(b); }

bool operator==(const TrainingRequest& a, const TrainingRequest& b) { return a.steps == b.steps && same_experiment(a, b); }

std::shared_ptr<const convbasis::Accelerator> accelerator_for(Precision precision, Index n, const ChosenDevice& device) {
  return precision == Precision::f32 ? device.accelerator(n) : nullptr;
}

TrainingRequest clamped(TrainingRequest request) {
  const convbasis::OneLayerOptions usual;
  convbasis::OneLayerOptions& problem = request.problem;
  problem.n = std::clamp(problem.n, least_n, largest_n);
  problem.d = std::clamp<Index>(problem.d + problem.d % 2, 2, largest_d);
  problem.T = std::clamp<Index>(problem.T, 1, problem.n / 2);
  problem.k = std::clamp<Index>(problem.k, 1, problem.n / problem.T);
  problem.noise = finite(problem.noise, usual.noise);
  request.rate = finite(request.rate, 0.0);
  request.steps = std::clamp(request.steps, 1, most_steps);
  request.recover_every = std::clamp(request.recover_every, 1, request.steps);
  if (std::ranges::none_of(request.wanted, [](bool wanted) { return wanted; })) request.wanted.front() = true;
  return request;
}

const char* title_of(Backward backward) {
  switch (backward) {
    case Backward::exact:
      return "exact";
    case Backward::estimate:
      return "estimate (paper)";
    case Backward::conv:
      return "conv forward";
  }
  return "";
}

}  // namespace convscope
