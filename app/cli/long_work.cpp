#include "cli/long_work.h"

#include <fmt/format.h>

#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace convscope {
namespace {

constexpr auto redraw_interval = std::chrono::milliseconds(100);

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

ProgressBar::ProgressBar() : is_terminal_(isatty(STDERR_FILENO) == 1), last_draw_(Clock::now()) {}

void ProgressBar::show(std::string_view stage, double fraction) {
  if (!is_terminal_) return;
  const Clock::time_point now = Clock::now();
  if (stage != stage_) {
    stage_ = stage;
    stage_start_ = now;
  }
  if (now - last_draw_ < redraw_interval) return;
  last_draw_ = now;
  const double done = std::clamp(fraction, 0.0, 1.0);
  const double elapsed = std::chrono::duration<double>(now - stage_start_).count();
  const std::string left = done > 0.0 && elapsed > 0.5 ? fmt::format("{:.0f} s left", elapsed * (1.0 - done) / done) : "";
  constexpr int width = 24;
  const int filled = static_cast<int>(std::lround(done * width));
  fmt::print(stderr, "\r\x1b[K{:<22} [{:#<{}}{:.<{}}] {:3.0f} %  {}", stage_, "", filled, "", width - filled, 100.0 * done, left);
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
  finished_ = true;
  pthread_kill(watcher_.native_handle(), SIGTERM);  // wakes it from sigwait
  watcher_.join();
}

void LongWork::watch_signals() {
  const sigset_t signals = stop_signals();
  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && !finished_) {
    if (!stop_.request_stop()) std::_Exit(EXIT_FAILURE);  // the second signal: somebody does not want to wait
  }
}

}  // namespace convscope
