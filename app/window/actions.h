/// \file
/// The window's commands: one table feeds the menus, the shortcuts, the command palette and the list of shortcuts.
#pragma once

#include <imgui.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

struct Action {
  std::string id;                             ///< never changes and is never used twice: "view.fit"
  std::string menu;                           ///< where it stands, submenus after a slash: "View/Scale"
  std::string name;                           ///< in the menu: "Logarithmic"
  std::vector<ImGuiKeyChord> shortcuts = {};  ///< the first one is shown
  std::function<void()> run = {};
  std::function<bool()> enabled = {};  ///< unset: always
  std::function<bool()> ticked = {};   ///< optional: draws a tick
  std::string help = {};               ///< one line
  bool after_line = false;             ///< a line is drawn above it in the menu

  bool is_enabled() const { return !enabled || enabled(); }
};

/// A submenu whose contents are known only when it is opened.
struct LiveMenu {
  std::string menu;            ///< "File/Recent"
  std::function<void()> draw;  ///< its items
};

/// All actions, in the order of their menus. Window thread only.
class ActionTable {
 public:
  /// Throws std::logic_error when the id or a shortcut is taken: a mistake of ours, found by any test that opens a window.
  void add(Action action);
  void add(LiveMenu menu) { live_menus_.push_back(std::move(menu)); }

  /// Another name and another help for an action that is there: what is known only while the window is open.
  void describe(std::string_view id, std::string name, std::string help);

  const std::vector<Action>& all() const { return actions_; }
  /// Null when there is none.
  const Action* find(std::string_view id) const;
  /// Runs it unless it is disabled. Returns whether it ran.
  bool run(std::string_view id) const;

  /// Draws the menus into the open menu bar: File, Edit, View, Head, Run, Export, others, Help; those without actions are left
  /// out.
  void draw_menus() const;
  /// Runs the action whose shortcut was pressed.
  void run_shortcuts() const;

 private:
  void draw_menu(const std::string& path) const;

  std::vector<Action> actions_;
  std::vector<LiveMenu> live_menus_;
};

/// "View: Scale: Logarithmic"
std::string full_name(const Action& action);
/// "Ctrl+=", as it stands on the keyboard.
std::string key_text(ImGuiKeyChord chord);
/// "Ctrl+Z", or all of them: "Ctrl+Y, Ctrl+Shift+Z". Empty without one.
std::string shortcut_text(const Action& action, bool all = false);

}  // namespace convscope
