#include "data/file_reader.h"

#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>

namespace convbasis {
namespace {

/// The size of a regular file that is not empty.
std::uint64_t checked_size(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found)
    throw FileError(path.string(), "does not exist; give the path of a tensor file");
  if (error) throw FileError(path.string(), "cannot be looked at: " + error.message());
  if (std::filesystem::is_directory(status)) throw FileError(path.string(), "is a directory; give the path of a tensor file");
  // A pipe or a device would block, or never end.
  if (!std::filesystem::is_regular_file(status)) throw FileError(path.string(), "is not a regular file");
  const std::uint64_t size = std::filesystem::file_size(path, error);
  if (error) throw FileError(path.string(), "its size cannot be read: " + error.message());
  if (size == 0) throw FileError(path.string(), "is empty (0 bytes); expected a tensor file");
  return size;
}

}  // namespace

FileReader::FileReader(const std::filesystem::path& path)
    : path_(path), name_(path.string()), size_(checked_size(path)), file_(path) {
  if (!file_.is_open()) throw FileError(name_, "cannot be opened for reading; check its permissions");
}

void FileReader::read_inside(std::uint64_t offset, std::span<std::byte> bytes, const RunContext& context) const {
  constexpr std::size_t most_at_once = std::size_t{64} << 20U;  // a slow disk should not hold up a stop
  for (std::size_t done = 0; done < bytes.size(); done += most_at_once) {
    context.check();
    const std::span<std::byte> part = bytes.subspan(done, std::min(most_at_once, bytes.size() - done));
    if (file_.read(offset + done, part)) continue;
    throw FileError(name_, fmt::format("{} bytes at position {} cannot be read; did the file change?", bytes.size(), offset));
  }
}

}  // namespace convbasis
