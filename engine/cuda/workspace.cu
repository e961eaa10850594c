#include "cuda/workspace.h"

#include <algorithm>
#include <utility>

namespace convbasis::cuda {

void* DeviceArena::take_bytes(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  Block* best = nullptr;  // the smallest that does; one of more than twice the size would be wasted
  for (Block& block : blocks_) {
    const std::size_t size = block.memory.size();
    if (block.used || size < bytes || size / 2 > bytes) continue;
    if (best == nullptr || size < best->memory.size()) best = &block;
  }
  if (best == nullptr) {
    blocks_.push_back({DeviceArray<std::byte>(bytes)});
    best = &blocks_.back();
  }
  best->used = true;
  return best->memory.data();
}

void DeviceArena::reset() {
  for (Block& block : blocks_) {
    block.resets_since = block.used ? 0 : block.resets_since + 1;
    block.used = false;
  }
  std::erase_if(blocks_, [](const Block& block) { return block.resets_since > most_resets; });
}

std::size_t DeviceArena::bytes() const {
  std::size_t sum = 0;
  for (const Block& block : blocks_) sum += block.memory.size();
  return sum;
}

void* Transfers::Buffer::room(std::size_t bytes) {
  if (memory.size() < bytes) {
    memory = {};
    memory = PinnedArray<std::byte>(bytes);
  }
  return memory.data();
}

std::int64_t Transfers::rows_of_a_piece(std::int64_t row_bytes) {
  return std::max<std::int64_t>(1, piece_bytes / std::max<std::int64_t>(1, row_bytes));
}

Workspace::~Workspace() {
  for (const Stream* stream : {&transfers.uploads(), &transfers.downloads(), static_cast<const Stream*>(&compute)}) {
    static_cast<void>(cudaStreamSynchronize(*stream));
  }
}

void Workspace::reset() {
  transfers.wait();
  compute.wait();
  transfers.reset();
  memory.reset();
}

WorkspacePool::Lease::Lease(WorkspacePool& pool) : pool_(pool) {
  {
    const std::scoped_lock lock(pool_.mutex_);
    if (!pool_.idle_.empty()) {
      workspace_ = std::move(pool_.idle_.back());
      pool_.idle_.pop_back();
      return;
    }
  }
  workspace_ = std::make_unique<Workspace>();
}

void WorkspacePool::Lease::keep() {
  workspace_->reset();
  kept_ = true;
}

WorkspacePool::Lease::~Lease() {
  if (!kept_ || workspace_->memory.bytes() > most_kept) return;
  const std::scoped_lock lock(pool_.mutex_);
  if (pool_.idle_.size() < most_idle) pool_.idle_.push_back(std::move(workspace_));
}

void WorkspacePool::release_idle() {
  const std::scoped_lock lock(mutex_);
  idle_.clear();
}

}  // namespace convbasis::cuda
