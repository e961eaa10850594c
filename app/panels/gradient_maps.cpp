#include "panels/gradient_maps.h"

#include "panels/backward_look.h"
#include "panels/ui.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace convscope {

namespace {

constexpr int picture_side = 256;
constexpr const char* difference_note = "Differences to exact, on their own scale:";
constexpr Rgb not_a_number_colour{1.0F, 0.0F, 1.0F};  // as in the maps of attention

const ColourTable& colours() {
  static const ColourTable table = colour_table(ColourMap::diverging);
  return table;
}

/// Beside a row of maps: the colours, `limit` at the top and -limit at the bottom.
void draw_bar(double limit, float height, float width) {
  ImDrawList* draw = ImGui::GetWindowDrawList();
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const float line = ImGui::GetTextLineHeight();
  const float bar = std::round(0.6F * line);
  constexpr int parts = 32;
  for (int part = 0; part < parts; ++part) {
    const auto y_of = [&](int at) { return std::floor(corner.y + height * static_cast<float>(at) / parts); };
    draw->AddRectFilled({corner.x, y_of(part)}, {corner.x + bar, y_of(part + 1)},
                        ui::colour(colour_at(colours(), 1.0 - (part + 0.5) / parts)));
  }
  draw->AddRect(corner, {corner.x + bar, corner.y + std::floor(height)}, ImGui::GetColorU32(ImGuiCol_Border));
  ImGui::PushFont(ui::mono_font());
  const std::array<std::pair<float, std::string>, 3> labels{
      {{0.0F, short_number(limit, 2)}, {(height - line) / 2.0F, "0"}, {height - line, short_number(-limit, 2)}}};
  for (const auto& [place, text] : labels) {
    if (place > 0.0F && place < line) continue;  // no room between the others
    draw->AddText({corner.x + bar + std::round(0.3F * line), std::round(corner.y + place)}, ImGui::GetColorU32(ImGuiCol_Text),
                  text.c_str());
  }
  ImGui::PopFont();
  ImGui::Dummy({width, height});
}

/// "3", or "24 to 31" where a cell has several.
std::string cells_text(Index cell, Index cells, Index all) {
  const Index first = (cell * all + cells - 1) / cells;
  const Index last = ((cell + 1) * all + cells - 1) / cells - 1;
  return first >= last ? fmt::format("{}", first) : fmt::format("{} to {}", first, last);
}

/// What is above a map of differences, as far as `room` pixels allow.
std::string difference_text(double error, float room) {
  const std::string number = short_number(error, 2);
  const std::string whole = "\u2212 exact: " + number;
  return ImGui::CalcTextSize(whole.c_str()).x <= room ? whole : number;
}

}  // namespace

void GradientMaps::set(std::vector<GradientMap> maps) {
  maps_ = std::move(maps);
  limits_ = {};
  for (const GradientMap& map : maps_) {
    limits_.gradient = std::max(limits_.gradient, largest_magnitude(map.gradient));
    limits_.difference = std::max(limits_.difference, largest_magnitude(map.difference));
  }
  colour();
}

void GradientMaps::colour() {
  if (maps_.empty()) return;
  if (!atlas_) atlas_.emplace(2 * convbasis::all_backwards.size(), picture_side);
  const auto paint = [&](std::size_t place, const convbasis::Matrix<float>& cells, double limit) {
    if (cells.size() == 0) return;
    atlas_->set(place, coloured_cells(cells, picture_side, limit > 0.0 ? limit : 1.0, colours(), not_a_number_colour));
  };
  for (std::size_t place = 0; place < maps_.size(); ++place) {
    paint(place, maps_[place].gradient, limits_.gradient);
    paint(convbasis::all_backwards.size() + place, maps_[place].difference, limits_.difference);
  }
  atlas_->finish();
}

