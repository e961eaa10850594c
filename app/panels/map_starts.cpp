#include "panels/map_starts.h"

#include "panels/ui.h"

#include <fmt/format.h>
#include <imgui.h>

#include <algorithm>
#include <cmath>

namespace convscope {

using convbasis::Index;

namespace {

std::vector<Index> starts_of(const convbasis::ConvBasis<float>& basis) { return {basis.starts().begin(), basis.starts().end()}; }

}  // namespace

void MapStarts::steer(const convbasis::ConvBasis<float>& basis, const MapFrame& frame, MapView& view) {
  constexpr Index most_handles = 256;  // more marks than that cannot be told apart
  if (basis.count() > most_handles) return;
  const float width = std::round(ImGui::GetFontSize() * 0.6F);
  const float height = std::round(ImGui::GetFontSize() * 0.5F);
  bool held = false;
  // The first start stays: columns before it would have no segment.
  for (Index r = 1; r < basis.count(); ++r) {
    const float x = std::round(frame.x_of(static_cast<double>(basis.start(r))));
    const bool seen = x >= frame.corner.x && x <= frame.far_corner().x;
    const std::string name = fmt::format("start {}", r);
    ImGui::PushID(static_cast<int>(r));
    // A handle that is dragged stays the same item while its start moves.
    ImGui::SetCursorScreenPos({(seen ? x : frame.corner.x) - width / 2.0F, frame.far_corner().y});
    if (seen) ImGui::InvisibleButton(name.c_str(), {width, height});
    if (seen && ImGui::IsItemHovered()) ImGui::SetMouseCursor(ImGuiMouseCursor_ResizeEW);
    if (seen && ImGui::IsItemActive()) {
      held = true;
      if (dragged_.empty()) dragged_ = starts_of(basis);
      const auto place = static_cast<std::size_t>(r);
      if (place < dragged_.size()) {
        const auto column = static_cast<Index>(std::llround(frame.column_at(ImGui::GetIO().MousePos.x)));
        const Index least = dragged_[place - 1] + 1;
        const Index most = place + 1 < dragged_.size() ? dragged_[place + 1] - 1 : basis.size() - 1;
        const Index wanted = std::clamp(column, least, std::max(least, most));
        if (wanted != dragged_[place]) {
          dragged_[place] = wanted;
          view.starts_wish = dragged_;
        }
        ImGui::SetTooltip("start %td", dragged_[place]);
      }
    } else if (seen) {
      ui::tooltip("Drag to move where this segment starts; the map's menu has more.");
    }
    ImGui::PopID();
  }
  if (!held) dragged_.clear();
}

void MapStarts::draw_menu(const convbasis::ConvBasis<float>& basis, Index column, MapView& view) {
  if (!ImGui::BeginMenu("Segments")) return;
  std::vector<Index> starts = starts_of(basis);
  const auto place = std::ranges::lower_bound(starts, column);
  const bool is_start = place != starts.end() && *place == column;
  if (ImGui::MenuItem(fmt::format("Start one at key {}", column).c_str(), nullptr, false, !is_start && column < basis.size())) {
    starts.insert(place, column);
    view.starts_wish = starts;
  }
  const Index segment = basis.segment_of(column);
  if (ImGui::MenuItem(fmt::format("Join segment {} to the one before", segment + 1).c_str(), nullptr, false, segment > 0)) {
    std::vector<Index> joined = starts_of(basis);
    joined.erase(joined.begin() + segment);
    view.starts_wish = joined;
  }
  if (ImGui::MenuItem("Back to what Recover finds")) view.starts_wish = std::vector<Index>();
  ImGui::EndMenu();
}

}  // namespace convscope
