/// \file
/// Long matrices on the device in blocks of rows: as many as there is room for, and all of them when they fit. Inside the GPU
/// module.
#pragma once

#include "cuda/workspace.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace convbasis::cuda {

/// Throws when the work is to be given up.
using Poll = std::function<void()>;

/// Pairs of blocks, such as of K and V. Of those that were on the device the ones used last still are.
template <class T>
class RowBlocks {
 public:
  struct Pair {
    T* first = nullptr;
    T* second = nullptr;
    std::int64_t id = -1;  ///< which blocks these are
    std::uint64_t used_at = 0;
    Event uploaded, used;
  };

  /// Room for `count` pairs of so many numbers.
  RowBlocks(Workspace& workspace, std::int64_t count, std::int64_t first_size, std::int64_t second_size)
      : workspace_(workspace), pairs_(static_cast<std::size_t>(count)) {
    for (auto& pair : pairs_) {
      pair = std::make_unique<Pair>();
      pair->first = workspace.memory.take<T>(first_size);
      pair->second = workspace.memory.take<T>(second_size);
    }
  }

  /// The pair `id`, which load(pair) uploads unless it is there. What is put on the compute stream next may read it, and used()
  /// must be called after that. It stays until so many others have been asked for as there is room for, less one.
  template <class Load>
  Pair& get(std::int64_t id, const Load& load) {
    Pair* pair = find(id);
    if (pair->id != id) {
      pair->id = -1;
      pair->used.hold(workspace_.transfers.uploads());
      load(*pair);
      pair->uploaded.record(workspace_.transfers.uploads());
      pair->id = id;
    }
    pair->uploaded.hold(workspace_.compute);
    pair->used_at = ++now_;
    return *pair;
  }
  void used(Pair& pair) { pair.used.record(workspace_.compute); }

 private:
  /// Where it is, or may go: in place of the one that was used longest ago.
  Pair* find(std::int64_t id) {
    Pair* oldest = pairs_.front().get();
    for (const auto& pair : pairs_) {
      if (pair->id == id) return pair.get();
      if (pair->used_at < oldest->used_at) oldest = pair.get();
    }
    return oldest;
  }

  Workspace& workspace_;
  std::vector<std::unique_ptr<Pair>> pairs_;
  std::uint64_t now_ = 0;
};

/// Keeps the host at most two launches ahead, so that a stop is noticed soon. One launch is made to take milliseconds.
class Pace {
 public:
  Pace(const Workspace& workspace, const Poll& poll) : workspace_(workspace), poll_(poll) {}
  void before_launch() {
    events_[turn_].wait();
    poll_();
  }
  void after_launch() {
    events_[turn_].record(workspace_.compute);
    turn_ = 1 - turn_;
  }

 private:
  const Workspace& workspace_;
  const Poll& poll_;
  std::array<Event, 2> events_;
  std::size_t turn_ = 0;
};

/// How a call is cut.
struct BlockSizes {
  std::int64_t rows;     ///< of a block but for the last, a multiple of the kernels' tiles
  std::int64_t longest;  ///< rows of the longest block: as many, or n where there is only one
  std::int64_t count;    ///< pairs of blocks that are on the device at once
};

/// What a call needs of the device.
struct BlockNeeds {
  std::int64_t pair_bytes;               ///< for a row of each pair of blocks
  std::int64_t strip_bytes;              ///< for a row of the strip that is computed
  std::int64_t fixed_bytes;              ///< besides
  std::int64_t least, pairs_of_a_block;  ///< pairs that there must be, and how many of them are of the same rows
};

/// For n rows: blocks as large as a launch of some milliseconds takes, and all of them on the device if they fit, else the least.
/// Smaller ones if not even those fit. Throws DeviceError.
BlockSizes choose_blocks(const Workspace& workspace, std::int64_t n, const BlockNeeds& needs);

}  // namespace convbasis::cuda
