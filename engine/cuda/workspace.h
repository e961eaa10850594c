/// \file
/// What a call works with on a device: streams, memory, FFT plans, and the way for rows there and back. It is kept between calls,
/// since making it takes longer than many a call. Inside the GPU module.
#pragma once

#include "cuda/device.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace convbasis::cuda {

/// Device memory that is taken piece by piece during a call and given back all at once.
class DeviceArena {
 public:
  /// `count` numbers, not initialised. They stay until the next reset().
  template <class T>
  T* take(std::int64_t count) {
    return static_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }
  /// Gives back all that was taken, which nothing may be working on any more. What was used lately is kept for the next calls.
  void reset();
  std::size_t bytes() const;

 private:
  struct Block {
    DeviceArray<std::byte> memory;
    bool used = false;
    int resets_since = 0;  ///< since it was last used
  };
  static constexpr int most_resets = 8;  // a call forward and one backward in turn need different sizes
  void* take_bytes(std::size_t bytes);
  std::vector<Block> blocks_;
};

/// Carries rows through pinned memory of a fixed size, so that one piece is packed or unpacked while another is on its way.
class Transfers {
 public:
  /// Most bytes on their way in one piece. One row may have more.
  static constexpr std::int64_t piece_bytes = std::int64_t{8} << 20;

  const Stream& uploads() const { return uploads_; }
  const Stream& downloads() const { return downloads_; }

  /// `rows` of `width` numbers to `target`, on the stream uploads(). pack(first, count, to) writes rows without gaps; all of it
  /// has been called when this returns.
  template <class T, class Pack>
  void upload(std::int64_t rows, std::int64_t width, T* target, const Pack& pack);
  /// The same of numbers in a row.
  template <class T>
  void upload_numbers(const T* source, std::int64_t count, T* target);
  /// Rows from `source`, on the stream downloads(); unpack(first, count, from) has been called for all of them when this returns.
  template <class T, class Unpack>
  void download(std::int64_t rows, std::int64_t width, const T* source, const Unpack& unpack);
  /// The same to rows that are `stride` numbers apart.
  template <class T>
  void download_rows(const T* source, std::int64_t rows, std::int64_t width, T* target, std::int64_t stride);

  void wait() const {
    uploads_.wait();
    downloads_.wait();
  }
  /// As at first, but for the memory. Nothing may be under way.
  void reset() { turn_ = 0; }

 private:
  struct Buffer {
    PinnedArray<std::byte> memory;
    Event copied;
    void* room(std::size_t bytes);
  };
  static std::int64_t rows_of_a_piece(std::int64_t row_bytes);

  std::array<Buffer, 2> up_, down_;
  std::size_t turn_ = 0;        // of up_
  Stream uploads_, downloads_;  // last: they wait for their work before what that works on goes away
};

/// For one call at a time.
struct Workspace {
  Workspace() = default;
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  /// Waits for everything, and makes it ready for the next call.
  void reset();

  DeviceArena memory;
  Transfers transfers;
  Stream compute;
  FftPlans fft{compute};
};

/// The workspaces of one device. Thread-safe: calls from several threads each borrow one. The device must be the current one of
/// the calling thread whenever something here is called, destruction included.
class WorkspacePool {
 public:
  /// Gives the workspace back when it goes, once keep() was called; otherwise, which means that the call failed, the workspace
  /// goes.
  class Lease {
   public:
    explicit Lease(WorkspacePool& pool);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace& operator*() { return *workspace_; }
    /// Waits for the work. Throws DeviceError.
    void keep();

   private:
    WorkspacePool& pool_;
    std::unique_ptr<Workspace> workspace_;
    bool kept_ = false;
  };

  WorkspacePool() { idle_.reserve(most_idle); }
  /// Frees what no call is using.
  void release_idle();

 private:
  static constexpr std::size_t most_idle = 4;
  static constexpr std::size_t most_kept = std::size_t{512} << 20;  // bytes; a call that needs more does not notice cudaMalloc
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;  // guarded by mutex_
};

template <class T, class Pack>
void Transfers::upload(std::int64_t rows, std::int64_t width, T* target, const Pack& pack) {
  const std::int64_t row_bytes = width * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t at_once = rows_of_a_piece(row_bytes);
  for (std::int64_t first = 0; first < rows; first += at_once) {
    const std::int64_t count = std::min(at_once, rows - first);
    Buffer& buffer = up_[turn_++ % up_.size()];
    buffer.copied.wait();
    T* packed = static_cast<T*>(buffer.room(static_cast<std::size_t>(count * row_bytes)));
    pack(first, count, packed);
    copy_to_device(packed, static_cast<std::size_t>(count * width), target + first * width, uploads_);
    buffer.copied.record(uploads_);
  }
}

template <class T>
void Transfers::upload_numbers(const T* source, std::int64_t count, T* target) {
  upload(count, 1, target,
         [source](std::int64_t first, std::int64_t some, T* packed) { std::copy_n(source + first, some, packed); });
}

template <class T, class Unpack>
void Transfers::download(std::int64_t rows, std::int64_t width, const T* source, const Unpack& unpack) {
  const std::int64_t row_bytes = width * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t at_once = rows_of_a_piece(row_bytes);
  const auto finish = [&](std::int64_t first) {
    const Buffer& buffer = down_[static_cast<std::size_t>(first / at_once % 2)];
    buffer.copied.wait();
    unpack(first, std::min(at_once, rows - first), static_cast<const T*>(static_cast<const void*>(buffer.memory.data())));
  };
  for (std::int64_t first = 0; first < rows; first += at_once) {
    Buffer& buffer = down_[static_cast<std::size_t>(first / at_once % 2)];
    const std::int64_t count = std::min(at_once, rows - first) * width;
    T* packed = static_cast<T*>(buffer.room(static_cast<std::size_t>(count) * sizeof(T)));
    copy_to_host(source + first * width, static_cast<std::size_t>(count), packed, downloads_);
    buffer.copied.record(downloads_);
    if (first > 0) finish(first - at_once);
  }
  if (rows > 0) finish((rows - 1) / at_once * at_once);
}

template <class T>
void Transfers::download_rows(const T* source, std::int64_t rows, std::int64_t width, T* target, std::int64_t stride) {
  download(rows, width, source, [&](std::int64_t first, std::int64_t count, const T* packed) {
    if (stride == width) {
      std::copy_n(packed, count * width, target + first * width);
    } else {
      for (std::int64_t i = 0; i < count; ++i) std::copy_n(packed + i * width, width, target + (first + i) * stride);
    }
  });
}

}  // namespace convbasis::cuda
