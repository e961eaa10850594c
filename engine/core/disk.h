/// \file
/// Getting a file's contents to the disk, which standard C++ cannot ask for.
#pragma once

#include <cstdint>
#include <cstdio>

namespace convbasis {

/// Waits until the disk has everything that was written to `file`; without it a crash of the machine can leave an empty file
/// behind a rename. May take as long as the disk needs. False when it failed; errno says why.
bool flush_to_disk(std::FILE* file);

/// Has the system begin with bytes [first, first + count) of the file, and wait for them if `wait` is set, so that
/// flush_to_disk() has less to do. Does nothing where the system has no such call.
void start_flush(std::FILE* file, std::uint64_t first, std::uint64_t count, bool wait);

}  // namespace convbasis
