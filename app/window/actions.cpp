#include "window/actions.h"

#include <imgui_internal.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

namespace convscope {

namespace {

constexpr std::array<std::string_view, 6> first_menus{"File", "Edit", "View", "Head", "Run", "Export"};
constexpr std::string_view last_menu = "Help";

std::string_view first_part(std::string_view path) { return path.substr(0, path.find('/')); }

/// The part of `path` that follows the menu `parent`; empty unless it lies below.
std::string_view child_of(std::string_view parent, std::string_view path) {
  if (path.size() <= parent.size() || !path.starts_with(parent) || path[parent.size()] != '/') return {};
  return first_part(path.substr(parent.size() + 1));
}

/// `first` of its menu: the line that it may have is above the menu's own entry.
void draw_item(const Action& action, bool first) {
  if (action.after_line && !first) ImGui::Separator();
  const std::string shortcut = shortcut_text(action);
  const bool chosen = ImGui::MenuItem(action.name.c_str(), shortcut.empty() ? nullptr : shortcut.c_str(),
                                      action.ticked && action.ticked(), action.is_enabled());
  if (!action.help.empty()) ImGui::SetItemTooltip("%s", action.help.c_str());
  if (chosen) action.run();
}

}  // namespace

std::string full_name(const Action& action) {
  std::string name = action.menu + "/" + action.name;
  for (auto slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash)) name.replace(slash, 1, ": ");
  return name;
}

std::string key_text(ImGuiKeyChord chord) {
  std::string text = ImGui::GetKeyChordName(chord);
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> spelt{{{"KeypadAdd", "Keypad +"},
                                                                                {"KeypadSubtract", "Keypad −"},
                                                                                {"Equal", "="},
                                                                                {"Minus", "−"},
                                                                                {"Period", "."},
                                                                                {"LeftArrow", "←"},
                                                                                {"RightArrow", "→"},
                                                                                {"UpArrow", "↑"},
                                                                                {"DownArrow", "↓"}}};
  for (const auto& [name, sign] : spelt) {
    if (text.ends_with(name)) return text.replace(text.size() - name.size(), name.size(), sign);
  }
  return text;
}

std::string shortcut_text(const Action& action, bool all) {
  std::string text;
  for (const ImGuiKeyChord chord : action.shortcuts) {
    if (!text.empty()) text += ", ";
    text += key_text(chord);
    if (!all) break;
  }
  return text;
}

void ActionTable::add(Action action) {
  if (find(action.id)) throw std::logic_error("two actions are called " + action.id);
  for (const Action& other : actions_) {
    for (const ImGuiKeyChord chord : action.shortcuts) {
      if (std::ranges::find(other.shortcuts, chord) == other.shortcuts.end()) continue;
      throw std::logic_error(action.id + " has the shortcut of " + other.id);
    }
  }
  actions_.push_back(std::move(action));
}

void ActionTable::describe(std::string_view id, std::string name, std::string help) {
  const auto found = std::ranges::find(actions_, id, &Action::id);
  if (found == actions_.end()) throw std::logic_error("no action is called " + std::string(id));
  found->name = std::move(name);
  found->help = std::move(help);
}

const Action* ActionTable::find(std::string_view id) const {
  const auto found = std::ranges::find(actions_, id, &Action::id);
  return found == actions_.end() ? nullptr : &*found;
}

bool ActionTable::run(std::string_view id) const {
  const Action* action = find(id);
  if (!action || !action->is_enabled()) return false;
  action->run();
  return true;
}

void ActionTable::draw_menus() const {
  std::vector<std::string> order(first_menus.begin(), first_menus.end());
  for (const Action& action : actions_) {
    const std::string menu(first_part(action.menu));
    if (menu != last_menu && std::ranges::find(order, menu) == order.end()) order.push_back(menu);
  }
  order.emplace_back(last_menu);
  for (const std::string& menu : order) {
    const bool used = std::ranges::any_of(actions_, [&](const Action& action) { return first_part(action.menu) == menu; });
    if (!used || !ImGui::BeginMenu(menu.c_str())) continue;
    draw_menu(menu);
    ImGui::EndMenu();
  }
}

void ActionTable::draw_menu(const std::string& path) const {
  std::vector<std::string> drawn;
  const auto draw_submenu = [&](std::string_view name) {
    const std::string whole = path + "/" + std::string(name);
    if (std::ranges::find(drawn, whole) != drawn.end()) return;
    drawn.push_back(whole);
    if (!ImGui::BeginMenu(whole.c_str() + path.size() + 1)) return;
    draw_menu(whole);
    ImGui::EndMenu();
  };
  // A menu that is filled when it is opened stands below the first item.
  const auto draw_live = [&] {
    for (const LiveMenu& live : live_menus_) {
      if (live.menu == path) live.draw();
      if (const auto name = child_of(path, live.menu); !name.empty()) draw_submenu(name);
    }
  };
  bool first = true;
  for (const Action& action : actions_) {
    if (action.menu == path) {
      draw_item(action, first);
      if (std::exchange(first, false)) draw_live();
    } else if (const auto name = child_of(path, action.menu); !name.empty()) {
      if (action.after_line && std::ranges::find(drawn, path + "/" + std::string(name)) == drawn.end()) ImGui::Separator();
      draw_submenu(name);
    }
  }
  if (first) draw_live();
}

void ActionTable::run_shortcuts() const {
  for (const Action& action : actions_) {
    for (const ImGuiKeyChord chord : action.shortcuts) {
      if (ImGui::Shortcut(chord, ImGuiInputFlags_RouteGlobal) && action.is_enabled()) action.run();
    }
  }
}

}  // namespace convscope
