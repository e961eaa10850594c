/// \file
/// What tests look for in a picture of the window, and where the window's parts are.
#pragma once

#include "window/picture.h"

#include <imgui_internal.h>

#include <cstdint>
#include <set>

namespace convscope {

/// Where Dear ImGui put a panel: left, top, right, bottom; all 0 when there is none of that name.
inline ImVec4 rectangle(const char* name) {
  const ImGuiWindow* window = ImGui::FindWindowByName(name);
  return window ? ImVec4(window->Pos.x, window->Pos.y, window->Pos.x + window->Size.x, window->Pos.y + window->Size.y) : ImVec4();
}

/// How many colours there are in a part of the picture. An empty panel has some few, one with text some dozens, from smoothed
/// letters, and a map hundreds.
inline std::size_t distinct_colours(const Picture& picture, ImVec4 area) {
  std::set<std::uint32_t> colours;
  const int bottom = std::min(static_cast<int>(area.w), picture.height);
  const int right = std::min(static_cast<int>(area.z), picture.width);
  for (int y = std::max(static_cast<int>(area.y), 0); y < bottom; ++y) {
    for (int x = std::max(static_cast<int>(area.x), 0); x < right; ++x) {
      const std::uint8_t* p = picture.pixel(x, y);
      colours.insert(std::uint32_t{p[0]} << 16U | std::uint32_t{p[1]} << 8U | p[2]);
    }
  }
  return colours.size();
}

}  // namespace convscope
