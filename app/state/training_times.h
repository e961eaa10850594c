/// \file
/// Measures what a training step costs against n, by each backward pass, in the background and on demand.
#pragma once

#include "state/accelerator_record.h"
#include "state/idle_worker.h"
#include "state/training_request.h"
#include "training/curves.h"

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace convscope {

using convbasis::StepTime;

struct StepTimesView {
  TrainingRequest request;       ///< what was measured, but for n
  std::vector<StepTime> points;  ///< so far, n ascending
  std::string device = "CPU";    ///< what did the work: "CPU", "GPU 0 (name)"
  enum class State : std::uint8_t { unasked, paused, measuring, stopped, done, failed };
  State state = State::unasked;
  Index n = 0;          ///< what is being measured
  std::string failure;  ///< one line, with State::failed
};

/// Measures 256, 512, ... 16384 tokens, one n after the other. A backward pass whose next step is expected to take over a second
/// is left out from there on. A pause gives up the n that is being measured, so that no time was taken while something else ran.
///
/// All methods are for one thread (the window's) and return at once; `wake` is called from the worker when points have arrived.
class TrainingTimes {
 public:
  explicit TrainingTimes(std::function<void()> wake) : worker_(std::move(wake)) {}

  /// Measures the steps of `request`, whatever its n and number of steps.
  void measure(const TrainingRequest& request, const ChosenDevice& device = {});
  void stop();
  void pause(bool paused) { worker_.pause(paused); }
  bool busy() const { return worker_.state() == IdleWorker::State::running; }
  /// Something is still to be measured, be it after a pause.
  bool pending() const { return worker_.state() != IdleWorker::State::idle; }
  StepTimesView view() const;

 private:
  /// Shared with the worker, which may outlast the wish for it.
  struct Curves {
    TrainingRequest request;
    ChosenDevice device;
    std::vector<Index> sizes;
    mutable std::mutex mutex;  ///< guards what follows
    std::vector<StepTime> points;
    std::size_t sizes_done = 0;
    std::string used = "CPU";
  };

  static bool measure_next(Curves& curves, const std::stop_token& stop);

  std::shared_ptr<Curves> curves_;
  IdleWorker worker_;  ///< last: its thread ends before the rest goes
};

}  // namespace convscope
