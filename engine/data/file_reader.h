/// \file
/// Reading bytes at a position of a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <span>

namespace convbasis {

/// An open regular file. read() may be called from several threads (they take turns).
class FileReader {
 public:
  /// Throws FileError: missing, a directory or another thing that is no file, empty, or not readable.
  explicit FileReader(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }  ///< bytes, when it was opened

  /// Fills `bytes` from position `offset`. Throws FileError when the file ends before or cannot be read.
  void read(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
  mutable std::mutex mutex_;
  mutable std::ifstream stream_;
};

}  // namespace convbasis
