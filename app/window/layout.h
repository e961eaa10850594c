/// \file
/// Where the panels are: their names, and the arrangements that come with the program.
#pragma once

#include "state/layout_preset.h"

#include <imgui.h>

#include <functional>
#include <string>

namespace convscope {

/// One panel of the window.
struct PanelEntry {
  std::string id;              ///< short, without blanks; in settings and sessions
  const char* window;          ///< Dear ImGui's name: "Basis###basis"
  std::function<void()> draw;  ///< its contents; unset for a map, which begins its window itself
  bool open = true;
};

inline constexpr const char* source_window = "Source###source";
inline constexpr const char* heads_window = "Heads###heads";
inline constexpr const char* parameters_window = "Parameters###parameters";
inline constexpr const char* exact_window = "###exact";
inline constexpr const char* approximation_window = "###approximation";
inline constexpr const char* residual_window = "###residual";
inline constexpr const char* basis_window = "Basis###basis";
inline constexpr const char* errors_window = "Residual: error by row###errors";
inline constexpr const char* runtime_window = "Runtime###runtime";
inline constexpr const char* training_window = "Training###training";
inline constexpr const char* compare_window = "Compare###compare";
inline constexpr const char* exact_b_window = "###exact_b";
inline constexpr const char* approximation_b_window = "###approximation_b";
inline constexpr const char* difference_window = "###difference";
inline constexpr const char* log_window = "Log###log";

/// What is shown of the menus: "Residual: error by row".
std::string title_of(const PanelEntry& panel);

/// Docks all panels into the dock space `id` of `size` pixels, in place of whatever is there: Source over Parameters at the left,
/// three maps above, to compare those of slot B beneath them, Basis, errors (with Heads) and Runtime below, Training, Compare and
/// the log behind the last. The preset train gives Training most of the lower row, and has the others beside it in one place.
/// `has` says which windows there are. Before the dock space is submitted in a frame.
void build_layout(LayoutPreset preset, ImGuiID id, ImVec2 size, const std::function<bool(const char*)>& has);

/// Shows the tab bar of a place that got a second panel, and hides that of one that lost it. Once a frame, after the dock space
/// and in its window.
void follow_tabs(ImGuiID id);

}  // namespace convscope
