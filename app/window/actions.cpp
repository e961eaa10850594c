#include "window/actions.h"

#include <imgui_internal.h>

#include <algorithm>

namespace convscope {

namespace {

void draw_item(const Action& action) {
  if (action.name.empty()) {
    ImGui::Separator();
    return;
  }
  const char* shortcut = action.shortcut ? ImGui::GetKeyChordName(action.shortcut) : nullptr;
  if (ImGui::MenuItem(action.name.c_str(), shortcut, action.ticked && action.ticked())) action.run();
}

}  // namespace

void draw_menus(const std::vector<Action>& actions) {
  std::vector<std::string> drawn;
  for (const Action& first : actions) {
    if (std::ranges::find(drawn, first.menu) != drawn.end()) continue;
    drawn.push_back(first.menu);
    if (!ImGui::BeginMenu(first.menu.c_str())) continue;
    for (const Action& action : actions) {
      if (action.menu == first.menu) draw_item(action);
    }
    ImGui::EndMenu();
  }
}

void run_shortcuts(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    if (action.shortcut && ImGui::Shortcut(action.shortcut, ImGuiInputFlags_RouteGlobal)) action.run();
  }
}

}  // namespace convscope
