#include "cli/long_work.h"

#include <fmt/format.h>

#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace convscope {
namespace {

constexpr auto redraw_interval = std::chrono::milliseconds(100);
constexpr auto patience = std::chrono::milliseconds(50);  ///< a stop is promised within a tenth of a second

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

ProgressBar::ProgressBar() : is_terminal_(isatty(STDERR_FILENO) == 1), start_(Clock::now()), last_draw_(start_) {}

void ProgressBar::show(std::string_view stage, double fraction) {
  if (!is_terminal_) return;
  const Clock::time_point now = Clock::now();
  if (fraction < last_fraction_) {
    first_fraction_ = fraction;
    start_ = now;
  }
  last_fraction_ = fraction;
  if (now - last_draw_ < redraw_interval) return;
  last_draw_ = now;
  const double done = std::clamp(fraction, 0.0, 1.0);
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double progress = done - first_fraction_;
  const std::string left = progress > 0.0 && elapsed > 0.5 ? fmt::format("{:.0f} s left", elapsed * (1.0 - done) / progress) : "";
  constexpr int width = 24;
  const int filled = static_cast<int>(std::lround(done * width));
  fmt::print(stderr, "\r\x1b[K{:<22} [{:#<{}}{:.<{}}] {:3.0f} %  {}", stage, "", filled, "", width - filled, 100.0 * done, left);
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::clear() {
  if (!drawn_) return;
  drawn_ = false;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

LongWork::LongWork(int threads) {
  context_.threads = threads;
  context_.stop = stop_.get_token();
  context_.progress = [this](std::string_view stage, double fraction) { bar_.show(stage, fraction); };
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  watcher_ = std::thread([this] { watch_signals(); });
}

LongWork::~LongWork() {
  bar_.clear();
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  finished_changed_.notify_one();
  pthread_kill(watcher_.native_handle(), SIGINT);  // wakes it from sigwait
  watcher_.join();
}

void LongWork::finish() {
  const std::lock_guard lock(mutex_);
  context_.check();
  finished_ = true;
}

void LongWork::remove_when_ended(std::filesystem::path file) {
  const std::lock_guard lock(mutex_);
  unfinished_ = std::move(file);
}

void LongWork::watch_signals() {
  const sigset_t signals = stop_signals();
  int signal = 0;
  sigwait(&signals, &signal);
  std::unique_lock lock(mutex_);
  if (finished_) return;
  stop_.request_stop();
  if (finished_changed_.wait_for(lock, patience, [this] { return finished_; })) return;
  // The lock is kept, so finish() cannot return, and no file but the unfinished one is being written.
  bar_.clear();
  std::error_code ignored;
  if (!unfinished_.empty()) std::filesystem::remove(unfinished_, ignored);
  std::fprintf(stderr, "convscope: %s\n", convbasis::Cancelled().what());
  std::_Exit(EXIT_FAILURE);
}

}  // namespace convscope
