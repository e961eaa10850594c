#include "panels/map_drawing.h"

#include "panels/ui.h"
#include "view/ticks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

namespace convscope {
namespace {

constexpr float least_outline = 6.0F;  ///< side of an outline that can be seen
constexpr float least_band = 16.0F;    ///< side of a cell that a line through its middle would cover

/// Of ticks outside of the frame, in points; grows with the type.
float tick_length() { return std::round(ImGui::GetFontSize() * 0.27F); }

ImU32 text_colour() { return ImGui::GetColorU32(ImGuiCol_Text); }
ImU32 dim_colour() { return ImGui::GetColorU32(ImGuiCol_TextDisabled); }

/// A label whose exponent is raised and smaller, as no face has all superscripts.
struct LabelSize {
  ImVec2 text, exponent;
  float width() const { return text.x + exponent.x; }
};

constexpr float exponent_size = 0.75F;

LabelSize measure(const Tick& tick) {
  LabelSize size{ImGui::CalcTextSize(tick.text.c_str()), {0.0F, 0.0F}};
  if (!tick.exponent.empty()) {
    const ImVec2 full = ImGui::CalcTextSize(tick.exponent.c_str());
    size.exponent = {full.x * exponent_size, full.y * exponent_size};
  }
  return size;
}

void draw_label(ImDrawList& draw, ImVec2 at, const Tick& tick, const LabelSize& size) {
  at = {std::round(at.x), std::round(at.y)};
  draw.AddText(at, dim_colour(), tick.text.c_str());
  if (tick.exponent.empty()) return;
  const ImVec2 raised{at.x + size.text.x + 1.0F, at.y - std::round(size.exponent.y * 0.3F)};
  draw.AddText(ImGui::GetFont(), ImGui::GetFontSize() * exponent_size, raised, dim_colour(), tick.exponent.c_str());
}

/// Text that reads upwards, its middle at `centre`. ImGui cuts glyphs that start outside of the window, so it is first
/// written at `inside` and then turned and moved into place.
void draw_upward_text(ImDrawList& draw, ImVec2 centre, ImVec2 inside, ImU32 colour, const char* text) {
  const ImVec2 size = ImGui::CalcTextSize(text);
  const int first = draw.VtxBuffer.Size;
  draw.AddText({inside.x - size.x / 2.0F, inside.y - size.y / 2.0F}, colour, text);
  for (int i = first; i < draw.VtxBuffer.Size; ++i) {
    ImVec2& at = draw.VtxBuffer[i].pos;
    at = {centre.x + (at.y - inside.y), centre.y - (at.x - inside.x)};
  }
}

/// Left edge of a label centred at x, moved so that the panel does not cut it.
float centred_within(const MapLayout& layout, float x, float width) {
  return std::min(x - width / 2.0F, layout.title.x + layout.title_width - width);
}

float cell_number_size() { return std::round(ImGui::GetFontSize() * 0.8F); }

/// In the middle of the cell, unless the edge of the map would cut it: that would read as another number.
void draw_cell_number(const MapFrame& frame, CellIndex cell, float value, ImU32 colour) {
  ImFont* font = ui::mono_font();
  const std::string text = short_number(value, 2);
  const ImVec2 size = font->CalcTextSizeA(cell_number_size(), FLT_MAX, 0.0F, text.c_str());
  const ImVec2 at{std::round(frame.x_of(static_cast<double>(cell.column) + 0.5) - size.x / 2.0F),
                  std::round(frame.y_of(static_cast<double>(cell.row) + 0.5) - size.y / 2.0F)};
  const ImVec2 end = frame.far_corner();
  if (at.x < frame.corner.x || at.y < frame.corner.y || at.x + size.x > end.x || at.y + size.y > end.y) return;
  ImGui::GetWindowDrawList()->AddText(font, cell_number_size(), at, colour, text.c_str());
}

int tick_count(float length, float label) { return std::clamp(static_cast<int>(length / std::max(label, 1.0F)), 2, 9); }

}  // namespace

float axis_label_width(convbasis::Index n) { return ImGui::CalcTextSize(std::to_string(n).c_str()).x; }

void draw_axes(const MapFrame& frame, const MapLayout& layout, convbasis::Index n) {
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const ImVec2 end = frame.far_corner();
  draw.AddRect({frame.corner.x - 1.0F, frame.corner.y - 1.0F}, {end.x + 1.0F, end.y + 1.0F}, ImGui::GetColorU32(ImGuiCol_Border));

  const float line = ImGui::GetFontSize();
  const float gap = tick_length() + 3.0F;
  for (const Tick& tick : cell_ticks(seen_cells(frame.window.row, frame.window.extent, n), tick_count(frame.side, 3.0F * line))) {
    const float y = std::floor(frame.y_of(tick.value + 0.5)) + 0.5F;
    const LabelSize size = measure(tick);
    draw.AddLine({frame.corner.x - tick_length(), y}, {frame.corner.x, y}, dim_colour());
    draw_label(draw, {frame.corner.x - gap - size.width(), y - size.text.y / 2.0F}, tick, size);
  }
  const float label = std::max(axis_label_width(n) + line, 3.0F * line);
  for (const Tick& tick : cell_ticks(seen_cells(frame.window.column, frame.window.extent, n), tick_count(frame.side, label))) {
    const float x = std::floor(frame.x_of(tick.value + 0.5)) + 0.5F;
    const LabelSize size = measure(tick);
    draw.AddLine({x, end.y}, {x, end.y + tick_length()}, dim_colour());
    draw_label(draw, {centred_within(layout, x, size.width()), layout.ticks_y}, tick, size);
  }
  const ImVec2 centre{frame.corner.x + frame.side / 2.0F, frame.corner.y + frame.side / 2.0F};
  draw_upward_text(draw, {layout.axis_left + line / 2.0F, centre.y}, centre, dim_colour(), "query");
  draw.AddText({layout.axis_left, layout.ticks_y}, dim_colour(), "key");
}

void draw_crosshair(const MapFrame& frame, CellIndex cell, LineColours colours) {
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const ImVec2 end = frame.far_corner();
  // Through the middle of small cells, along the edges of those that are large enough to be looked into.
  const bool along_edges = frame.cell_size() >= least_band;
  const std::vector<double> places = along_edges ? std::vector{0.0, 1.0} : std::vector{0.5};
  draw.PushClipRect(frame.corner, end, true);
  for (const auto& [colour, width] : {std::pair(colours.halo, 3.0F), std::pair(colours.core, 1.0F)}) {
    for (const double place : places) {
      const float x = std::floor(frame.x_of(static_cast<double>(cell.column) + place)) + 0.5F;
      const float y = std::floor(frame.y_of(static_cast<double>(cell.row) + place)) + 0.5F;
      draw.AddLine({x, frame.corner.y}, {x, end.y}, colour, width);
      draw.AddLine({frame.corner.x, y}, {end.x, y}, colour, width);
    }
  }
  draw.PopClipRect();
}

void draw_outline(const MapFrame& frame, CellIndex cell, LineColours colours) {
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const float grow = std::max(0.0F, (least_outline - frame.cell_size()) / 2.0F);
  const ImVec2 low{std::floor(frame.x_of(static_cast<double>(cell.column)) - grow),
                   std::floor(frame.y_of(static_cast<double>(cell.row)) - grow)};
  const ImVec2 high{std::ceil(frame.x_of(static_cast<double>(cell.column) + 1.0) + grow),
                    std::ceil(frame.y_of(static_cast<double>(cell.row) + 1.0) + grow)};
  draw.PushClipRect(frame.corner, frame.far_corner(), true);
  draw.AddRect({low.x - 1.0F, low.y - 1.0F}, {high.x + 1.0F, high.y + 1.0F}, colours.halo);
  draw.AddRect(low, high, colours.core);
  draw.PopClipRect();
}

void draw_segment_starts(const MapFrame& frame, const convbasis::ConvBasis<float>& basis, Rgb colour,
                         std::optional<CellIndex> hovered) {
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const ImVec2 end = frame.far_corner();
  const auto count = static_cast<float>(basis.count());
  // Many starts would hide the map; then each is fainter.
  const float alpha = std::clamp(frame.side / (8.0F * std::max(count, 1.0F)), 0.15F, 0.7F);
  const convbasis::Index stands_out = hovered && hovered->column < basis.size() ? basis.segment_of(hovered->column) : -1;
  float last_line = -FLT_MAX;
  for (convbasis::Index r = 0; r < basis.count(); ++r) {
    const auto start = static_cast<double>(basis.start(r));
    const float x = std::round(frame.x_of(start)) + 0.5F;
    if (x < frame.corner.x || x > end.x) continue;
    const bool strong = r == stands_out;
    const float top = std::clamp(frame.y_of(start), frame.corner.y, end.y);
    // Neighbouring columns that all start a segment would cover the map; their marks below it remain.
    if (strong || x - last_line >= 4.0F) {
      draw.AddLine({x, top}, {x, end.y}, ui::colour(colour, strong ? 1.0F : alpha));
      last_line = x;
    }
    draw.AddLine({x, end.y}, {x, end.y + tick_length() + 2.0F}, ui::colour(colour), strong ? 3.0F : 1.0F);
  }
}

void draw_cell_numbers(const MapFrame& frame, convbasis::Index n, const ColourScale& scale, const ColourTable& table,
                       const std::function<float(CellIndex)>& value_of) {
  const float widest = ui::mono_font()->CalcTextSizeA(cell_number_size(), FLT_MAX, 0.0F, "\u22129.9e\u22129").x;
  if (frame.cell_size() < widest + 4.0F) return;
  const auto begin = [](double origin) { return static_cast<convbasis::Index>(std::floor(origin)); };
  const auto end = [&](double origin) {
    return std::min(n, static_cast<convbasis::Index>(std::ceil(origin + frame.window.extent)));
  };
  const convbasis::Index last_column = end(frame.window.column);
  for (convbasis::Index row = begin(frame.window.row); row < end(frame.window.row); ++row) {
    for (convbasis::Index column = begin(frame.window.column); column < std::min(row + 1, last_column); ++column) {
      const float value = value_of({row, column});
      if (std::isnan(value)) continue;
      // Black reads better than white above a luminance of about 0.18, where both have the same contrast.
      const bool bright = luminance(colour_at(table, scale.position(value))) > 0.18;
      draw_cell_number(frame, {row, column}, value, bright ? IM_COL32(0, 0, 0, 230) : IM_COL32(255, 255, 255, 230));
    }
  }
}

void draw_badges(const MapFrame& frame, std::span<const std::string> lines) {
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const float grid = std::round(ImGui::GetFontSize() / 2.0F);
  float y = frame.corner.y + grid;
  for (const std::string& text : lines) {
    const ImVec2 size = ImGui::CalcTextSize(text.c_str());
    const ImVec2 low{frame.far_corner().x - grid - size.x - grid, y};
    const ImVec2 high{frame.far_corner().x - grid, y + size.y + std::round(grid / 2.0F)};
    if (low.x < frame.corner.x) continue;
    draw.AddRectFilled(low, high, ImGui::GetColorU32(ImGuiCol_PopupBg, 0.85F), grid / 2.0F);
    draw.AddText({std::round(low.x + grid), std::round(low.y + grid / 4.0F)}, text_colour(), text.c_str());
    y = high.y + std::round(grid / 2.0F);
  }
}

void draw_colour_bar(const MapLayout& layout, const ColourScale& scale, ImTextureID lookup) {
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const ImVec2 low{layout.map.x, layout.bar_y};
  const ImVec2 high{layout.map.x + layout.side, layout.bar_y + layout.bar_height};
  draw.AddImage(lookup, low, high);
  draw.AddRect(low, high, ImGui::GetColorU32(ImGuiCol_Border));
  const float widest = ImGui::CalcTextSize("\u22120.000").x + ImGui::GetFontSize();
  for (const Tick& tick : scale_ticks(scale, tick_count(layout.side, widest))) {
    const float x = std::floor(low.x + layout.side * static_cast<float>(scale.position(tick.value))) + 0.5F;
    const bool minor = tick.text.empty();
    draw.AddLine({x, high.y}, {x, high.y + (minor ? tick_length() / 2.0F : tick_length())}, dim_colour());
    if (minor) continue;
    const LabelSize size = measure(tick);
    draw_label(draw, {centred_within(layout, x, size.width()), high.y + tick_length() + 2.0F}, tick, size);
  }
}

}  // namespace convscope
