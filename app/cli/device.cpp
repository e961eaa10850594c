#include "cli/device.h"

#include "core/errors.h"
#include "state/gpu.h"

#include <fmt/format.h>

#include <cstdio>

namespace convscope {
namespace {

using convbasis::InvalidArgument;

void require_device(const DeviceWish& wish, const convbasis::GpuStatus& status) {
  const std::string why = missing_gpu(wish, status);
  if (why.empty()) return;
  throw InvalidArgument(
      fmt::format("--device is {}, and there is no such GPU: {}; use --device cpu or auto", name_of(wish), why));
}

}  // namespace

void add_device_option(CLI::App& verb, std::string& device) {
  verb.add_option(
          "--device", device,
          fmt::format("What computes attention: cpu; gpu0, or another number; auto: GPU 0 when there is one, for heads of "
                      "at least {} tokens in f32",
                      smallest_on_auto))
      ->type_name("NAME")
      ->capture_default_str();
}

DeviceWish require_device_wish(const std::string& text) {
  if (const auto wish = device_wish(text)) return *wish;
  throw InvalidArgument(fmt::format("--device is {}; it must be auto, cpu, or gpu with a number, such as gpu0", text));
}

void require_device(const DeviceWish& wish) {
  if (wish.kind == DeviceWish::Kind::gpu) require_device(wish, open_gpu()->status());
}

Device::Device(const std::string& text, const std::string& precision, convbasis::Index smallest) {
  const DeviceWish wish = require_device_wish(text);
  const bool insists = wish.kind == DeviceWish::Kind::gpu;
  if (insists && precision != "f32") {
    throw InvalidArgument(
        fmt::format("--device is {}, and a GPU computes in f32 only; use --device cpu for {}", text, precision));
  }
  if (wish.kind == DeviceWish::Kind::cpu || precision != "f32") return;
  const auto gpu = open_gpu();
  require_device(wish, gpu->status());
  if (const auto named = named_gpu(wish, gpu->status(), smallest)) gpu_.emplace(gpu, named->number, named->smallest);
}

std::string Device::name() const { return gpu_ && gpu_->used() ? gpu_->name() : "CPU"; }

void Device::print_warning() const {
  if (!gpu_) return;
  const std::string warning = gpu_->take_warning();
  if (!warning.empty()) fmt::print(stderr, "convscope: warning: {}\n", warning);
}

}  // namespace convscope
