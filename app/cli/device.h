/// \file
/// The option --device, and the GPU that it names.
#pragma once

#include "core/types.h"
#include "cuda/gpu_accelerator.h"
#include "state/device_wish.h"

#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace convscope {

/// Declares --device, whose value goes to `device`: "auto", "cpu", or "gpu" with a number.
void add_device_option(CLI::App& verb, std::string& device);

/// Reads the value of --device. Throws InvalidArgument.
DeviceWish require_device_wish(const std::string& text);
/// Throws InvalidArgument, saying why, when the wish insists on a GPU that is not there. Only then the module is loaded.
void require_device(const DeviceWish& wish);

/// What --device names, for the working precision "f32" or "f64": a GPU computes in f32 alone.
class Device {
 public:
  /// "auto" takes GPU 0 when there is one, for heads of at least `smallest` tokens. Throws InvalidArgument when a GPU is named
  /// and there is no such, or it cannot compute in that precision. The driver may start threads: construct it after LongWork.
  Device(const std::string& wish, const std::string& precision, convbasis::Index smallest = smallest_on_auto);

  const convbasis::Accelerator* accelerator() const { return gpu_ ? &*gpu_ : nullptr; }
  /// What has been computed on: "CPU", or "GPU 0 (name)" once that has done anything.
  std::string name() const;
  /// A line on standard error if the GPU failed and the CPU did its work.
  void print_warning() const;

 private:
  std::optional<convbasis::GpuAccelerator> gpu_;
};

}  // namespace convscope
