/// \file
/// Work in the background of which only the newest matters.
#pragma once

#include "core/errors.h"
#include "core/priority.h"
#include "core/run_context.h"

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

namespace convscope {

/// One worker thread. A job that is started stops the one before it and takes its place; what a stopped job found is never
/// delivered. All methods are for one thread and return at once; `wake` is called from the worker when a result can be taken.
/// Destruction stops the job and waits for it: some milliseconds.
template <class Result>
class LatestJob {
 public:
  using Job = std::function<Result(const convbasis::RunContext&)>;

  explicit LatestJob(std::function<void()> wake)
      : wake_(std::move(wake)), thread_([this](const std::stop_token& quit) { work(quit); }) {}
  ~LatestJob() {
    thread_.request_stop();
    cancel();
  }
  LatestJob(const LatestJob&) = delete;
  LatestJob& operator=(const LatestJob&) = delete;

  void start(Job job) {
    const std::lock_guard lock(mutex_);
    stop_.request_stop();
    stop_ = std::stop_source();
    waiting_ = std::move(job);
    result_.reset();
    failure_.clear();
    arrived_.notify_one();
  }
  void cancel() {
    const std::lock_guard lock(mutex_);
    stop_.request_stop();
    waiting_ = nullptr;
    result_.reset();
  }
  bool busy() const {
    const std::lock_guard lock(mutex_);
    return waiting_ || running_;
  }
  /// The result of the newest job, once.
  std::optional<Result> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(result_, std::nullopt);
  }
  /// Why the newest job failed, one line; empty otherwise.
  std::string failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  void work(const std::stop_token& quit) {
    convbasis::lower_own_priority();
    std::unique_lock lock(mutex_);
    while (arrived_.wait(lock, quit, [this] { return waiting_ != nullptr; })) {
      const Job job = std::exchange(waiting_, nullptr);
      const std::stop_token stop = stop_.get_token();
      running_ = true;
      lock.unlock();
      std::optional<Result> result;
      std::string failure;
      run(job, stop, result, failure);
      lock.lock();
      running_ = false;
      if (stop.stop_requested()) continue;
      result_ = std::move(result);
      failure_ = std::move(failure);
      lock.unlock();
      if (wake_) wake_();
      lock.lock();
    }
  }

  static void run(const Job& job, const std::stop_token& stop, std::optional<Result>& result, std::string& failure) {
    convbasis::RunContext context;
    context.stop = stop;
    try {
      result = job(context);
    } catch (const convbasis::Cancelled&) {
      // Whoever stopped it knows.
    } catch (const std::exception& error) {
      failure = error.what();
    }
  }

  std::function<void()> wake_;
  mutable std::mutex mutex_;  // guards all that follows
  std::condition_variable_any arrived_;
  Job waiting_;
  bool running_ = false;
  std::stop_source stop_;
  std::optional<Result> result_;
  std::string failure_;

  std::jthread thread_;  // last: it starts when everything else exists, and stops first
};

}  // namespace convscope
