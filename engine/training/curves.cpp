#include "training/curves.h"

#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace convbasis {
namespace {

/// One backward pass at one n: its run, and the times so far.
template <Real T>
struct Line {
  Backward backward;
  Trainer<T> trainer;
  std::vector<double> seconds;
  double total = 0.0;
};

void require_valid(const StepTimesRequest& request) {
  if (request.n.empty() || request.backwards.empty()) {
    throw InvalidArgument("times per step need at least one n and one backward pass");
  }
  if (request.max_repeats < 1) {
    throw InvalidArgument(fmt::format("max_repeats is {}; it must be at least 1", request.max_repeats));
  }
}

template <Real T>
std::vector<Line<T>> lines_at(const StepTimesRequest& request, Index n, const RunContext& context) {
  OneLayerOptions options = request.problem;
  options.n = n;
  const auto problem = std::make_shared<const OneLayerProblem<T>>(plant_one_layer<T>(options, context));
  std::vector<Line<T>> lines;
  for (const Backward backward : in_order(request.backwards)) {
    TrainingOptions training = request.training;
    training.backward = backward;
    training.compare = false;
    lines.push_back({backward, Trainer<T>(problem, training), {}});
  }
  return lines;
}

template <Real T>
void measure(std::vector<Line<T>>& lines, const StepTimesRequest& request, const RunContext& context) {
  for (Line<T>& line : lines) line.trainer.step(context);
  for (int repeat = 0; repeat < request.max_repeats; ++repeat) {
    for (Line<T>& line : lines) {
      if (repeat > 0 && line.total >= request.seconds_per_point) continue;
      line.seconds.push_back(line.trainer.step(context).seconds);
      line.total += line.seconds.back();
    }
  }
}

template <Real T>
StepTime summarise(Line<T>& line, Index n) {
  std::ranges::sort(line.seconds);
  const std::size_t count = line.seconds.size();
  const double median = (line.seconds[(count - 1) / 2] + line.seconds[count / 2]) / 2.0;
  return {line.backward, n, median, line.seconds.front(), line.seconds.back(), static_cast<int>(count)};
}

}  // namespace

template <Real T>
std::vector<TrainingStep> train(std::shared_ptr<const OneLayerProblem<T>> problem, const TrainingOptions& options, int steps,
                                const RunContext& context, const std::function<void(const TrainingStep&)>& each) {
  if (steps < 1) throw InvalidArgument(fmt::format("steps is {}; it must be at least 1", steps));
  Trainer<T> trainer(std::move(problem), options);
  RunContext quiet = context;  // progress is that of the run, not of its passes
  quiet.progress = {};
  std::vector<TrainingStep> run;
  for (int step = 0; step < steps; ++step) {
    run.push_back(trainer.step(quiet));
    if (each) each(run.back());
    context.report("training", static_cast<double>(step + 1) / static_cast<double>(steps));
  }
  return run;
}

double largest_loss_difference(std::span<const TrainingStep> run, std::span<const TrainingStep> reference) {
  double largest = 0.0;
  for (std::size_t t = 0; t < std::min(run.size(), reference.size()); ++t) {
    const double loss = run[t].loss;
    const double other = reference[t].loss;
    const double difference = loss == other ? 0.0 : std::abs(loss - other) / other;
    if (!(difference <= largest)) largest = difference;
    if (std::isnan(largest)) break;
  }
  return largest;
}

template <Real T>
std::vector<StepTime> measure_step_times(const StepTimesRequest& request, const RunContext& context,
                                         const std::function<void(const StepTime&)>& each) {
  require_valid(request);
  RunContext quiet = context;
  quiet.progress = {};
  std::vector<Index> sizes = request.n;
  std::ranges::sort(sizes);
  std::vector<StepTime> times;
  for (std::size_t done = 0; done < sizes.size(); ++done) {
    auto lines = lines_at<T>(request, sizes[done], quiet);
    measure(lines, request, quiet);
    for (Line<T>& line : lines) {
      times.push_back(summarise(line, sizes[done]));
      if (each) each(times.back());
    }
    context.report("time per step", static_cast<double>(done + 1) / static_cast<double>(sizes.size()));
  }
  return times;
}

template std::vector<TrainingStep> train(std::shared_ptr<const OneLayerProblem<float>>, const TrainingOptions&, int,
                                         const RunContext&, const std::function<void(const TrainingStep&)>&);
template std::vector<TrainingStep> train(std::shared_ptr<const OneLayerProblem<double>>, const TrainingOptions&, int,
                                         const RunContext&, const std::function<void(const TrainingStep&)>&);
template std::vector<StepTime> measure_step_times<float>(const StepTimesRequest&, const RunContext&,
                                                         const std::function<void(const StepTime&)>&);
template std::vector<StepTime> measure_step_times<double>(const StepTimesRequest&, const RunContext&,
                                                          const std::function<void(const StepTime&)>&);

}  // namespace convbasis
