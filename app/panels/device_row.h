/// \file
/// The choice of the device in a row: auto, CPU, and every GPU.
#pragma once

#include "state/device_choice.h"

#include <optional>
#include <string>
#include <vector>

namespace convscope {

/// What can be wished for here: auto, CPU, GPU 0 whether or not it is there, the other GPUs that are, and what is wished for.
std::vector<DeviceWish> device_wishes(const DeviceChoice& devices);
/// "auto", "CPU", "GPU 0": short, for a row.
std::string short_name(const DeviceWish& wish);
/// What choosing it means, or why that is not possible.
std::string about(const DeviceWish& wish, const DeviceChoice& devices);

/// Draws them one after the other from where the cursor is, over as many lines as they need, with what was found in tooltips.
/// Returns what was chosen.
std::optional<DeviceWish> draw_device_row(const DeviceChoice& devices);

}  // namespace convscope
