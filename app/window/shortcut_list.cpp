#include "window/shortcut_list.h"

#include "panels/ui.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace convscope {

namespace {

constexpr float keys_width = 11.5F;  // letters' heights
// The menus before which another column begins.
constexpr std::array<std::string_view, 2> first_of_column{"View", "Head"};

constexpr std::array<std::pair<const char*, const char*>, 10> gestures{
    {{"wheel on a map", "zoom where the mouse is"},
     {"drag on a map", "move it"},
     {"click on a map", "pin the cell, again to let go"},
     {"double click on a map", "show the whole of it"},
     {"Shift and drag on a map", "select cells: their statistics"},
     {"hold X", "exact and approximation change places"},
     {"drag a mark below a map", "move a segment's start"},
     {"right click on a map", "copy, and how it is drawn"},
     {"double click on a slider", "type the number"},
     {"drop files on the window", "open them"}}};

void draw_pair(std::string_view keys, std::string_view meaning) {
  ImGui::TableNextColumn();
  ui::number(keys);
  ImGui::TableNextColumn();
  ImGui::TextUnformatted(meaning.data(), meaning.data() + meaning.size());
}

bool begin_pairs(const char* id) {
  if (!ImGui::BeginTable(id, 2, ImGuiTableFlags_SizingFixedFit | ImGuiTableFlags_NoHostExtendX)) return false;
  // Meanings stand below each other from one menu to the next.
  ImGui::TableSetupColumn("keys", ImGuiTableColumnFlags_WidthFixed, keys_width * ImGui::GetFontSize());
  return true;
}

void draw_menu_keys(const ActionTable& actions, std::string_view menu) {
  if (!begin_pairs(std::string(menu).c_str())) return;
  for (const Action& action : actions.all()) {
    const std::string name = full_name(action);
    if (action.shortcuts.empty() || !name.starts_with(menu)) continue;
    // One other way is enough to know.
    std::string keys = key_text(action.shortcuts.front());
    if (action.shortcuts.size() > 1) keys += ", " + key_text(action.shortcuts[1]);
    draw_pair(keys, std::string_view(name).substr(menu.size() + 2));
  }
  ImGui::EndTable();
}

std::vector<std::string> menus_with_keys(const ActionTable& actions) {
  std::vector<std::string> menus;
  for (const Action& action : actions.all()) {
    const std::string menu = action.menu.substr(0, action.menu.find('/'));
    if (!action.shortcuts.empty() && std::ranges::find(menus, menu) == menus.end()) menus.push_back(menu);
  }
  return menus;
}

}  // namespace

void ShortcutList::draw(const ActionTable& actions) {
  if (std::exchange(wanted_, false)) ImGui::OpenPopup(window_name);
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  ImGui::SetNextWindowPos(viewport->GetCenter(), ImGuiCond_Always, {0.5F, 0.5F});
  ImGui::SetNextWindowSizeConstraints({0.0F, 0.0F}, {0.95F * viewport->WorkSize.x, 0.9F * viewport->WorkSize.y});
  if (!ImGui::BeginPopupModal(window_name, nullptr,
                              ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings)) {
    return;
  }
  const auto menus = menus_with_keys(actions);
  ImGui::BeginGroup();
  for (std::size_t i = 0; i < menus.size(); ++i) {
    if (std::ranges::find(first_of_column, menus[i]) != first_of_column.end()) {
      ImGui::EndGroup();
      ImGui::SameLine(0.0F, 2.0F * ImGui::GetFontSize());
      ImGui::BeginGroup();
    }
    ui::bold(menus[i]);
    draw_menu_keys(actions, menus[i]);
    ImGui::Spacing();
  }
  ui::bold("Mouse");
  if (begin_pairs("mouse")) {
    for (const auto& [gesture, meaning] : gestures) draw_pair(gesture, meaning);
    ImGui::EndTable();
  }
  ImGui::EndGroup();
  ImGui::Spacing();
  if (ImGui::Button("Close") || ImGui::IsKeyPressed(ImGuiKey_Escape)) ImGui::CloseCurrentPopup();
  ImGui::EndPopup();
}

}  // namespace convscope
