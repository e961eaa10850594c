#include "state/training_times.h"

#include <algorithm>
#include <span>
#include <utility>

namespace convscope {

namespace {

constexpr Index smallest_n = 256;
constexpr Index largest_n = 16384;
constexpr double longest_step = 1.0;  // seconds
constexpr double seconds_per_point = 0.25;
constexpr int most_repeats = 9;

/// Whether the next step, at twice the n of the last point, takes less than longest_step: n^2 is the steepest it can grow.
bool affordable(Backward backward, Index n, std::span<const StepTime> points) {
  const StepTime* last = nullptr;
  for (const StepTime& point : points) {
    if (point.backward == backward) last = &point;
  }
  if (!last) return points.empty();
  const double growth = static_cast<double>(n) / static_cast<double>(last->n);
  return growth <= 2.0 && last->seconds * growth * growth <= longest_step;
}

/// What is measured at one n, as `convscope train` measures it.
convbasis::StepTimesRequest request_for(const TrainingRequest& request, std::vector<Backward> ways) {
  convbasis::StepTimesRequest times;
  times.n = {request.problem.n};
  times.problem = request.problem;
  times.training = request.options(Backward::exact);
  times.backwards = std::move(ways);
  times.max_repeats = most_repeats;
  times.seconds_per_point = seconds_per_point;
  return times;
}

}  // namespace

void TrainingTimes::measure(const TrainingRequest& request, const ChosenDevice& device) {
  curves_ = std::make_shared<Curves>();
  curves_->request = request;
  curves_->device = device;
  for (Index n = smallest_n; n <= largest_n; n *= 2) {
    if (n >= request.problem.k * request.problem.T) curves_->sizes.push_back(n);
  }
  worker_.start([curves = curves_](const std::stop_token& stop) { return measure_next(*curves, stop); });
}

void TrainingTimes::stop() { worker_.drop(); }

bool TrainingTimes::measure_next(Curves& curves, const std::stop_token& stop) {
  TrainingRequest request = curves.request;
  std::vector<StepTime> known;
  {
    const std::lock_guard lock(curves.mutex);
    if (curves.sizes_done == curves.sizes.size()) return false;
    request.problem.n = curves.sizes[curves.sizes_done];
    known = curves.points;
  }
  std::vector<Backward> ways;
  for (const Backward backward : convbasis::all_backwards) {
    if (request.wants(backward) && affordable(backward, request.problem.n, known)) ways.push_back(backward);
  }
  const auto accelerator = accelerator_for(request.precision, request.problem.n, curves.device);
  const auto record = accelerator ? std::make_unique<const AcceleratorRecord>(accelerator) : nullptr;
  convbasis::RunContext context;
  context.stop = stop;
  context.accelerator = record.get();
  std::vector<StepTime> points;
  if (!ways.empty()) {
    const convbasis::StepTimesRequest times = request_for(request, std::move(ways));
    points = request.precision == Precision::f32 ? convbasis::measure_step_times<float>(times, context)
                                                 : convbasis::measure_step_times<double>(times, context);
  }
  context.check();  // what was measured while something else ran is not trusted
  const std::lock_guard lock(curves.mutex);
  if (record && record->did_anything()) curves.used = record->name();
  curves.points.insert(curves.points.end(), points.begin(), points.end());
  return ++curves.sizes_done < curves.sizes.size();
}

StepTimesView TrainingTimes::view() const {
  StepTimesView view;
  if (!curves_) return view;
  using State = StepTimesView::State;
  view.request = curves_->request;
  const IdleWorker::State worker = worker_.state();
  view.failure = worker_.failure();
  const std::lock_guard lock(curves_->mutex);
  view.points = curves_->points;
  view.device = curves_->used;
  const bool done = curves_->sizes_done == curves_->sizes.size();
  view.n = done ? 0 : curves_->sizes[curves_->sizes_done];
  view.state = done                                  ? State::done
               : !view.failure.empty()               ? State::failed
               : worker == IdleWorker::State::idle   ? State::stopped
               : worker == IdleWorker::State::paused ? State::paused
                                                     : State::measuring;
  return view;
}

}  // namespace convscope
