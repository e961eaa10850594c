#include "state/messages.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <utility>

namespace convscope {

namespace {

constexpr double seconds_per_fading_frame = 1.0 / 30.0;

std::string cut(std::string text) {
  if (text.size() <= Messages::longest_text) return text;
  text.resize(Messages::longest_text);
  // Back to the start of a UTF-8 character.
  while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0U) == 0x80U) text.pop_back();
  if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0U) text.pop_back();
  return text + "\u2026";
}

std::tm local_time(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
#ifdef _WIN32
  localtime_s(&parts, &seconds);
#else
  localtime_r(&seconds, &parts);
#endif
  return parts;
}

}  // namespace

std::string_view name_of(Severity severity) {
  switch (severity) {
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::error:
      return "error";
  }
  return "note";
}

void Messages::log(Severity severity, std::string text) {
  log_.push_back({severity, std::chrono::system_clock::now(), cut(std::move(text))});
  if (log_.size() > most_logged) log_.pop_front();
}

void Messages::toast(Severity severity, std::string text, double now) {
  text = cut(std::move(text));
  log(severity, text);
  std::erase_if(toasts_, [&](const Toast& old) { return old.text == text; });
  toasts_.push_back({++newest_toast_, severity, std::move(text), now + toast_seconds});
  if (toasts_.size() > most_toasts) toasts_.erase(toasts_.begin());
}

void Messages::set_banner(std::string_view key, Severity severity, std::string text, std::string offer) {
  text = cut(std::move(text));
  const auto old = std::ranges::find(banners_, key, &Banner::key);
  if (old != banners_.end() && old->text == text && old->severity == severity) {
    old->offer = std::move(offer);
    return;
  }
  log(severity, text);
  Banner banner{std::string(key), severity, std::move(text), std::move(offer)};
  if (old != banners_.end()) {
    *old = std::move(banner);
  } else {
    banners_.push_back(std::move(banner));
  }
}

void Messages::clear_banner(std::string_view key) {
  std::erase_if(banners_, [&](const Banner& banner) { return banner.key == key; });
}

void Messages::drop_toast(std::uint64_t id) {
  std::erase_if(toasts_, [&](const Toast& toast) { return toast.id == id; });
}

void Messages::expire(double now) {
  std::erase_if(toasts_, [&](const Toast& toast) { return opacity(toast, now) <= 0.0; });
}

double Messages::opacity(const Toast& toast, double now) {
  return std::clamp(1.0 - (now - toast.until) / fade_seconds, 0.0, 1.0);
}

double Messages::next_frame(double drawn) const {
  double soonest = std::numeric_limits<double>::infinity();
  for (const Toast& toast : toasts_) soonest = std::min(soonest, std::max(toast.until, drawn + seconds_per_fading_frame));
  return soonest;
}

std::string log_line(const Message& message) {
  return fmt::format("{:%H:%M:%S}  {:<7}  {}", local_time(message.time), name_of(message.severity), message.text);
}

}  // namespace convscope
