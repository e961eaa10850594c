/// \file
/// Memory for SIMD code and FFTs: 64-byte aligned, and for large scratch on huge pages and not cleared.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <vector>

namespace convbasis {

/// Allocator for vectors that SIMD code and FFTs work on: 64-byte aligned.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  static constexpr std::align_val_t alignment{64};
  AlignedAllocator() = default;
  template <class U>
  explicit(false) AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), alignment)); }
  void deallocate(T* pointer, std::size_t) { ::operator delete(pointer, alignment); }
  bool operator==(const AlignedAllocator&) const { return true; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

/// `bytes` of memory, 64-byte aligned and not cleared; large blocks on huge pages where the system has them. Fresh pages from the
/// system cost more than the work that is done in them, so up to 256 MiB of freed blocks are kept for the next who asks, in this
/// process. Thread-safe. Throws std::bad_alloc.
void* allocate_scratch(std::size_t bytes);
/// Gives back what allocate_scratch(bytes) returned.
void free_scratch(void* pointer, std::size_t bytes) noexcept;

/// A fixed number of T from allocate_scratch(); what is in them is undefined until written.
template <class T>
class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(std::size_t size)
      : data_(static_cast<T*>(allocate_scratch(bytes_of(size))), Free{bytes_of(size)}), size_(size) {}
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  static std::size_t bytes_of(std::size_t size) {
    if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
    return size * sizeof(T);
  }
  struct Free {
    std::size_t bytes = 0;
    void operator()(T* pointer) const noexcept { free_scratch(pointer, bytes); }
  };
  std::unique_ptr<T[], Free> data_;
  std::size_t size_ = 0;
};

}  // namespace convbasis
