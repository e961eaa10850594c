#include "core/memory.h"

#include <algorithm>
#include <fstream>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#endif

namespace convbasis {
namespace {

/// The number after `name` in a text file of names and numbers; nothing when there is none.
std::optional<std::uint64_t> number_after(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    std::uint64_t number = 0;
    if (word == name && file >> number) return number;
    file.clear();
  }
  return std::nullopt;
}

/// What the control group leaves: its limit less the memory that is not file cache.
std::optional<std::uint64_t> left_in_group() {
  std::uint64_t limit = 0;
  if (!(std::ifstream("/sys/fs/cgroup/memory.max") >> limit)) return std::nullopt;  // no file, or "max"
  const std::uint64_t used = number_after("/sys/fs/cgroup/memory.stat", "anon").value_or(0);
  return limit - std::min(limit, used);
}

}  // namespace

std::optional<std::uint64_t> available_memory() {
  const auto kilobytes = number_after("/proc/meminfo", "MemAvailable:");
  const auto group = left_in_group();
  if (!kilobytes) return group;
  return std::min(1024 * *kilobytes, group.value_or(1024 * *kilobytes));
}

std::optional<std::uint64_t> peak_memory() {
#if defined(__unix__) || defined(__APPLE__)
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0 || usage.ru_maxrss <= 0) return std::nullopt;
#ifdef __APPLE__
  constexpr std::uint64_t unit = 1;
#else
  constexpr std::uint64_t unit = 1024;
#endif
  return unit * static_cast<std::uint64_t>(usage.ru_maxrss);
#else
  return std::nullopt;
#endif
}

}  // namespace convbasis
