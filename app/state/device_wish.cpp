#include "state/device_wish.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <system_error>

namespace convscope {

namespace {

constexpr std::string_view gpu_word = "gpu";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string name_of(const DeviceWish& wish) {
  switch (wish.kind) {
    case DeviceWish::Kind::automatic:
      return "auto";
    case DeviceWish::Kind::cpu:
      return "cpu";
    case DeviceWish::Kind::gpu:
      return fmt::format("{}{}", gpu_word, wish.number);
  }
  return "auto";
}

std::optional<DeviceWish> device_wish(std::string_view text) {
  if (text == "auto") return DeviceWish{};
  if (text == "cpu") return DeviceWish{DeviceWish::Kind::cpu};
  if (!text.starts_with(gpu_word)) return std::nullopt;
  const std::string_view digits = text.substr(gpu_word.size());
  if (digits.empty() || !std::ranges::all_of(digits, is_digit)) return std::nullopt;
  DeviceWish wish{DeviceWish::Kind::gpu};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), wish.number);
  return error == std::errc() ? std::optional(wish) : std::nullopt;
}

std::optional<NamedGpu> named_gpu(const DeviceWish& wish, const convbasis::GpuStatus& status, convbasis::Index on_auto) {
  if (wish.kind == DeviceWish::Kind::cpu || !status.ready() || !missing_gpu(wish, status).empty()) return std::nullopt;
  return wish.kind == DeviceWish::Kind::gpu ? NamedGpu{wish.number, 1} : NamedGpu{0, on_auto};
}

std::string missing_gpu(const DeviceWish& wish, const convbasis::GpuStatus& status) {
  if (wish.kind != DeviceWish::Kind::gpu) return "";
  if (!status.ready()) return status.why;
  return wish.number < std::ssize(status.devices) ? "" : fmt::format("the last is gpu{}", status.devices.size() - 1);
}

}  // namespace convscope
