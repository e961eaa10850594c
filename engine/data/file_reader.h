/// \file
/// Reading bytes at a position of a file.
#pragma once

#include "core/positioned_file.h"
#include "data/byte_source.h"

#include <filesystem>

namespace convbasis {

/// An open regular file. read() may be called from several threads at once; they do not wait for each other.
class FileReader : public ByteSource {
 public:
  /// Throws FileError: missing, a directory or another thing that is no file, empty, or not readable.
  explicit FileReader(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return size_; }

 protected:
  void read_inside(std::uint64_t offset, std::span<std::byte> bytes, const RunContext& context) const override;

 private:
  std::filesystem::path path_;
  std::string name_;
  std::uint64_t size_ = 0;
  PositionedFile file_;
};

}  // namespace convbasis
