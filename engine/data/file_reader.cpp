#include "data/file_reader.h"

#include "core/errors.h"

#include <fmt/format.h>

namespace convbasis {

FileReader::FileReader(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path_, error);
  if (status.type() == std::filesystem::file_type::not_found)
    throw FileError(path_.string(), "does not exist; give the path of a tensor file");
  if (error) throw FileError(path_.string(), "cannot be looked at: " + error.message());
  if (std::filesystem::is_directory(status)) throw FileError(path_.string(), "is a directory; give the path of a tensor file");
  // A pipe or a device would block, or never end.
  if (!std::filesystem::is_regular_file(status)) throw FileError(path_.string(), "is not a regular file");
  size_ = std::filesystem::file_size(path_, error);
  if (error) throw FileError(path_.string(), "its size cannot be read: " + error.message());
  if (size_ == 0) throw FileError(path_.string(), "is empty (0 bytes); expected a tensor file");
  stream_.open(path_, std::ios::binary);
  if (!stream_) throw FileError(path_.string(), "cannot be opened for reading; check its permissions");
}

void FileReader::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  if (bytes.empty()) return;
  if (offset > size_ || bytes.size() > size_ - offset) {
    throw FileError(path_.string(),
                    fmt::format("needs {} bytes at position {}, but it has {} bytes", bytes.size(), offset, size_));
  }
  const std::lock_guard lock(mutex_);
  stream_.clear();
  stream_.seekg(static_cast<std::streamoff>(offset));
  stream_.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream_)
    throw FileError(path_.string(),
                    fmt::format("{} bytes at position {} cannot be read; did the file change?", bytes.size(), offset));
}

}  // namespace convbasis
