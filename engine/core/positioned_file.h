/// \file
/// A file open for reading at any position: the one place where the engine asks the system for that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace convbasis {

/// Owns an open file. read() keeps no position, so several threads may call it at once without taking turns.
class PositionedFile {
 public:
  /// Opens for reading, without waiting for the other end should it be a pipe. is_open() is false when it failed; errno says why.
  explicit PositionedFile(const std::filesystem::path& path);
  ~PositionedFile();
  PositionedFile(const PositionedFile&) = delete;
  PositionedFile& operator=(const PositionedFile&) = delete;

  bool is_open() const { return descriptor_ >= 0; }

  /// Fills `bytes` from position `offset`, in one call of the system where it gives all at once. False when the file ends before,
  /// or cannot be read.
  bool read(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  int descriptor_ = -1;
};

}  // namespace convbasis
