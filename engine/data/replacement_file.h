/// \file
/// A file that is written beside its target and then takes its place, so that nothing is ever half-written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <stop_token>
#include <string_view>

namespace convbasis {

/// A new file beside `target` that takes its place on commit(), and is removed otherwise. One thread at a time.
class ReplacementFile {
 public:
  /// Makes the temporary file. A symbolic link keeps pointing: the file behind it is replaced. Throws FileError when the target
  /// is a folder or a device, or cannot be written.
  explicit ReplacementFile(const std::filesystem::path& target);
  ReplacementFile(const ReplacementFile&) = delete;
  ReplacementFile& operator=(const ReplacementFile&) = delete;
  ~ReplacementFile();

  /// Throws FileError.
  void write(const void* bytes, std::size_t count);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Waits until the disk has what was written since the last call, in pieces, because nothing can interrupt the wait for one.
  void flush_recent(const std::stop_token& stop);
  /// Throws FileError unless the disk has room for that many more bytes.
  void require_room(std::uint64_t bytes) const;
  const std::filesystem::path& temporary() const { return temporary_; }
  /// Waits until the disk has everything. Throws FileError.
  void flush();
  /// Flushes, and puts the file in place. Throws FileError; the target is then untouched.
  void commit();

 private:
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path target_, temporary_;
  std::FILE* file_ = nullptr;
  std::uint64_t written_ = 0, flushed_ = 0;  // bytes
  bool committed_ = false;
};

}  // namespace convbasis
