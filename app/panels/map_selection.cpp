#include "panels/map_selection.h"

#include "view/ticks.h"

#include <fmt/format.h>
#include <imgui.h>

#include <algorithm>
#include <utility>

namespace convscope {

using convbasis::Index;
using convbasis::MapKind;
using convbasis::MapRegion;

namespace {

/// The rectangle with these two corners, both included.
MapRegion between(CellIndex a, CellIndex b) {
  return {std::min(a.row, b.row), std::min(a.column, b.column), std::abs(a.row - b.row) + 1, std::abs(a.column - b.column) + 1};
}

std::string spread_text(const convbasis::Spread& spread) {
  return fmt::format("mean {}, {} to {}", short_number(spread.mean), short_number(spread.least), short_number(spread.largest));
}

}  // namespace

void MapSelection::follow(const Analysis& analysis, std::uint64_t approximation_id, const MapView& view) {
  if (auto text = text_job_.take()) ImGui::SetClipboardText(text->c_str());
  if (auto statistics = statistics_job_.take()) statistics_ = *statistics;
  if (!view.selection || !analysis) {
    if (std::exchange(asked_, std::nullopt)) statistics_job_.cancel();
    statistics_.reset();
    return;
  }
  const Basis wanted{*view.selection, view.quantity, approximation_id};
  if (asked_ == wanted) return;
  asked_ = wanted;
  statistics_.reset();
  statistics_job_.start([analysis, wanted](const convbasis::RunContext& context) {
    return convbasis::region_statistics(*analysis, wanted.region, wanted.quantity, context);
  });
}

bool MapSelection::steer(MapView& view, CellIndex cell, Index n) {
  if (ImGui::IsItemActivated()) {
    anchor_ = ImGui::GetIO().KeyShift ? std::optional(cell) : std::nullopt;
    if (anchor_) view.selection.reset();
  }
  if (!anchor_) return false;
  if (ImGui::IsItemActive() && ImGui::IsMouseDragging(ImGuiMouseButton_Left)) {
    const MapRegion region = clamped(between(*anchor_, cell), n);
    view.selection = region.rows > 0 && region.columns > 0 ? std::optional(region) : std::nullopt;
  }
  if (ImGui::IsItemDeactivated()) anchor_.reset();
  return true;
}

void MapSelection::draw(const MapView& view, const MapFrame& frame, ImU32 colour) {
  if (!view.selection) return;
  const MapRegion& region = *view.selection;
  const ImVec2 low{frame.x_of(static_cast<double>(region.column)), frame.y_of(static_cast<double>(region.row))};
  const ImVec2 high{frame.x_of(static_cast<double>(region.column + region.columns)),
                    frame.y_of(static_cast<double>(region.row + region.rows))};
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  draw.PushClipRect(frame.corner, frame.far_corner(), true);
  draw.AddRect(low, {std::max(high.x, low.x + 2.0F), std::max(high.y, low.y + 2.0F)}, colour, 0.0F, 0, 1.5F);
  draw.PopClipRect();
}

std::vector<std::string> MapSelection::lines(const MapView& view, MapKind kind) const {
  if (!view.selection) return {};
  const MapRegion& region = *view.selection;
  std::vector<std::string> lines{
      fmt::format("{}\u00d7{} cells from ({}, {})", region.rows, region.columns, region.row, region.column)};
  if (!statistics_) return lines;
  if (statistics_->cells == 0) {
    lines.emplace_back("all of them masked");
    return lines;
  }
  const auto& s = *statistics_;
  const auto& spread = kind == MapKind::exact ? s.exact : kind == MapKind::approximation ? s.approximate : s.difference;
  lines.push_back(spread_text(spread));
  if (kind == MapKind::residual) {
    lines.push_back("rms " + short_number(s.rms_difference));
  } else {
    lines.push_back("sum " + short_number(spread.sum));
  }
  if (s.row_step > 1) lines.push_back(fmt::format("from 1 row in {}", s.row_step));
  return lines;
}

std::string MapSelection::take_problem() {
  std::string problem = text_job_.failure();
  return problem == std::exchange(told_, problem) ? "" : problem;
}

void MapSelection::copy(const Analysis& analysis, const MapRegion& region, convbasis::MapQuantity quantity) {
  text_job_.start([=](const convbasis::RunContext& context) { return region_as_text(*analysis, region, quantity, context); });
}

}  // namespace convscope
