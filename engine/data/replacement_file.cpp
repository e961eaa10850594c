#include "data/replacement_file.h"

#include "core/disk.h"
#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

namespace convbasis {

namespace {

constexpr std::uint64_t piece = std::uint64_t{8} << 20U;

}  // namespace

ReplacementFile::ReplacementFile(const std::filesystem::path& target) : target_(target) {
  std::error_code error;
  if (std::filesystem::is_symlink(target_, error)) target_ = std::filesystem::weakly_canonical(target_, error);
  const std::filesystem::file_status status = std::filesystem::status(target_, error);
  if (std::filesystem::is_directory(status)) throw FileError(target.string(), "is a directory; give the path of a file to write");
  // Renaming over a device such as /dev/null would replace the device.
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw FileError(target.string(), "is not a regular file, so it cannot be replaced");
  }
  temporary_ = target_;
  temporary_ += fmt::format(".{:08x}.tmp", std::random_device{}());
  file_ = std::fopen(temporary_.string().c_str(), "wbx");
  if (file_ == nullptr) fail("cannot be written");
}

ReplacementFile::~ReplacementFile() {
  if (file_ != nullptr) std::fclose(file_);
  std::error_code ignored;
  if (!committed_) std::filesystem::remove(temporary_, ignored);
}

void ReplacementFile::write(const void* bytes, std::size_t count) {
  if (std::fwrite(bytes, 1, count, file_) != count) fail("cannot be written");
  written_ += count;
}

void ReplacementFile::flush_recent(const std::stop_token& stop) {
  for (; flushed_ < written_ && !stop.stop_requested(); flushed_ += std::min(piece, written_ - flushed_)) {
    flush_range(file_, flushed_, std::min(piece, written_ - flushed_));
  }
}

void ReplacementFile::require_room(std::uint64_t bytes) const {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(std::filesystem::absolute(target_).parent_path(), error);
  if (error || space.available >= bytes) return;  // a system that does not tell will say so when the disk is full
  throw FileError(target_.string(), fmt::format("takes {:.3g} GB, but the disk has {:.3g} GB free; free some, or choose another",
                                                1e-9 * static_cast<double>(bytes), 1e-9 * static_cast<double>(space.available)));
}

void ReplacementFile::flush() {
  if (!flush_to_disk(file_)) fail("cannot be written");
}

void ReplacementFile::commit() {
  flush();
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  if (!closed) fail("cannot be written");
  std::error_code error;
  std::filesystem::rename(temporary_, target_, error);
  if (error) throw FileError(target_.string(), "cannot be replaced: " + error.message());
  committed_ = true;
}

void ReplacementFile::fail(const char* what) const {
  throw FileError(target_.string(), fmt::format("{}: {}", what, std::strerror(errno)));
}

}  // namespace convbasis
