#include "window/layout.h"

#include <imgui_internal.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace convscope {

namespace {

/// The share of the height that the row of maps gets: square maps of a third of the width, with titles, ticks and colour bars.
/// Twice as much to compare, as far as the panels below stay readable; less beside the curves of training.
float share_of_maps(LayoutPreset preset, ImVec2 size, float columns_width) {
  const float wanted = columns_width / 3.0F + 6.0F * ImGui::GetFontSize();
  const float share = std::clamp(wanted / std::max(size.y, 1.0F), 0.48F, 0.64F);
  if (preset == LayoutPreset::train) return 0.36F;
  return preset == LayoutPreset::compare ? std::min(2.0F * share, 0.76F) : share;
}

float share_of_left(LayoutPreset preset) { return preset == LayoutPreset::teach ? 0.25F : 0.19F; }

/// Splits a row into `count` places of equal width, from left to right.
std::vector<ImGuiID> columns(ImGuiID row, int count) {
  std::vector<ImGuiID> places;
  for (int left = count; left > 1; --left) {
    ImGuiID rest = 0;
    places.push_back(ImGui::DockBuilderSplitNode(row, ImGuiDir_Left, 1.0F / static_cast<float>(left), nullptr, &rest));
    row = rest;
  }
  places.push_back(row);
  return places;
}

/// The places below the maps: three columns, or two where nothing measures; for training a narrow and a wide one.
std::vector<ImGuiID> places_below(LayoutPreset preset, ImGuiID row, bool runtime) {
  if (preset != LayoutPreset::train) return columns(row, runtime ? 3 : 2);
  ImGuiID wide = 0;
  const ImGuiID narrow = ImGui::DockBuilderSplitNode(row, ImGuiDir_Left, 0.3F, nullptr, &wide);
  return {narrow, narrow, wide};
}

template <class Visit>
void visit_leaves(ImGuiDockNode* node, const Visit& visit) {
  if (!node) return;
  if (!node->IsSplitNode()) {
    visit(*node);
    return;
  }
  for (ImGuiDockNode* child : node->ChildNodes) visit_leaves(child, visit);
}

void set_tab_bar(ImGuiDockNode& node, bool shown) {
  // Tabs have a button to close them; one for all of them is one too many.
  const ImGuiDockNodeFlags others = (node.LocalFlags & ~ImGuiDockNodeFlags_HiddenTabBar) | ImGuiDockNodeFlags_NoCloseButton;
  node.SetLocalFlags(shown ? others : others | ImGuiDockNodeFlags_HiddenTabBar);
}

}  // namespace

std::string title_of(const PanelEntry& panel) {
  const std::string_view name(panel.window);
  const auto mark = name.find("###");
  if (mark != 0) return std::string(name.substr(0, mark));
  std::string title(name.substr(3));
  title.front() = static_cast<char>(title.front() - 'a' + 'A');
  return title + " map";
}

void build_layout(LayoutPreset preset, ImGuiID id, ImVec2 size, const std::function<bool(const char*)>& has) {
  ImGui::DockBuilderRemoveNode(id);
  ImGui::DockBuilderAddNode(id, ImGuiDockNodeFlags_DockSpace);
  ImGui::DockBuilderSetNodeSize(id, size);
  ImGuiID right = 0;
  const float left_share = share_of_left(preset);
  const ImGuiID left = ImGui::DockBuilderSplitNode(id, ImGuiDir_Left, left_share, nullptr, &right);
  ImGuiID parameters = 0;
  const ImGuiID source = ImGui::DockBuilderSplitNode(left, ImGuiDir_Up, 0.5F, nullptr, &parameters);
  ImGuiID bottom = 0;
  const float maps_share = share_of_maps(preset, size, (1.0F - left_share) * size.x);
  const ImGuiID maps_row = ImGui::DockBuilderSplitNode(right, ImGuiDir_Up, maps_share, nullptr, &bottom);
  // Slot B has a row of its own where there is room for it; else its maps stand behind those of A.
  ImGuiID row_b = maps_row;
  ImGuiID row_a = maps_row;
  if (preset == LayoutPreset::compare) row_b = ImGui::DockBuilderSplitNode(maps_row, ImGuiDir_Down, 0.5F, nullptr, &row_a);
  const std::vector<ImGuiID> maps = columns(row_a, 3);
  const std::vector<ImGuiID> maps_b = row_b == row_a ? maps : columns(row_b, 3);
  const std::vector<ImGuiID> below = places_below(preset, bottom, has(runtime_window));
  const ImGuiID beside = preset == LayoutPreset::train ? below.front() : below.back();
  const std::array<std::pair<const char*, ImGuiID>, 15> places{{{source_window, source},
                                                                {parameters_window, parameters},
                                                                {exact_window, maps[0]},
                                                                {approximation_window, maps[1]},
                                                                {residual_window, maps[2]},
                                                                {basis_window, below[0]},
                                                                {errors_window, below[1]},
                                                                {heads_window, below[1]},
                                                                {runtime_window, beside},
                                                                {training_window, below.back()},
                                                                {exact_b_window, maps_b[0]},
                                                                {approximation_b_window, maps_b[1]},
                                                                {difference_window, maps_b[2]},
                                                                {compare_window, beside},
                                                                {log_window, beside}}};
  for (const auto& [window, node] : places) {
    if (!has(window)) continue;
    ImGui::DockBuilderDockWindow(window, node);
    // Panels carry their titles; a click into a panel's corner shows the bar that moves it.
    set_tab_bar(*ImGui::DockBuilderGetNode(node), false);
  }
  ImGui::DockBuilderFinish(id);
}

void follow_tabs(ImGuiID id) {
  visit_leaves(ImGui::DockBuilderGetNode(id), [](ImGuiDockNode& node) {
    // How many panels the place had in the last frame.
    ImGuiStorage* counts = ImGui::GetStateStorage();
    const int before = counts->GetInt(node.ID, 1);
    const int now = node.Windows.Size;
    if (now == before || now == 0) return;
    counts->SetInt(node.ID, now);
    if (now > 1) set_tab_bar(node, true);
    if (now == 1 && before > 1) set_tab_bar(node, false);
  });
}

}  // namespace convscope
