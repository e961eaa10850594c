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

void start_flush([[maybe_unused]] std::FILE* file, [[maybe_unused]] std::uint64_t first, [[maybe_unused]] std::uint64_t count,
                 [[maybe_unused]] bool wait) {
#ifdef SYNC_FILE_RANGE_WRITE
  const unsigned waiting = wait ? SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER : 0U;
  // A failure is found again, and reported, by flush_to_disk().
  if (std::fflush(file) == 0) {
    ::sync_file_range(::fileno(file), static_cast<off64_t>(first), static_cast<off64_t>(count), SYNC_FILE_RANGE_WRITE | waiting);
  }
#endif
}

}  // namespace convbasis
