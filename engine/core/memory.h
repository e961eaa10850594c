/// \file
/// How much memory the machine can still give, and how much this process has taken. What is asked of the operating
/// system stands in memory.cpp alone.
#pragma once

#include <cstdint>
#include <optional>

namespace convbasis {

/// Bytes that can be taken without driving the machine to swapping, file caches counted as free, and no more than the process's
/// control group allows. Nothing where the system does not tell (it does on Linux).
std::optional<std::uint64_t> available_memory();

/// The most bytes of this process that have been in memory at one time since its start. Nothing where the system does not tell.
std::optional<std::uint64_t> peak_memory();

}  // namespace convbasis
