#include "window/save_dialog.h"

#include "panels/ui.h"

#include <misc/cpp/imgui_stdlib.h>

#include <utility>

namespace convscope {

void SaveDialog::ask(Question question) {
  if (dialog_.is_open()) return;
  question_ = std::move(question);
  if (FileDialog::available()) {
    dialog_.save(question_.title, question_.proposal, question_.filters);
  } else {
    typed_ = question_.proposal.string();
    field_wanted_ = true;
  }
}

void SaveDialog::draw() {
  if (const auto chosen = dialog_.poll(); !chosen.empty()) answer(chosen.front());
  draw_field();
}

void SaveDialog::answer(std::filesystem::path path) {
  if (!path.filename().string().ends_with(question_.ending)) path += question_.ending;
  question_.save(path);
}

void SaveDialog::draw_field() {
  const bool opening = std::exchange(field_wanted_, false);
  if (opening) ImGui::OpenPopup(window_name);
  ImGui::SetNextWindowPos(ImGui::GetMainViewport()->GetCenter(), ImGuiCond_Appearing, {0.5F, 0.5F});
  if (!ImGui::BeginPopupModal(window_name, nullptr, ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoSavedSettings)) return;
  ImGui::TextUnformatted(question_.title.c_str());
  if (opening) ImGui::SetKeyboardFocusHere();
  ImGui::SetNextItemWidth(32.0F * ImGui::GetFontSize());
  const bool entered =
      ImGui::InputTextWithHint("##path", "path of a file, then Enter", &typed_, ImGuiInputTextFlags_EnterReturnsTrue);
  ui::dim("A file of that name is replaced.");
  ImGui::BeginDisabled(typed_.empty());
  const bool save = ImGui::Button("Save") || (entered && !typed_.empty());
  ImGui::EndDisabled();
  ImGui::SameLine();
  if (save || ImGui::Button("Cancel") || ImGui::IsKeyPressed(ImGuiKey_Escape)) ImGui::CloseCurrentPopup();
  ImGui::EndPopup();
  if (save) answer(typed_);
}

}  // namespace convscope
