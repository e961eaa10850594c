#include "window/layout.h"

#include <imgui_internal.h>

namespace convscope {

void build_default_layout(ImGuiID id, ImVec2 size) {
  ImGui::DockBuilderRemoveNode(id);
  ImGui::DockBuilderAddNode(id, ImGuiDockNodeFlags_DockSpace);
  ImGui::DockBuilderSetNodeSize(id, size);
  ImGuiID right = 0;
  const ImGuiID left = ImGui::DockBuilderSplitNode(id, ImGuiDir_Left, 0.19F, nullptr, &right);
  ImGuiID parameters = 0;
  const ImGuiID source = ImGui::DockBuilderSplitNode(left, ImGuiDir_Up, 0.58F, nullptr, &parameters);
  ImGuiID bottom = 0;
  const ImGuiID maps = ImGui::DockBuilderSplitNode(right, ImGuiDir_Up, 0.58F, nullptr, &bottom);
  ImGuiID other_maps = 0;
  const ImGuiID exact = ImGui::DockBuilderSplitNode(maps, ImGuiDir_Left, 1.0F / 3.0F, nullptr, &other_maps);
  ImGuiID residual = 0;
  const ImGuiID approximation = ImGui::DockBuilderSplitNode(other_maps, ImGuiDir_Left, 0.5F, nullptr, &residual);
  ImGuiID errors = 0;
  const ImGuiID basis = ImGui::DockBuilderSplitNode(bottom, ImGuiDir_Left, 0.5F, nullptr, &errors);
  ImGui::DockBuilderDockWindow(source_window, source);
  ImGui::DockBuilderDockWindow(parameters_window, parameters);
  ImGui::DockBuilderDockWindow("###exact", exact);
  ImGui::DockBuilderDockWindow("###approximation", approximation);
  ImGui::DockBuilderDockWindow("###residual", residual);
  ImGui::DockBuilderDockWindow(basis_window, basis);
  ImGui::DockBuilderDockWindow(errors_window, errors);
  ImGui::DockBuilderFinish(id);
}

}  // namespace convscope
