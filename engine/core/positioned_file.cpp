#include "core/positioned_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace convbasis {

// O_NONBLOCK: a path may have become a pipe since it was looked at; regular files do not care.
PositionedFile::PositionedFile(const std::filesystem::path& path)
    : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}

PositionedFile::~PositionedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool PositionedFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  constexpr std::size_t longest_call = std::size_t{1} << 30U;  // systems refuse calls from 2 GiB on
  while (!bytes.empty()) {
    const auto count = ::pread(descriptor_, bytes.data(), std::min(bytes.size(), longest_call), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return true;
}

}  // namespace convbasis
