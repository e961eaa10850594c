/// \file
/// What the program has to say: a log of all of it, toasts that fade by themselves and banners that stay until dismissed.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

enum class Severity : std::uint8_t { note, warning, error };
std::string_view name_of(Severity severity);

struct Message {
  Severity severity = Severity::note;
  std::chrono::system_clock::time_point time;
  std::string text;
};

/// A message in the corner of the window.
struct Toast {
  std::uint64_t id = 0;
  Severity severity = Severity::note;
  std::string text;
  double until = 0.0;  ///< when it begins to fade, in the caller's seconds
};

/// A message across the window. `key` says whose it is: another text under the same key takes its place.
struct Banner {
  std::string key;
  Severity severity = Severity::warning;
  std::string text;
  std::string offer = {};  ///< label of a button that does something about it; empty: there is none
};

inline constexpr double toast_seconds = 4.0;  ///< before it fades
inline constexpr double fade_seconds = 0.5;

/// One thread only (the window's). Times are seconds of any clock that only runs forwards, given by the caller.
class Messages {
 public:
  static constexpr std::size_t most_logged = 1000;
  static constexpr std::size_t most_toasts = 5;
  static constexpr std::size_t longest_text = 4000;  ///< bytes; a longer one is cut

  /// Into the log alone.
  void log(Severity severity, std::string text);
  /// Into the log and, for a few seconds, into the corner. The same text again only stays longer.
  void toast(Severity severity, std::string text, double now);
  /// Into the log and across the window until taken away. The same text under the same key again does nothing.
  void set_banner(std::string_view key, Severity severity, std::string text, std::string offer = {});
  /// Without a banner of that key nothing happens.
  void clear_banner(std::string_view key);
  void drop_toast(std::uint64_t id);
  /// Takes away the toasts that have faded. Once a frame.
  void expire(double now);

  const std::deque<Message>& all() const { return log_; }  ///< oldest first
  const std::vector<Toast>& toasts() const { return toasts_; }
  const std::vector<Banner>& banners() const { return banners_; }
  void clear_log() { log_.clear(); }

  /// 1 until the toast fades, then down to 0.
  static double opacity(const Toast& toast, double now);
  /// When a picture of the toasts has to be drawn again if the last one is of the time `drawn`; infinity without a toast.
  double next_frame(double drawn) const;

 private:
  std::deque<Message> log_;
  std::vector<Toast> toasts_;
  std::vector<Banner> banners_;
  std::uint64_t newest_toast_ = 0;
};

/// "14:03:07  warning  text", in local time.
std::string log_line(const Message& message);

}  // namespace convscope
