/// \file
/// Long work at a terminal: a progress bar, and Ctrl-C as a stop request.
#pragma once

#include "core/run_context.h"

#include <atomic>
#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

namespace convscope {

/// One line on standard error with the stage, the done fraction and the time left; nothing unless that is a terminal.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Not to be called from two threads at the same time.
  void show(std::string_view stage, double fraction);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  bool is_terminal_;
  bool drawn_ = false;
  std::string stage_;
  Clock::time_point stage_start_;
  Clock::time_point last_draw_;
};

/// Holds the run context of a verb with long work. From construction on, SIGINT and SIGTERM no longer end the program but
/// request a stop, which the engine answers by throwing Cancelled, so no file is left half-written; a second signal ends
/// the program at once. Construct it before any other thread: threads inherit the blocked signals.
class LongWork {
 public:
  explicit LongWork(int threads);
  ~LongWork();
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;

  const convbasis::RunContext& context() const { return context_; }

 private:
  void watch_signals();

  ProgressBar bar_;
  std::stop_source stop_;
  convbasis::RunContext context_;
  std::atomic<bool> finished_ = false;
  std::thread watcher_;
};

}  // namespace convscope