void GradientMaps::draw(ImVec2 room, const char* row_name, const char* column_name) const {
  if (maps_.empty()) return;
  const float line = ImGui::GetTextLineHeightWithSpacing();
  const float gap = std::round(0.5F * ImGui::GetFontSize());
  const float bar = 5.5F * ImGui::GetFontSize();
  const auto across = static_cast<float>(maps_.size());
  const bool differences = std::ranges::any_of(maps_, [](const GradientMap& map) { return map.difference.size() > 0; });
  const float rows = differences ? 2.0F : 1.0F;
  const float side = std::floor(std::min((room.x - bar) / across - gap, room.y / rows - line - ImGui::GetStyle().ItemSpacing.y));
  if (side < ImGui::GetFontSize()) return;
  draw_row(false, side, gap, row_name, column_name);
  if (differences) draw_row(true, side, gap, row_name, column_name);
}

void GradientMaps::draw_row(bool differences, float side, float gap, const char* row_name, const char* column_name) const {
  const float left = ImGui::GetCursorPosX();
  const auto column = [&](std::size_t place) { return left + static_cast<float>(place) * (side + gap); };
  for (std::size_t place = 0; place < maps_.size(); ++place) {
    if (place > 0) ImGui::SameLine();
    ImGui::SetCursorPosX(column(place));
    const GradientMap& map = maps_[place];
    const ImVec2 corner = ImGui::GetCursorScreenPos();
    ImGui::PushClipRect(corner, {corner.x + side, corner.y + 2.0F * ImGui::GetTextLineHeight()}, true);
    if (differences) {
      ui::dim(map.difference.size() > 0 ? difference_text(map.error, side) : "");
    } else {
      draw_backward_name(map.backward, side);
    }
    ImGui::PopClipRect();
  }
  for (std::size_t place = 0; place < maps_.size(); ++place) {
    if (place > 0) ImGui::SameLine();
    ImGui::SetCursorPosX(column(place));
    draw_map(place, differences, side, row_name, column_name);
  }
  ImGui::SameLine();
  ImGui::SetCursorPosX(column(maps_.size()));
  draw_bar(differences ? limits_.difference : limits_.gradient, side, 5.0F * ImGui::GetFontSize());
}

void GradientMaps::draw_map(std::size_t place, bool difference, float side, const char* row_name, const char* column_name) const {
  const GradientMap& map = maps_[place];
  const convbasis::Matrix<float>& cells = difference ? map.difference : map.gradient;
  const ImVec2 low = ImGui::GetCursorScreenPos();
  const ImVec2 high(low.x + side, low.y + side);
  ImGui::Dummy({side, side});
  ImDrawList* draw = ImGui::GetWindowDrawList();
  if (cells.size() == 0) {
    draw->AddText(nullptr, 0.0F, low, ImGui::GetColorU32(ImGuiCol_TextDisabled), difference_note, nullptr, side);
    return;
  }
  const auto uv = atlas_->place(place + (difference ? convbasis::all_backwards.size() : 0));
  draw->AddImage(static_cast<ImTextureID>(atlas_->name()), low, high, {uv.left, uv.top}, {uv.right, uv.bottom});
  draw->AddRect(low, high, ImGui::GetColorU32(ImGuiCol_Border));
  if (!ImGui::IsItemHovered()) return;
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  const auto cell_at = [side](float offset, Index count) {
    return std::clamp(static_cast<Index>(offset / side * static_cast<float>(count)), Index{0}, count - 1);
  };
  const Index row = cell_at(mouse.y - low.y, cells.rows());
  const Index column = cell_at(mouse.x - low.x, cells.cols());
  const bool pooled = cells.rows() < map.rows || cells.cols() < map.columns;
  ImGui::SetTooltip("%s %s, %s %s\n%s%s", row_name, cells_text(row, cells.rows(), map.rows).c_str(), column_name,
                    cells_text(column, cells.cols(), map.columns).c_str(), short_number(cells(row, column), 4).c_str(),
                    pooled ? " (the largest of them)" : "");
}

}  // namespace convscope
