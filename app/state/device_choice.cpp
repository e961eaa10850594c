#include "state/device_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace convscope {

namespace {

/// How many bytes were missing, or at which n, does not make it another failure.
std::string without_numbers(std::string text) {
  std::erase_if(text, [](char c) { return c >= '0' && c <= '9'; });
  return text;
}

}  // namespace

void DeviceChoice::want(const DeviceWish& wish) {
  if (wish == chosen_.wish && (asked_ || wish.kind == DeviceWish::Kind::cpu)) return;
  chosen_.wish = wish;
  said_.clear();
  if (!asked_ && wish.kind != DeviceWish::Kind::cpu) {
    asked_ = true;
    job_.start([load = load_](const convbasis::RunContext&) { return load(); });
  } else if (gpu_ && wish.kind == DeviceWish::Kind::cpu) {
    job_.start([gpu = gpu_](const convbasis::RunContext&) {
      gpu->release_memory();
      return gpu;
    });
  }
  choose();
}

bool DeviceChoice::poll() {
  if (!asked_ || gpu_ || !failure_.empty()) return false;
  failure_ = job_.failure();
  if (auto loaded = job_.take()) gpu_ = std::move(*loaded);
  choose();
  return gpu_ || !failure_.empty();
}

void DeviceChoice::choose() {
  chosen_.gpu.reset();
  chosen_.smallest = chosen_.wish.kind == DeviceWish::Kind::automatic ? smallest_on_auto : 1;
  chosen_.known = gpu_ || !failure_.empty() || chosen_.wish.kind == DeviceWish::Kind::cpu;
  if (!gpu_) return;
  const auto named = named_gpu(chosen_.wish, gpu_->status());
  if (!named) return;
  auto& accelerator = used_[named->number];
  if (!accelerator) accelerator = std::make_shared<const convbasis::GpuAccelerator>(gpu_, named->number, 1);
  chosen_.gpu = accelerator;
  chosen_.smallest = named->smallest;
}

std::string DeviceChoice::missing(const DeviceWish& wish) const {
  if (gpu_) return missing_gpu(wish, gpu_->status());
  return wish.kind == DeviceWish::Kind::gpu ? failure_ : "";
}

bool DeviceChoice::may_be(int number) const { return missing({DeviceWish::Kind::gpu, number}).empty(); }

std::string DeviceChoice::name_of_gpu(int number) const {
  std::string plain = fmt::format("GPU {}", number);
  if (!gpu_ || !may_be(number)) return plain;
  return fmt::format("{} ({})", plain, gpu_->status().devices[static_cast<std::size_t>(number)].name);
}

std::string DeviceChoice::about_gpu(int number) const {
  if (looking()) return "looking for a GPU…";
  if (!may_be(number)) return missing({DeviceWish::Kind::gpu, number});
  if (!gpu_) return "Looks for this GPU, and computes on it if it is there";
  const convbasis::GpuDevice& device = gpu_->status().devices[static_cast<std::size_t>(number)];
  constexpr double gibibyte = 1024.0 * 1024.0 * 1024.0;
  return fmt::format("Attention of every head in float32 on {}, compute capability {}.{}, {:.0f} GiB", device.name, device.major,
                     device.minor, static_cast<double>(device.memory) / gibibyte);
}

std::string DeviceChoice::take_warning() {
  const std::string missing = this->missing(chosen_.wish);
  if (!missing.empty()) {
    const std::string text = fmt::format("The device is set to {}, and there is no such GPU: {}; the CPU computes instead.",
                                         name_of(chosen_.wish), missing);
    return is_news(text) ? text : "";
  }
  std::string news;
  for (const auto& [number, accelerator] : used_) {
    // All are asked: what failed before another wish is nothing to be told later.
    const std::string text = accelerator->take_warning();
    if (!text.empty() && is_news(text)) news = text;
  }
  return news;
}

bool DeviceChoice::is_news(const std::string& warning) { return said_.insert(without_numbers(warning)).second; }

}  // namespace convscope
