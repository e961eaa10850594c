#include "core/disk.h"

#ifdef _WIN32
#include <io.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif

namespace convbasis {

bool flush_to_disk(std::FILE* file) {
#ifdef _WIN32
  return std::fflush(file) == 0 && ::_commit(::_fileno(file)) == 0;
#else
  return std::fflush(file) == 0 && ::fsync(::fileno(file)) == 0;
#endif
}

void flush_range([[maybe_unused]] std::FILE* file, [[maybe_unused]] std::uint64_t first, [[maybe_unused]] std::uint64_t count) {
#ifdef SYNC_FILE_RANGE_WRITE
  if (std::fflush(file) != 0) return;  // a failure is found again, and reported, by flush_to_disk()
  const auto begin = static_cast<off64_t>(first);
  const auto length = static_cast<off64_t>(count);
  constexpr unsigned wait = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  if (::sync_file_range(::fileno(file), begin, length, wait) == 0) {
    ::posix_fadvise(::fileno(file), begin, length, POSIX_FADV_DONTNEED);
  }
#endif
}

}  // namespace convbasis
