#include "state/training_runner.h"

#include "core/run_context.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

namespace convscope {

namespace {

// Drawing takes time from the steps: with OpenGL in software a frame can cost as much as ten of them.
constexpr std::chrono::milliseconds between_wakes{250};

}  // namespace

/// A run in either precision.
class AnyTrainer {
 public:
  virtual ~AnyTrainer() = default;
  virtual convbasis::TrainingStep step(const convbasis::RunContext& context) = 0;
  virtual convbasis::Matrix<double> gradient() const = 0;
  virtual convbasis::Matrix<double> exact_gradient() const = 0;
};

namespace {

template <convbasis::Real T>
class TrainerOf final : public AnyTrainer {
 public:
  TrainerOf(std::shared_ptr<const convbasis::OneLayerProblem<T>> problem, const convbasis::TrainingOptions& options)
      : trainer_(std::move(problem), options) {}
  convbasis::TrainingStep step(const convbasis::RunContext& context) override { return trainer_.step(context); }
  convbasis::Matrix<double> gradient() const override { return trainer_.gradient().template cast<double>(); }
  convbasis::Matrix<double> exact_gradient() const override { return trainer_.exact_gradient().template cast<double>(); }

 private:
  convbasis::Trainer<T> trainer_;
};

/// One for each wanted backward pass, all of one problem.
template <convbasis::Real T>
std::vector<std::unique_ptr<AnyTrainer>> trainers_of(const TrainingRequest& request, const convbasis::RunContext& context) {
  const auto problem =
      std::make_shared<const convbasis::OneLayerProblem<T>>(convbasis::plant_one_layer<T>(request.problem, context));
  std::vector<std::unique_ptr<AnyTrainer>> trainers;
  for (const Backward backward : convbasis::all_backwards) {
    if (request.wants(backward)) trainers.push_back(std::make_unique<TrainerOf<T>>(problem, request.options(backward)));
  }
  return trainers;
}

}  // namespace

TrainingRunner::Experiment::~Experiment() = default;

int TrainingResult::steps() const {
  std::size_t least = runs.empty() ? 0 : std::numeric_limits<std::size_t>::max();
  for (const TrainingRun& run : runs) least = std::min(least, run.steps.size());
  return static_cast<int>(least);
}

bool TrainingResult::is_of(const TrainingRequest& wish, const ChosenDevice& on) const {
  return same_experiment(request, wish) && accelerator == accelerator_for(wish.precision, wish.problem.n, on);
}

void TrainingRunner::run(const TrainingRequest& request, const ChosenDevice& device) {
  begin_unless_there(request, device);
  experiment_->request.steps = request.steps;
  advance_to(request.steps);
}

void TrainingRunner::step(const TrainingRequest& request, const ChosenDevice& device) {
  begin_unless_there(request, device);
  experiment_->request.steps = request.steps;
  advance_to(steps_done() + 1);
}

void TrainingRunner::want(const TrainingRequest& request, const ChosenDevice& device) {
  if (busy() && !is_there(request, device)) run(request, device);
}

void TrainingRunner::stop() { worker_.drop(); }

void TrainingRunner::reset() {
  worker_.drop();
  experiment_.reset();
  const std::uint64_t version = view_.version + 1;
  view_ = {};
  view_.version = version;
}

bool TrainingRunner::is_there(const TrainingRequest& request, const ChosenDevice& device) const {
  return experiment_ && TrainingResult{experiment_->request, {}, experiment_->accelerator}.is_of(request, device);
}

void TrainingRunner::begin_unless_there(const TrainingRequest& request, const ChosenDevice& device) {
  if (is_there(request, device)) return;
  // Only what got somewhere is worth comparing with.
  if (view().result.steps() > 1) view_.earlier = std::move(view_.result);
  experiment_ = std::make_shared<Experiment>();
  experiment_->request = request;
  experiment_->accelerator = accelerator_for(request.precision, request.problem.n, device);
  if (experiment_->accelerator) experiment_->record = std::make_unique<const AcceleratorRecord>(experiment_->accelerator);
  shown_version_ = 0;
}

void TrainingRunner::advance_to(int target) {
  {
    const std::lock_guard lock(experiment_->mutex);
    experiment_->target = target;
    ++experiment_->version;
  }
  worker_.start([experiment = experiment_](const std::stop_token& stop) { return advance(*experiment, stop); });
}

bool TrainingRunner::advance(Experiment& experiment, const std::stop_token& stop) {
  convbasis::RunContext context;
  context.stop = stop;
  context.accelerator = experiment.record.get();
  const auto end = std::chrono::steady_clock::now() + between_wakes;
  if (experiment.trainers.empty()) plant(experiment, context);
  // A step that is stopped leaves no trace, and those before it are steps that were wanted.
  bool more = true;
  while (more && std::chrono::steady_clock::now() < end) more = take_step(experiment, context);
  return more;
}

void TrainingRunner::plant(Experiment& experiment, const convbasis::RunContext& context) {
  const TrainingRequest& request = experiment.request;
  auto trainers =
      request.precision == Precision::f32 ? trainers_of<float>(request, context) : trainers_of<double>(request, context);
  std::vector<TrainingRun> runs;
  for (const Backward backward : convbasis::all_backwards) {
    if (request.wants(backward)) runs.emplace_back().backward = backward;
  }
  experiment.trainers = std::move(trainers);
  const std::lock_guard lock(experiment.mutex);
  experiment.runs = std::move(runs);
}

bool TrainingRunner::take_step(Experiment& experiment, const convbasis::RunContext& context) {
  // The run that is furthest behind. Only this thread makes them longer.
  const auto shorter = [](const TrainingRun& a, const TrainingRun& b) { return a.steps.size() < b.steps.size(); };
  std::size_t place = 0;
  {
    const std::lock_guard lock(experiment.mutex);
    const auto last = std::ranges::min_element(experiment.runs, shorter);
    if (std::ssize(last->steps) >= experiment.target) return false;
    place = static_cast<std::size_t>(last - experiment.runs.begin());
  }
  AnyTrainer& trainer = *experiment.trainers[place];
  const convbasis::TrainingStep step = trainer.step(context);
  const std::lock_guard lock(experiment.mutex);
  TrainingRun& run = experiment.runs[place];
  run.steps.push_back(step);
  run.gradient = trainer.gradient();
  run.exact_gradient = trainer.exact_gradient();
  ++experiment.version;
  const auto done = std::ranges::min_element(experiment.runs, shorter);
  return std::ssize(done->steps) < experiment.target;
}

int TrainingRunner::steps_done() const {
  const std::lock_guard lock(experiment_->mutex);
  return TrainingResult{{}, experiment_->runs}.steps();
}

TrainingView::State TrainingRunner::state_now(const std::string& failure) const {
  using State = TrainingView::State;
  if (!experiment_) return State::empty;
  if (!failure.empty()) return State::failed;
  if (busy()) return State::running;
  return view_.result.steps() >= view_.result.request.steps ? State::done : State::stopped;
}

const TrainingView& TrainingRunner::view() {
  // The state first: what came before the worker fell silent is then seen below.
  const bool busy_before = busy();
  std::string failure = worker_.failure();
  if (experiment_) {
    const std::lock_guard lock(experiment_->mutex);
    if (std::exchange(shown_version_, experiment_->version) != experiment_->version) {
      view_.result = {experiment_->request, experiment_->runs, experiment_->accelerator, experiment_->device()};
      ++view_.version;
    }
  }
  const auto state = busy_before ? TrainingView::State::running : state_now(failure);
  if (std::exchange(view_.state, state) != state || view_.failure != failure) ++view_.version;
  view_.failure = std::move(failure);
  return view_;
}

}  // namespace convscope
