#include "state/idle_worker.h"

#include "core/errors.h"
#include "core/priority.h"

#include <exception>
#include <utility>

namespace convscope {

namespace {

struct Outcome {
  bool more = true;
  std::string failure;
};

Outcome take_step(const IdleWorker::Task& task, const std::stop_token& stop) {
  try {
    return {task(stop), ""};
  } catch (const convbasis::Cancelled&) {
    return {true, ""};
  } catch (const std::bad_alloc&) {
    return {false, "not enough memory for this; a smaller n needs less"};
  } catch (const std::exception& error) {
    return {false, error.what()};
  } catch (...) {
    return {false, "unknown error"};
  }
}

}  // namespace

IdleWorker::IdleWorker(std::function<void()> wake)
    : wake_(std::move(wake)), thread_([this](const std::stop_token& quit) { work(quit); }) {}

IdleWorker::~IdleWorker() {
  // In this order: a worker that takes the mutex after us sees `quit`, one that took it before us has a step to be stopped.
  thread_.request_stop();
  const std::lock_guard lock(mutex_);
  running_.request_stop();
}

void IdleWorker::start(Task task) {
  const std::lock_guard lock(mutex_);
  task_ = std::make_shared<const Task>(std::move(task));
  failure_.clear();
  running_.request_stop();
  changed_.notify_one();
}

void IdleWorker::drop() {
  const std::lock_guard lock(mutex_);
  task_.reset();
  failure_.clear();
  running_.request_stop();
}

void IdleWorker::pause(bool paused) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(paused_, paused) == paused) return;
  if (paused) {
    running_.request_stop();
  } else {
    changed_.notify_one();
  }
}

IdleWorker::State IdleWorker::state() const {
  const std::lock_guard lock(mutex_);
  if (!task_) return State::idle;
  return paused_ ? State::paused : State::running;
}

std::string IdleWorker::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void IdleWorker::work(const std::stop_token& quit) {
  convbasis::lower_own_priority();
  while (true) {
    std::shared_ptr<const Task> task;
    std::stop_token stop;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, quit, [this] { return task_ && !paused_; });
      if (quit.stop_requested()) return;
      task = task_;
      running_ = std::stop_source();
      stop = running_.get_token();
    }
    Outcome outcome = take_step(*task, stop);
    {
      const std::lock_guard lock(mutex_);
      if (!outcome.more && task_ == task) {
        task_.reset();
        failure_ = std::move(outcome.failure);
      }
    }
    task.reset();  // what it holds goes before the window is told
    if (wake_) wake_();
  }
}

}  // namespace convscope
