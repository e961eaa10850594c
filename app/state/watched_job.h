/// \file
/// A result that is made in the background while somebody looks at it, again whenever what it is of changes.
#pragma once

#include "state/latest_job.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace convscope {

/// Makes the result of one key at a time. The last one stays until the next is there. While nobody looks nothing is made.
///
/// All methods are for one thread (the window's) and return at once; `wake` is called from the worker when poll() has something
/// to take.
template <class Key, class Result>
class WatchedJob {
 public:
  explicit WatchedJob(std::function<void()> wake) : job_(std::move(wake)) {}

  /// Sets what the result shall be of; nothing for none.
  void want(std::optional<Key> key) { wanted_ = std::move(key); }
  /// Nothing is begun while it is not; what runs is stopped.
  void show(bool shown) {
    if (shown_ == shown) return;
    shown_ = shown;
    if (!shown && job_.busy()) {
      job_.cancel();
      asked_.reset();
    }
  }
  /// Takes what has finished, and begins what is wanted: task_of(key) is what the worker then runs. Call once a frame.
  template <class TaskOf>
  void poll(const TaskOf& task_of) {
    if (auto made = job_.take()) {
      result_ = std::make_shared<const Result>(std::move(*made));
      made_of_ = asked_;
    }
    if (!shown_ || !wanted_ || wanted_ == asked_) return;
    asked_ = wanted_;
    if (wanted_ == made_of_) {
      job_.cancel();  // back to what is there already
    } else {
      job_.start(task_of(*wanted_));
    }
  }

  /// The last one that was made; null before the first.
  const std::shared_ptr<const Result>& result() const { return result_; }
  /// What result() is of.
  const std::optional<Key>& made_of() const { return made_of_; }
  /// result() is not that of the wanted key.
  bool stale() const { return made_of_ != wanted_; }
  bool busy() const { return job_.busy(); }
  /// The wanted one is still to come.
  bool pending() const { return shown_ && wanted_ && stale() && failure().empty(); }
  /// Why there is none for the wanted key, one line; empty normally.
  std::string failure() const { return job_.failure(); }

 private:
  bool shown_ = false;
  std::optional<Key> wanted_;
  std::optional<Key> asked_;  ///< what the job was begun for
  std::optional<Key> made_of_;
  std::shared_ptr<const Result> result_;
  LatestJob<Result> job_;  ///< last: its thread ends before the rest goes
};

}  // namespace convscope
