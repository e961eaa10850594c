/// \file
/// How long the window's thread is busy with a frame, and what the process has used.
#pragma once

#include "window/app.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace convscope {

/// Drives an App and measures every frame. Processor time of the calling thread is what the window takes; wall time has in it
/// what other programs take too, so it is printed and not judged.
class FrameClock {
 public:
  explicit FrameClock(App& app) : app_(app) {}

  void frame() {
    measure([this] { app_.frame(); });
  }
  void step(double seconds) {
    const std::size_t before = app_.frames_drawn();
    measure([&] { app_.step(seconds); });
    // Waiting for an event is no frame.
    if (app_.frames_drawn() == before) forget_last();
  }

  void reset() {
    wall_.clear();
    processor_.clear();
  }
  std::size_t frames() const { return wall_.size(); }
  double longest_processor() const { return longest(processor_); }
  double longest_wall() const { return longest(wall_); }
  double median_processor() const { return median(processor_); }
  double median_wall() const { return median(wall_); }

  void print(const char* what) const {
    std::printf("  %-32s %4zu frames   thread: median %5.1f ms, longest %5.1f ms   wall: median %5.1f ms, longest %6.1f ms\n",
                what, frames(), 1e3 * median_processor(), 1e3 * longest_processor(), 1e3 * median_wall(), 1e3 * longest_wall());
  }

 private:
  static double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  static double longest(const std::vector<double>& times) { return times.empty() ? 0.0 : *std::ranges::max_element(times); }
  static double median(std::vector<double> times) {
    if (times.empty()) return 0.0;
    std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
    return times[times.size() / 2];
  }

  template <class Work>
  void measure(const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    const double thread_start = thread_seconds();
    work();
    processor_.push_back(thread_seconds() - thread_start);
    wall_.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  void forget_last() {
    processor_.pop_back();
    wall_.pop_back();
  }

  App& app_;
  std::vector<double> processor_, wall_;  ///< seconds, one for each frame
};

/// Processor time of the whole process so far, in seconds: all threads, user and system.
inline double process_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Processor time so far of the software OpenGL driver's own threads, in seconds; 0 where there is none.
inline double driver_seconds() {
  double ticks = 0.0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string line;
    std::getline(std::ifstream(task.path() / "stat"), line);
    const std::size_t name_end = line.rfind(')');
    if (name_end == std::string::npos || line.find("(llvmpipe") == std::string::npos) continue;
    std::istringstream fields(line.substr(name_end + 1));
    std::string field;
    for (int i = 3; i <= 15 && fields >> field; ++i) {
      if (i >= 14) ticks += std::stod(field);
    }
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// The most memory that was ever resident, in GiB ("VmHWM"), or what is now ("VmRSS"); 0 where the system does not say.
inline double resident_gib(const std::string& field = "VmHWM") {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stod(line.substr(field.size() + 1)) / (1024.0 * 1024.0);
  }
  return 0.0;
}

}  // namespace convscope
