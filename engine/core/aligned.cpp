#include "core/aligned.h"

#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace convbasis {

void* allocate_scratch(std::size_t bytes) {
  constexpr std::size_t huge_page = std::size_t{1} << 21;
  const std::size_t alignment = bytes >= huge_page ? huge_page : 64;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (rounded < bytes) throw std::bad_alloc();
  void* pointer = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (pointer == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (alignment == huge_page) madvise(pointer, rounded, MADV_HUGEPAGE);  // a wish: nothing is lost when it is refused
#endif
  return pointer;
}

void free_scratch(void* pointer) noexcept { std::free(pointer); }

}  // namespace convbasis
