/// \file
/// A background thread for work that can wait: it goes on only while nothing else wants the machine.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

namespace convscope {

/// One worker thread that does one task, step by step. A new task replaces the old one; a pause stops the running step, whose
/// work is lost, and the same step is begun again afterwards.
///
/// All methods are for one thread (the window's) and return at once; `wake` is called from the worker after every step.
/// Destruction stops the running step and waits for it: some milliseconds.
class IdleWorker {
 public:
  /// Does the next step; false when it was the last one. Throws convbasis::Cancelled after a stop request, having kept nothing of
  /// the step. Any other exception ends the task.
  using Task = std::function<bool(const std::stop_token& stop)>;

  explicit IdleWorker(std::function<void()> wake);
  ~IdleWorker();
  IdleWorker(const IdleWorker&) = delete;
  IdleWorker& operator=(const IdleWorker&) = delete;

  void start(Task task);
  /// Drops the task, if there is one.
  void drop();
  void pause(bool paused);

  enum class State : std::uint8_t { idle, paused, running };  ///< idle: nothing is left to do
  State state() const;
  /// Why the last task ended early, one line; empty normally.
  std::string failure() const;

 private:
  void work(const std::stop_token& quit);

  std::function<void()> wake_;

  mutable std::mutex mutex_;  // guards all that follows
  std::condition_variable_any changed_;
  std::shared_ptr<const Task> task_;
  bool paused_ = false;
  std::string failure_;
  std::stop_source running_{std::nostopstate};

  std::jthread thread_;  // last: it starts when everything else exists, and stops first
};

}  // namespace convscope
