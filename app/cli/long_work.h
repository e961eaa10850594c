/// \file
/// Long work at a terminal: a progress bar, and Ctrl-C as a stop request.
#pragma once

#include "core/run_context.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

namespace convscope {

/// One line on standard error with the stage, the done fraction and the time left; nothing unless that is a terminal. The time
/// left goes by the pace since the fraction last fell: stages that follow each other as "3 of 48 blocks", "4 of 48 blocks" with a
/// growing fraction are one piece of work.
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
  std::atomic<bool> drawn_ = false;  // clear() may come from another thread
  double last_fraction_ = 0.0;
  double first_fraction_ = 0.0;  // where the pace is measured from
  Clock::time_point start_;
  Clock::time_point last_draw_;
};

/// Holds the run context of a verb with long work. From construction on, SIGINT and SIGTERM request a stop, which the engine
/// answers by throwing Cancelled. Where it cannot answer soon (it may be reading a file) the program ends at once with the
/// same message and exit code 1. Construct it before any other thread: threads inherit the blocked signals.
class LongWork {
 public:
  explicit LongWork(int threads);
  ~LongWork();
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;

  const convbasis::RunContext& context() const { return context_; }
  /// From here on the context has this accelerator, null for none. It must outlive all work.
  void use(const convbasis::Accelerator* accelerator) { context_.accelerator = accelerator; }
  /// The work is done and its results are about to be written: from here on signals are ignored, so that no file is left
  /// half-written. Throws Cancelled when a stop was requested before.
  void finish();
  /// A file to remove should the program end at once: an unfinished result.
  void remove_when_ended(std::filesystem::path file);

 private:
  void watch_signals();

  ProgressBar bar_;
  std::stop_source stop_;
  convbasis::RunContext context_;
  std::mutex mutex_;
  std::condition_variable finished_changed_;
  bool finished_ = false;             // guarded by mutex_
  std::filesystem::path unfinished_;  // guarded by mutex_; empty: none
  std::thread watcher_;
};

}  // namespace convscope
