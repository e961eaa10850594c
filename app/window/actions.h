/// \file
/// The window's commands: one table feeds the menus and the shortcuts.
#pragma once

#include <imgui.h>

#include <functional>
#include <string>
#include <vector>

namespace convscope {

struct Action {
  std::string menu;            ///< the menu it stands in
  std::string name;            ///< empty: a separator
  ImGuiKeyChord shortcut = 0;  ///< 0: none
  std::function<void()> run = {};
  std::function<bool()> ticked = {};  ///< optional: draws a tick
};

/// Draws the menus, in the order of their first action, into the open menu bar.
void draw_menus(const std::vector<Action>& actions);

/// Runs the action whose shortcut was pressed.
void run_shortcuts(const std::vector<Action>& actions);

}  // namespace convscope
