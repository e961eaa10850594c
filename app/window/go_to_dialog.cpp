#include "window/go_to_dialog.h"

#include "panels/ui.h"

#include <fmt/format.h>

#include <utility>

namespace convscope {

namespace {

bool draw_number(const char* name, convbasis::Index& value) {
  ImS64 entered = value;
  const bool done = ImGui::InputScalar(name, ImGuiDataType_S64, &entered, nullptr, nullptr, nullptr,
                                       ImGuiInputTextFlags_EnterReturnsTrue | ImGuiInputTextFlags_AutoSelectAll);
  value = entered;
  return done;
}

}  // namespace

void GoToDialog::draw(convbasis::Index n, MapView& view) {
  const bool opening = std::exchange(wanted_, false);
  if (opening) {
    ImGui::OpenPopup(window_name);
    cell_ = view.shown().value_or(CellIndex{n - 1, 0});
  }
  ImGui::SetNextWindowPos(ImGui::GetMainViewport()->GetCenter(), ImGuiCond_Appearing, {0.5F, 0.5F});
  if (!ImGui::BeginPopupModal(window_name, nullptr, ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoSavedSettings)) return;
  ImGui::PushItemWidth(8.0F * ImGui::GetFontSize());
  if (opening) ImGui::SetKeyboardFocusHere();
  bool entered = draw_number("query i", cell_.row);
  entered |= draw_number("key j", cell_.column);
  ImGui::PopItemWidth();
  const bool row_fits = cell_.row >= 0 && cell_.row < n;
  const bool fits = row_fits && cell_.column >= 0 && cell_.column <= cell_.row;
  // One line in either case, so that the buttons below stay where they are.
  if (!row_fits) {
    ImGui::TextColored(ui::error_colour(), "%s", fmt::format("i must be from 0 to {}", n - 1).c_str());
  } else if (!fits) {
    ImGui::TextColored(ui::error_colour(), "%s",
                       fmt::format("j must be from 0 to {}: no key after its query", cell_.row).c_str());
  } else {
    ui::dim(fmt::format("0 ≤ j ≤ i ≤ {}", n - 1));
  }
  ImGui::BeginDisabled(!fits);
  const bool go = ImGui::Button("Go") || (entered && fits);
  ImGui::EndDisabled();
  ImGui::SameLine();
  if (go) view.go_to(cell_);
  if (go || ImGui::Button("Cancel") || ImGui::IsKeyPressed(ImGuiKey_Escape)) ImGui::CloseCurrentPopup();
  ImGui::EndPopup();
}

}  // namespace convscope
