#include "panels/head_grid.h"

#include "panels/ui.h"
#include "view/colour_map.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace convscope {

using convbasis::Index;
using convbasis::LayerInfo;

namespace {

/// Where cells lie on the screen. Row labels stand to the left, head labels below.
struct Geometry {
  ImVec2 origin;
  ImVec2 cell;
  Index rows = 0;
  Index columns = 0;

  ImVec2 corner(Index row, Index column) const {
    return {std::round(origin.x + cell.x * static_cast<float>(column)), std::round(origin.y + cell.y * static_cast<float>(row))};
  }
};

/// Labels only where they do not touch: every 1st, 2nd, 5th, 10th, ... one.
Index label_step(float cell, float needed) {
  for (Index decade = 1;; decade *= 10) {
    for (const Index step : {decade, 2 * decade, 5 * decade}) {
      if (cell * static_cast<float>(step) >= needed) return step;
    }
  }
}

Geometry layout(std::span<const LayerInfo> layers, ImVec2 room, float margin_left, float margin_below) {
  Geometry geometry;
  geometry.rows = static_cast<Index>(layers.size());
  for (const LayerInfo& layer : layers) geometry.columns = std::max(geometry.columns, layer.heads);
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  geometry.origin = {corner.x + margin_left, corner.y};
  // Few heads do not grow into billboards, many do not shrink out of reach of the mouse.
  const float largest = ImGui::GetFontSize() * 2.0F;
  const float smallest = ImGui::GetFontSize() * 0.3F;
  geometry.cell.x = std::max((room.x - margin_left) / static_cast<float>(geometry.columns), smallest);
  geometry.cell.y = std::clamp((room.y - margin_below) / static_cast<float>(geometry.rows), smallest, largest);
  if (geometry.columns < 4) geometry.cell.x = std::min(geometry.cell.x, 2.0F * largest);
  return geometry;
}

void draw_cells(const Geometry& geometry, std::span<const LayerInfo> layers, LayerHead current,
                const std::map<LayerHead, double>& errors) {
  static const ColourTable table = colour_table(ColourMap::cividis);
  ImDrawList* draw = ImGui::GetWindowDrawList();
  const ImU32 unknown = ImGui::GetColorU32(ImGuiCol_FrameBgHovered);
  for (Index row = 0; row < geometry.rows; ++row) {
    const LayerInfo& layer = layers[static_cast<std::size_t>(row)];
    for (Index head = 0; head < layer.heads; ++head) {
      const ImVec2 low = geometry.corner(row, head);
      const ImVec2 next = geometry.corner(row + 1, head + 1);
      const auto known = errors.find({layer.layer, head});
      const ImU32 fill = known == errors.end() ? unknown : ui::colour(colour_at(table, 1.0 - std::min(known->second, 1.0)));
      draw->AddRectFilled(low, {next.x - 1.0F, next.y - 1.0F}, fill);
      if (current == LayerHead{layer.layer, head}) {
        draw->AddRect({low.x - 1.0F, low.y - 1.0F}, next, ImGui::GetColorU32(ImGuiCol_Text), 0.0F, 0, 2.0F);
      }
    }
  }
}

void draw_labels(const Geometry& geometry, std::span<const LayerInfo> layers) {
  ImDrawList* draw = ImGui::GetWindowDrawList();
  const ImU32 dimmed = ImGui::GetColorU32(ImGuiCol_TextDisabled);
  const float line = ImGui::GetFontSize();
  const Index row_step = label_step(geometry.cell.y, line);
  for (Index row = 0; row < geometry.rows; row += row_step) {
    const std::string label = fmt::format("{}", layers[static_cast<std::size_t>(row)].layer);
    const ImVec2 size = ImGui::CalcTextSize(label.c_str());
    const ImVec2 at = geometry.corner(row, 0);
    draw->AddText({at.x - size.x - line * 0.4F, std::round(at.y + (geometry.cell.y - size.y) / 2.0F)}, dimmed, label.c_str());
  }
  const Index column_step = label_step(geometry.cell.x, line * 1.5F);
  for (Index head = 0; head < geometry.columns; head += column_step) {
    const std::string label = fmt::format("{}", head);
    const ImVec2 size = ImGui::CalcTextSize(label.c_str());
    const ImVec2 at = geometry.corner(geometry.rows, head);
    draw->AddText({std::round(at.x + (geometry.cell.x - size.x) / 2.0F), at.y + 2.0F}, dimmed, label.c_str());
  }
}

/// The cell under the mouse.
std::optional<LayerHead> hovered_head(const Geometry& geometry, std::span<const LayerInfo> layers) {
  if (!ImGui::IsItemHovered()) return std::nullopt;
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  const auto row = static_cast<Index>(std::floor((mouse.y - geometry.origin.y) / geometry.cell.y));
  const auto head = static_cast<Index>(std::floor((mouse.x - geometry.origin.x) / geometry.cell.x));
  if (row < 0 || row >= geometry.rows || head < 0 || head >= layers[static_cast<std::size_t>(row)].heads) return std::nullopt;
  return LayerHead{layers[static_cast<std::size_t>(row)].layer, head};
}

/// The neighbour that an arrow key asks for, while the grid has the focus.
std::optional<LayerHead> walked_head(std::span<const LayerInfo> layers, LayerHead current) {
  if (!ImGui::IsItemFocused()) return std::nullopt;
  const auto here = std::ranges::find(layers, current.first, &LayerInfo::layer);
  if (here == layers.end()) return std::nullopt;
  if (ImGui::IsKeyPressed(ImGuiKey_LeftArrow) && current.second > 0) return LayerHead{current.first, current.second - 1};
  if (ImGui::IsKeyPressed(ImGuiKey_RightArrow) && current.second + 1 < here->heads)
    return LayerHead{current.first, current.second + 1};
  const auto step_to = [&](auto neighbour) {
    return LayerHead{neighbour->layer, std::min(current.second, neighbour->heads - 1)};
  };
  if (ImGui::IsKeyPressed(ImGuiKey_UpArrow) && here != layers.begin()) return step_to(here - 1);
  if (ImGui::IsKeyPressed(ImGuiKey_DownArrow) && here + 1 != layers.end()) return step_to(here + 1);
  return std::nullopt;
}

}  // namespace

std::optional<LayerHead> draw_head_grid(std::span<const LayerInfo> layers, LayerHead current,
                                        const std::map<LayerHead, double>& errors, float height) {
  std::optional<LayerHead> asked;
  const float line = ImGui::GetFontSize();
  ImGui::BeginChild("heads", {0.0F, height}, ImGuiChildFlags_None, ImGuiWindowFlags_HorizontalScrollbar);
  const Geometry geometry = layout(layers, ImGui::GetContentRegionAvail(), line * 2.0F, line + 4.0F);
  const ImVec2 end = geometry.corner(geometry.rows, geometry.columns);
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const bool clicked = ImGui::InvisibleButton("grid", {end.x - corner.x, end.y - corner.y + line + 4.0F});
  const auto hovered = hovered_head(geometry, layers);
  if (clicked) asked = hovered;
  if (!asked) asked = walked_head(layers, current);
  draw_cells(geometry, layers, current, errors);
  draw_labels(geometry, layers);
  if (hovered) {
    const auto known = errors.find(*hovered);
    const std::string error = known == errors.end() ? "click to open" : "relative error " + short_number(known->second);
    ui::tooltip(fmt::format("layer {} head {}\n{}", hovered->first, hovered->second, error));
  }
  ImGui::EndChild();
  return asked;
}

}  // namespace convscope
