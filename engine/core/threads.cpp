#include "core/threads.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace convbasis {

int thread_count(const RunContext& context) {
  if (context.threads > 0) return context.threads;
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

namespace {

/// The state that the workers of one loop share.
class Loop {
 public:
  Loop(const RunContext& context, Index count, const std::function<void(Index, int)>& body, std::string_view stage)
      : context_(context), count_(count), body_(body), stage_(stage) {}

  void work(int worker) {
    try {
      for (Index item = next_++; item < count_; item = next_++) {
        context_.check();
        body_(item, worker);
        finished();
      }
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      if (!error_) error_ = std::current_exception();
      next_ = count_;
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void finished() {
    if (stage_.empty() || !context_.progress) return;
    const std::scoped_lock lock(mutex_);
    context_.report(stage_, static_cast<double>(++done_) / static_cast<double>(count_));
  }

  const RunContext& context_;
  const Index count_;
  const std::function<void(Index, int)>& body_;
  const std::string_view stage_;
  std::atomic<Index> next_ = 0;
  std::mutex mutex_;
  Index done_ = 0;
  std::exception_ptr error_;
};

}  // namespace

void parallel_for(const RunContext& context, Index count, const std::function<void(Index, int)>& body, std::string_view stage) {
  const int threads = static_cast<int>(std::min<Index>(thread_count(context), count));
  Loop loop(context, count, body, stage);
  {
    std::vector<std::jthread> helpers;
    for (int worker = 1; worker < threads; ++worker) helpers.emplace_back([&loop, worker] { loop.work(worker); });
    loop.work(0);
  }
  loop.rethrow();
}

}  // namespace convbasis
