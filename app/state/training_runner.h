/// \file
/// Trains the one-layer problem in the background, by each of the backward passes at once, step by step.
#pragma once

#include "state/accelerator_record.h"
#include "state/idle_worker.h"
#include "state/training_request.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace convscope {

/// What one backward pass has come to.
struct TrainingRun {
  Backward backward = Backward::exact;
  std::vector<convbasis::TrainingStep> steps;  ///< from step 0 on
  convbasis::Matrix<double> gradient;          ///< dL/dX of the last step, d x d
  convbasis::Matrix<double> exact_gradient;    ///< exact, at the same X
};

/// All runs of one request.
struct TrainingResult {
  TrainingRequest request;
  std::vector<TrainingRun> runs;  ///< the wanted ones, in the order of all_backwards; empty before the problem is planted
  std::shared_ptr<const convbasis::Accelerator> accelerator = nullptr;  ///< what was to help the CPU; null: nothing
  std::string device = "CPU";                                           ///< what did the work: "CPU", "GPU 0 (name)"

  int steps() const;  ///< that all runs have
  /// Of the same experiment on the same device, for another number of steps at most.
  bool is_of(const TrainingRequest& wish, const ChosenDevice& on) const;
};

struct TrainingView {
  TrainingResult result;
  std::optional<TrainingResult> earlier;  ///< of another request, to compare with
  enum class State : std::uint8_t { empty, running, stopped, done, failed };
  State state = State::empty;
  std::string failure;        ///< one line, with State::failed
  std::uint64_t version = 0;  ///< another number whenever anything else here changed
};

class AnyTrainer;

/// One experiment at a time. Its runs take turns, so that their curves grow together; all threads work at one step. The numbers
/// are those of convbasis::Trainer, and with that of `convscope train`.
///
/// All methods are for one thread (the window's) and return at once; `wake` is called from the worker, some four times a second
/// while steps are taken.
class TrainingRunner {
 public:
  explicit TrainingRunner(std::function<void()> wake) : worker_(std::move(wake)) {}

  /// Goes on to request.steps steps; from the beginning when the request is of another experiment than what is there, or the
  /// device is another.
  void run(const TrainingRequest& request, const ChosenDevice& device = {});
  /// One more step of every run.
  void step(const TrainingRequest& request, const ChosenDevice& device = {});
  /// While steps are taken, a request of another experiment replaces the one that runs. Otherwise nothing.
  void want(const TrainingRequest& request, const ChosenDevice& device = {});
  /// Ends the step under way without a trace, within milliseconds. run() and step() go on from there.
  void stop();
  /// Forgets everything.
  void reset();

  bool busy() const { return worker_.state() == IdleWorker::State::running; }
  /// Takes what has come, and returns all there is. Valid until the next call.
  const TrainingView& view();

 private:
  /// Shared with the worker, which may outlast the wish for it.
  struct Experiment {
    TrainingRequest request;
    std::shared_ptr<const convbasis::Accelerator> accelerator;
    std::unique_ptr<const AcceleratorRecord> record;    ///< of it; null: the CPU alone
    std::vector<std::unique_ptr<AnyTrainer>> trainers;  ///< the worker's; the plans that they keep are the record's
    mutable std::mutex mutex;                           ///< guards what follows
    int target = 0;                                     ///< steps that are wanted of each run
    std::vector<TrainingRun> runs;
    std::uint64_t version = 1;

    ~Experiment();
    std::string device() const { return record && record->did_anything() ? record->name() : "CPU"; }
  };

  bool is_there(const TrainingRequest& request, const ChosenDevice& device) const;
  void begin_unless_there(const TrainingRequest& request, const ChosenDevice& device);
  void advance_to(int target);
  static bool advance(Experiment& experiment, const std::stop_token& stop);
  static void plant(Experiment& experiment, const convbasis::RunContext& context);
  static bool take_step(Experiment& experiment, const convbasis::RunContext& context);
  int steps_done() const;
  TrainingView::State state_now(const std::string& failure) const;

  std::shared_ptr<Experiment> experiment_;
  TrainingView view_;
  std::uint64_t shown_version_ = 0;  ///< of the experiment that is in view_
  IdleWorker worker_;                ///< last: its thread ends before the rest goes
};

}  // namespace convscope
