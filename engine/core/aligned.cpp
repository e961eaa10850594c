#include "core/aligned.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace convbasis {
namespace {

constexpr std::size_t huge_page = std::size_t{1} << 21;

/// Freed blocks, oldest first.
class FreedBlocks {
 public:
  /// A block of exactly `bytes`, or null.
  void* take(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(), [&](const Block& block) { return block.bytes == bytes; });
    if (found == blocks_.rend()) return nullptr;
    void* pointer = found->pointer;
    held_ -= bytes;
    blocks_.erase(std::next(found).base());
    return pointer;
  }

  /// Keeps the block, at the cost of the oldest; false when it is too large, or the list has no memory of its own.
  bool keep(void* pointer, std::size_t bytes) noexcept {
    if (bytes > most_bytes) return false;
    const std::scoped_lock lock(mutex_);
    try {
      blocks_.push_back({pointer, bytes});
    } catch (const std::bad_alloc&) {
      return false;
    }
    held_ += bytes;
    while (held_ > most_bytes || blocks_.size() > most_blocks) {
      held_ -= blocks_.front().bytes;
      std::free(blocks_.front().pointer);
      blocks_.erase(blocks_.begin());
    }
    return true;
  }

 private:
  static constexpr std::size_t most_bytes = std::size_t{1} << 28;
  static constexpr std::size_t most_blocks = 64;
  struct Block {
    void* pointer;
    std::size_t bytes;
  };
  std::mutex mutex_;
  std::vector<Block> blocks_;
  std::size_t held_ = 0;
};

/// Never destroyed: blocks may come back while the program ends.
FreedBlocks& freed_blocks() {
  static auto* blocks = new FreedBlocks;
  return *blocks;
}

/// Smaller blocks are the standard library's business. Under AddressSanitizer all are: it must see who uses a freed block.
bool worth_keeping(std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  return bytes == std::size_t(-1);
#else
  return bytes >= std::size_t{1} << 16;
#endif
}

std::size_t alignment_of(std::size_t bytes) { return bytes >= huge_page ? huge_page : 64; }

/// Throws std::bad_alloc where rounding up would overflow.
std::size_t rounded(std::size_t bytes) {
  const std::size_t alignment = alignment_of(bytes);
  if (bytes > std::size_t(-1) - alignment) throw std::bad_alloc();
  return std::max(alignment, (bytes + alignment - 1) / alignment * alignment);
}

}  // namespace

void* allocate_scratch(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  if (worth_keeping(size)) {
    if (void* pointer = freed_blocks().take(size)) return pointer;
  }
  void* pointer = std::aligned_alloc(alignment_of(bytes), size);
  if (pointer == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (alignment_of(bytes) == huge_page) madvise(pointer, size, MADV_HUGEPAGE);  // a wish: nothing is lost when it is refused
#endif
  return pointer;
}

void free_scratch(void* pointer, std::size_t bytes) noexcept {
  if (pointer == nullptr) return;
  const std::size_t size = rounded(bytes);
  if (!worth_keeping(size) || !freed_blocks().keep(pointer, size)) std::free(pointer);
}

}  // namespace convbasis
