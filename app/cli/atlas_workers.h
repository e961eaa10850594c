/// \file
/// Threads that each look at one head at a time.
#pragma once

#include "core/types.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace convscope {

using convbasis::Index;

/// All methods are for one thread. Destruction stops what is under way and waits for it: some milliseconds.
class AtlasWorkers {
 public:
  /// Makes the record of a head; called from several threads.
  using Look = std::function<std::string(Index head, const std::stop_token& stop)>;

  struct Finished {
    Index head = 0;
    std::string record;
    std::exception_ptr error;  ///< not null: why there is no record
  };

  AtlasWorkers(int threads, Look look);
  ~AtlasWorkers();
  AtlasWorkers(const AtlasWorkers&) = delete;
  AtlasWorkers& operator=(const AtlasWorkers&) = delete;

  int threads() const { return static_cast<int>(threads_.size()); }
  /// How many heads more could be begun at once.
  int idle() const { return threads() - given_; }
  void give(Index head);
  /// What has finished, waiting for it no longer than `patience`.
  std::optional<Finished> take(std::chrono::milliseconds patience);

 private:
  void work(const std::stop_token& stop);

  Look look_;
  int given_ = 0;     ///< and not taken back yet
  std::mutex mutex_;  // guards the two queues
  std::condition_variable_any changed_;
  std::deque<Index> waiting_;
  std::deque<Finished> finished_;
  std::vector<std::jthread> threads_;  // last: they start when everything else exists, and stop first
};

}  // namespace convscope
