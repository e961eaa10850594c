#include "window/layout.h"

#include <imgui_internal.h>

#include <algorithm>
#include <array>
#include <utility>

namespace convscope {

namespace {

/// The share of the height that the row of maps gets: square maps of a third of the width, with titles, ticks and colour bars.
float share_of_maps(ImVec2 size, float columns_width) {
  const float wanted = columns_width / 3.0F + 6.0F * ImGui::GetFontSize();
  return std::clamp(wanted / std::max(size.y, 1.0F), 0.48F, 0.64F);
}

}  // namespace

void build_default_layout(ImGuiID id, ImVec2 size) {
  ImGui::DockBuilderRemoveNode(id);
  ImGui::DockBuilderAddNode(id, ImGuiDockNodeFlags_DockSpace);
  ImGui::DockBuilderSetNodeSize(id, size);
  ImGuiID right = 0;
  constexpr float left_share = 0.19F;
  const ImGuiID left = ImGui::DockBuilderSplitNode(id, ImGuiDir_Left, left_share, nullptr, &right);
  ImGuiID parameters = 0;
  const ImGuiID source = ImGui::DockBuilderSplitNode(left, ImGuiDir_Up, 0.54F, nullptr, &parameters);
  ImGuiID bottom = 0;
  const ImGuiID maps =
      ImGui::DockBuilderSplitNode(right, ImGuiDir_Up, share_of_maps(size, (1.0F - left_share) * size.x), nullptr, &bottom);
  ImGuiID other_maps = 0;
  const ImGuiID exact = ImGui::DockBuilderSplitNode(maps, ImGuiDir_Left, 1.0F / 3.0F, nullptr, &other_maps);
  ImGuiID residual = 0;
  const ImGuiID approximation = ImGui::DockBuilderSplitNode(other_maps, ImGuiDir_Left, 0.5F, nullptr, &residual);
  ImGuiID others = 0;
  const ImGuiID basis = ImGui::DockBuilderSplitNode(bottom, ImGuiDir_Left, 1.0F / 3.0F, nullptr, &others);
  ImGuiID runtime = 0;
  const ImGuiID errors = ImGui::DockBuilderSplitNode(others, ImGuiDir_Left, 0.5F, nullptr, &runtime);
  const std::array<std::pair<const char*, ImGuiID>, 9> places{{{source_window, source},
                                                               {parameters_window, parameters},
                                                               {"###exact", exact},
                                                               {"###approximation", approximation},
                                                               {"###residual", residual},
                                                               {basis_window, basis},
                                                               {errors_window, errors},
                                                               {heads_window, errors},
                                                               {runtime_window, runtime}}};
  for (const auto& [window, node] : places) {
    ImGui::DockBuilderDockWindow(window, node);
    // Panels carry their titles; a click into a panel's corner shows the bar that moves it.
    if (node != errors) ImGui::DockBuilderGetNode(node)->SetLocalFlags(ImGuiDockNodeFlags_HiddenTabBar);
  }
  ImGui::DockBuilderFinish(id);
}

}  // namespace convscope
