#include "cli/device.h"

#include "core/errors.h"
#include "state/gpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace convscope {
namespace {

using convbasis::InvalidArgument;

/// Of "auto" and "cpu" nothing.
std::optional<int> gpu_number(const std::string& wish) {
  if (wish == "auto" || wish == "cpu") return std::nullopt;
  int number = 0;
  if (wish.starts_with("gpu")) {
    const char* end = wish.data() + wish.size();
    const auto [read, error] = std::from_chars(wish.data() + 3, end, number);
    if (error == std::errc() && read == end && number >= 0) return number;
  }
  throw InvalidArgument(fmt::format("--device is {}; it must be auto, cpu, or gpu with a number, such as gpu0", wish));
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

Device::Device(const std::string& wish, const std::string& precision, convbasis::Index smallest) {
  const std::optional<int> number = gpu_number(wish);
  if (wish == "cpu" || (!number && precision != "f32")) return;
  if (number && precision != "f32") {
    throw InvalidArgument(
        fmt::format("--device is {}, and a GPU computes in f32 only; use --device cpu for {}", wish, precision));
  }
  const auto gpu = open_gpu();
  const convbasis::GpuStatus& status = gpu->status();
  if (number && (!status.ready() || *number >= std::ssize(status.devices))) {
    const std::string why = status.ready() ? fmt::format("the last is gpu{}", status.devices.size() - 1) : status.why;
    throw InvalidArgument(fmt::format("--device is {}, and there is no such GPU: {}; use --device cpu or auto", wish, why));
  }
  if (number) {
    gpu_.emplace(gpu, *number, 1);
  } else if (status.ready()) {
    gpu_.emplace(gpu, 0, smallest);
  }
}

std::string Device::name() const { return gpu_ && gpu_->used() ? gpu_->name() : "CPU"; }

void Device::print_warning() const {
  if (!gpu_) return;
  const std::string warning = gpu_->take_warning();
  if (!warning.empty()) fmt::print(stderr, "convscope: warning: {}\n", warning);
}

}  // namespace convscope
