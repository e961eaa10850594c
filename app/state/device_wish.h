/// \file
/// What shall compute attention, as values that the command line, the settings and the window share. Plain functions.
#pragma once

#include "attention/accelerator.h"
#include "core/types.h"
#include "cuda/gpu.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace convscope {

struct DeviceWish {
  enum class Kind : std::uint8_t { automatic, cpu, gpu };
  Kind kind = Kind::automatic;
  int number = 0;  ///< of the GPU; 0 of other kinds
  bool operator==(const DeviceWish&) const = default;
};

/// "auto", "cpu", "gpu0": as the command line and the settings have it.
std::string name_of(const DeviceWish& wish);
/// Reads what name_of() writes; nothing for any other text.
std::optional<DeviceWish> device_wish(std::string_view text);

/// Below it the way to the GPU and back is taken to cost more than it saves. A guess, not a measurement.
inline constexpr convbasis::Index smallest_on_auto = 1024;

/// A GPU, and which heads are its own: those of at least so many tokens.
struct NamedGpu {
  int number = 0;
  convbasis::Index smallest = 1;
};

/// The GPU that a wish names where there are those of `status`: "auto" GPU 0 for heads of at least `on_auto` tokens, a number
/// that one for all. Nothing: the CPU does all.
std::optional<NamedGpu> named_gpu(const DeviceWish& wish, const convbasis::GpuStatus& status,
                                  convbasis::Index on_auto = smallest_on_auto);
/// Why there is no such GPU as the wish insists on, in the words of `status` or "the last is gpu0"; empty when there is, and when
/// the wish insists on none.
std::string missing_gpu(const DeviceWish& wish, const convbasis::GpuStatus& status);

/// What work is given to compute on: a value that jobs keep.
struct ChosenDevice {
  DeviceWish wish;
  std::shared_ptr<const convbasis::Accelerator> gpu;  ///< null: the CPU does all
  convbasis::Index smallest = 1;                      ///< heads of fewer tokens are the CPU's
  bool known = true;                                  ///< false while it is looked for: there may be a GPU

  /// For a head of n tokens in float; null: the CPU.
  std::shared_ptr<const convbasis::Accelerator> accelerator(convbasis::Index n) const { return n >= smallest ? gpu : nullptr; }
  bool known_for(convbasis::Index n) const { return known || n < smallest; }
};

}  // namespace convscope
