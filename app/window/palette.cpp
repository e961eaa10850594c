#include "window/palette.h"

#include "panels/ui.h"
#include "view/fuzzy.h"

#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <utility>

namespace convscope {

namespace {

constexpr float width_in_letters = 36.0F;
constexpr int lines_shown = 14;

}  // namespace

void CommandPalette::draw(const ActionTable& actions) {
  const bool opening = std::exchange(wanted_, false);
  if (opening) {
    ImGui::OpenPopup(window_name);
    letters_.clear();
    find(actions);
  }
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  const float width = std::min(width_in_letters * ImGui::GetFontSize(), 0.9F * viewport->WorkSize.x);
  ImGui::SetNextWindowPos({viewport->WorkPos.x + viewport->WorkSize.x / 2.0F, viewport->WorkPos.y + 0.1F * viewport->WorkSize.y},
                          ImGuiCond_Always, {0.5F, 0.0F});
  ImGui::SetNextWindowSize({width, 0.0F});
  constexpr ImGuiWindowFlags flags = ImGuiWindowFlags_NoTitleBar | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoResize |
                                     ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_AlwaysAutoResize;
  if (!ImGui::BeginPopupModal(window_name, nullptr, flags)) return;
  steer();
  const bool clicked_away =
      ImGui::IsMouseClicked(ImGuiMouseButton_Left) && !ImGui::IsWindowHovered(ImGuiHoveredFlags_ChildWindows);
  if (!opening && (clicked_away || ImGui::IsKeyPressed(ImGuiKey_Escape))) ImGui::CloseCurrentPopup();
  if (opening) ImGui::SetKeyboardFocusHere();
  ImGui::SetNextItemWidth(-FLT_MIN);
  const bool entered = ImGui::InputTextWithHint("##letters", "Some letters of a command, then Enter", &letters_,
                                                ImGuiInputTextFlags_EnterReturnsTrue);
  if (ImGui::IsItemEdited()) find(actions);
  int chosen = draw_list(actions);
  if (entered && !found_.empty()) chosen = current_;
  std::string id;
  if (chosen >= 0) {
    const Action& action = actions.all()[found_[static_cast<std::size_t>(chosen)]];
    if (action.is_enabled()) {
      id = action.id;
      ImGui::CloseCurrentPopup();
    } else if (entered) {
      ImGui::SetKeyboardFocusHere(-1);
    }
  }
  ImGui::EndPopup();
  if (!id.empty()) actions.run(id);
}

void CommandPalette::find(const ActionTable& actions) {
  std::vector<std::string> names;
  for (const Action& action : actions.all()) names.push_back(full_name(action));
  found_ = fuzzy_matches(letters_, names);
  current_ = 0;
  moved_ = true;
}

void CommandPalette::steer() {
  const int last = static_cast<int>(found_.size()) - 1;
  const int before = current_;
  if (ImGui::IsKeyPressed(ImGuiKey_DownArrow)) ++current_;
  if (ImGui::IsKeyPressed(ImGuiKey_UpArrow)) --current_;
  if (ImGui::IsKeyPressed(ImGuiKey_PageDown)) current_ += lines_shown - 1;
  if (ImGui::IsKeyPressed(ImGuiKey_PageUp)) current_ -= lines_shown - 1;
  current_ = std::clamp(current_, 0, std::max(last, 0));
  moved_ |= current_ != before;
}

int CommandPalette::draw_list(const ActionTable& actions) {
  int clicked = -1;
  const int lines = std::clamp(static_cast<int>(found_.size()), 2, lines_shown);
  const float height = static_cast<float>(lines) * ImGui::GetTextLineHeightWithSpacing();
  if (ImGui::BeginChild("##list", {0.0F, height})) {
    if (found_.empty()) ui::empty_state("No command has these letters.");
    for (int place = 0; place < static_cast<int>(found_.size()); ++place) {
      if (draw_line(actions.all()[found_[static_cast<std::size_t>(place)]], place == current_)) clicked = place;
      if (place == current_ && std::exchange(moved_, false)) ImGui::SetScrollHereY();
    }
  }
  ImGui::EndChild();
  const bool some = !found_.empty();
  ui::dim(some ? actions.all()[found_[static_cast<std::size_t>(current_)]].help : "");
  return clicked;
}

bool CommandPalette::draw_line(const Action& action, bool current) {
  ImGui::PushID(action.id.c_str());
  ImGui::BeginDisabled(!action.is_enabled());
  const bool clicked = ImGui::Selectable("##line", current);
  ImGui::SameLine(ImGui::GetStyle().ItemSpacing.x);
  ImGui::TextUnformatted(full_name(action).c_str());
  const std::string keys = shortcut_text(action);
  const std::string right = action.ticked && action.ticked() ? (keys.empty() ? "on" : "on   " + keys) : keys;
  ImGui::SameLine(ImGui::GetContentRegionMax().x - ImGui::CalcTextSize(right.c_str()).x - ImGui::GetStyle().ItemSpacing.x);
  ui::dim(right);
  ImGui::EndDisabled();
  ImGui::PopID();
  return clicked;
}

}  // namespace convscope
