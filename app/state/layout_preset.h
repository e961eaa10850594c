/// \file
/// The arrangements of panels that come with the program, by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace convscope {

/// explore: everything at once. teach: larger type and a wider left column. compare: a taller row of maps. train: a wide panel of
/// training.
enum class LayoutPreset : std::uint8_t { explore, teach, compare, train };

constexpr std::string_view name_of(LayoutPreset preset) {
  switch (preset) {
    case LayoutPreset::explore:
      return "explore";
    case LayoutPreset::teach:
      return "teach";
    case LayoutPreset::compare:
      return "compare";
    case LayoutPreset::train:
      return "train";
  }
  return "explore";
}

constexpr std::optional<LayoutPreset> layout_preset(std::string_view name) {
  for (const LayoutPreset preset : {LayoutPreset::explore, LayoutPreset::teach, LayoutPreset::compare, LayoutPreset::train}) {
    if (name == name_of(preset)) return preset;
  }
  return std::nullopt;
}

/// How much larger type is than the user's own scale says: a projector is read from the last row.
constexpr double type_scale(LayoutPreset preset) { return preset == LayoutPreset::teach ? 1.4 : 1.0; }

}  // namespace convscope
