#include "core/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace convbasis {

int thread_count(const RunContext& context) {
  if (context.threads > 0) return context.threads;
  static const auto offered = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));  // asking takes 7 microseconds
  return offered;
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

/// Looks at `condition` again and again for a short while, which is cheaper than sleeping when the next loop is near.
template <class Condition>
bool spin_until(const Condition& condition) {
  constexpr std::chrono::microseconds patience{500};
  const auto end = std::chrono::steady_clock::now() + patience;
  do {
    for (int i = 0; i < 8; ++i) {
      if (condition()) return true;
      std::this_thread::yield();
    }
  } while (std::chrono::steady_clock::now() < end);
  return condition();
}

/// The process's helper threads: starting a thread for every loop costs more than a small loop itself. One helper fewer than
/// the largest number of threads ever asked for; they sleep between loops and end with the process.
///
/// A loop never waits for a helper to come: its caller works too and, once nothing is left to hand out, withdraws the offer and
/// waits only for helpers that have joined. Loops inside loops and loops of several threads can therefore not deadlock; while
/// the helpers are busy elsewhere such a loop has fewer threads than it asked for.
class Pool {
 public:
  static Pool& shared() {
    static Pool pool;
    return pool;
  }

  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    offered_.notify_all();
  }  // the helpers are joined here

  /// `loop` by the caller and up to `helpers` helpers.
  void run(Loop& loop, int helpers) {
    Offer offer{.loop = loop, .open = helpers};
    {
      const std::scoped_lock lock(mutex_);
      grow(helpers);
      offers_.push_back(&offer);
      open_ += helpers;
    }
    offered_.notify_all();
    loop.work(0);
    {
      const std::scoped_lock lock(mutex_);
      open_ -= offer.open;
      std::erase(offers_, &offer);
    }
    spin_until([&] { return offer.joined == 0; });
    std::unique_lock lock(mutex_);  // also when nobody is left: the last helper may still hold the lock and use the offer
    offer.left.wait(lock, [&] { return offer.joined == 0; });
  }

 private:
  /// A loop that helpers may join.
  struct Offer {
    Loop& loop;
    int open;                     ///< how many more may join
    int next_worker = 1;          ///< 0 is the caller
    std::atomic<int> joined = 0;  ///< at work now; changed under the lock
    std::condition_variable left{};
  };

  void grow(int helpers) {
    try {
      while (static_cast<int>(helpers_.size()) < helpers) helpers_.emplace_back([this] { help(); });
    } catch (const std::system_error&) {
      // The system gives no more threads: the loop has fewer.
    }
  }

  void help() {
    std::unique_lock lock(mutex_, std::defer_lock);
    while (true) {
      spin_until([&] { return open_ > 0; });
      lock.lock();
      offered_.wait(lock, [&] { return stopping_ || !offers_.empty(); });
      if (stopping_) return;
      Offer& offer = *offers_.front();
      const int worker = offer.next_worker++;
      ++offer.joined;
      --open_;
      if (--offer.open == 0) offers_.pop_front();
      lock.unlock();
      offer.loop.work(worker);
      lock.lock();
      if (--offer.joined == 0) offer.left.notify_one();
      lock.unlock();
    }
  }

  std::mutex mutex_;
  std::condition_variable offered_;
  std::deque<Offer*> offers_;  ///< those that still have room
  std::atomic<int> open_ = 0;  ///< room in all of them, for helpers that spin
  bool stopping_ = false;
  std::vector<std::jthread> helpers_;  ///< last, so that they end before the rest goes
};

}  // namespace

void parallel_for(const RunContext& context, Index count, const std::function<void(Index, int)>& body, std::string_view stage) {
  const int threads = static_cast<int>(std::min<Index>(thread_count(context), count));
  Loop loop(context, count, body, stage);
  if (threads > 1) {
    Pool::shared().run(loop, threads - 1);
  } else {
    loop.work(0);
  }
  loop.rethrow();
}

}  // namespace convbasis
