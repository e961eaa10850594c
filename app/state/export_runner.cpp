#include "state/export_runner.h"

#include "core/errors.h"

#include <exception>
#include <new>
#include <utility>

namespace convscope {

ExportRunner::ExportRunner(std::function<void()> wake) : wake_(std::move(wake)) {}

ExportRunner::~ExportRunner() { stop_.request_stop(); }

bool ExportRunner::start(ExportSteps steps) {
  if (busy()) return false;
  steps_ = std::move(steps);
  stop_ = std::stop_source();
  failure_.reset();
  cancelled_ = false;
  enter(Stage::preparing);
  return true;
}

void ExportRunner::cancel() {
  if (busy()) stop_.request_stop();
  if (wake_) wake_();
}

Progress ExportRunner::progress() const {
  const std::lock_guard lock(mutex_);
  Progress progress = progress_;
  progress.busy = busy();
  return progress;
}

std::optional<ExportOutcome> ExportRunner::poll() {
  if (stage_ == Stage::idle) return std::nullopt;
  if (stage_ == Stage::painting) {
    paint();
  } else if (!worker_done_) {
    return std::nullopt;
  } else {
    worker_.join();
    next();
  }
  return finish();
}

void ExportRunner::enter(Stage stage) {
  stage_ = stage;
  {
    const std::lock_guard lock(mutex_);
    progress_ = {true, stage == Stage::painting ? "drawing" : stage == Stage::writing ? "writing" : "computing", 0.0};
  }
  if (stage == Stage::preparing) run_on_worker(steps_.prepare);
  if (stage == Stage::writing) run_on_worker(steps_.write);
  if (stage == Stage::painting && wake_) wake_();
}

void ExportRunner::run_on_worker(std::function<void(const convbasis::RunContext&)> work) {
  worker_done_ = false;
  worker_ = std::jthread([this, work = std::move(work), stop = stop_.get_token()] {
    convbasis::RunContext context;
    context.stop = stop;
    context.progress = [this](std::string_view stage, double fraction) {
      {
        const std::lock_guard lock(mutex_);
        progress_ = {true, std::string(stage), fraction};
      }
      if (wake_) wake_();
    };
    try {
      context.check();
      if (work) work(context);
    } catch (...) {
      note_failure();
    }
    worker_done_ = true;
    if (wake_) wake_();
  });
}

void ExportRunner::paint() {
  try {
    if (stop_.stop_requested()) throw convbasis::Cancelled();
    if (!steps_.paint || steps_.paint()) {
      enter(Stage::writing);
    } else if (wake_) {
      wake_();
    }
  } catch (...) {
    note_failure();
    stage_ = Stage::idle;
  }
}

void ExportRunner::next() {
  // A stop that comes after the file is in place is too late.
  if (stage_ == Stage::preparing && stop_.stop_requested()) cancelled_ = true;
  if (failure_ || cancelled_ || stage_ == Stage::writing) {
    stage_ = Stage::idle;
  } else {
    enter(Stage::painting);
  }
}

void ExportRunner::note_failure() {
  try {
    throw;
  } catch (const convbasis::Cancelled&) {
    cancelled_ = true;
  } catch (const convbasis::InvalidArgument& error) {
    failure_ = Failure{Failure::Kind::argument, error.what()};
  } catch (const convbasis::FileError& error) {
    failure_ = Failure{Failure::Kind::file, error.what()};
  } catch (const std::bad_alloc&) {
    failure_ = Failure{Failure::Kind::other, "not enough memory for this; a smaller scale or region needs less"};
  } catch (const std::exception& error) {
    failure_ = Failure{Failure::Kind::other, error.what()};
  } catch (...) {
    failure_ = Failure{Failure::Kind::other, "unknown error"};
  }
}

std::optional<ExportOutcome> ExportRunner::finish() {
  if (stage_ != Stage::idle) return std::nullopt;
  ExportOutcome outcome{
      .path = std::move(steps_.path), .cancelled = cancelled_, .failure = std::exchange(failure_, std::nullopt)};
  steps_ = {};  // what the export held goes here, on the window's thread, which owns the OpenGL context
  return outcome;
}

}  // namespace convscope
