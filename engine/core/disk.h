/// \file
/// Getting a file's contents to the disk, which standard C++ cannot ask for.
#pragma once

#include <cstdint>
#include <cstdio>

namespace convbasis {

/// Waits until the disk has everything that was written to `file`; without it a crash of the machine can leave an empty file
/// behind a rename. May take as long as the disk needs. False when it failed; errno says why.
bool flush_to_disk(std::FILE* file);

/// Waits until the disk has bytes [first, first + count) of the file, and gives up the system's copy of them in memory: a result
/// of many gigabytes should neither crowd out other files nor take long to remove. Does nothing where the system has no such
/// calls; flush_to_disk() then has more to do. Ranges of whole megabytes are best: partly filled pages are kept.
void flush_range(std::FILE* file, std::uint64_t first, std::uint64_t count);

}  // namespace convbasis
