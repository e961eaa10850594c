#include "cli/atlas_workers.h"

#include <utility>

namespace convscope {

AtlasWorkers::AtlasWorkers(int threads, Look look) : look_(std::move(look)) {
  for (int thread = 0; thread < threads; ++thread) {
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }
}

AtlasWorkers::~AtlasWorkers() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

void AtlasWorkers::give(Index head) {
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(head);
  }
  ++given_;
  changed_.notify_all();
}

std::optional<AtlasWorkers::Finished> AtlasWorkers::take(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, patience, [this] { return !finished_.empty(); })) return std::nullopt;
  Finished finished = std::move(finished_.front());
  finished_.pop_front();
  --given_;
  return finished;
}

void AtlasWorkers::work(const std::stop_token& stop) {
  while (true) {
    Finished finished;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return !waiting_.empty(); })) return;
      finished.head = waiting_.front();
      waiting_.pop_front();
    }
    try {
      finished.record = look_(finished.head, stop);
    } catch (...) {
      finished.error = std::current_exception();
    }
    const std::scoped_lock lock(mutex_);
    finished_.push_back(std::move(finished));
    changed_.notify_all();
  }
}

}  // namespace convscope
