#include "panels/ui.h"

#include <imgui_internal.h>

#include <algorithm>
#include <cmath>

namespace convscope::ui {

namespace {

ImFont* font_at(int index) { return ImGui::GetIO().Fonts->Fonts[index]; }

void text(std::string_view text) { ImGui::TextUnformatted(text.data(), text.data() + text.size()); }

}  // namespace

ImFont* text_font() { return font_at(0); }
ImFont* mono_font() { return font_at(1); }
ImFont* bold_font() { return font_at(2); }

ImU32 colour(Rgb rgb, float alpha) { return ImGui::GetColorU32(ImVec4(rgb.r, rgb.g, rgb.b, alpha)); }

bool is_dark() {
  const ImVec4& panel = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
  return luminance({panel.x, panel.y, panel.z}) < 0.5;
}

ImVec4 warning_colour() { return is_dark() ? ImVec4(0.94F, 0.72F, 0.25F, 1.0F) : ImVec4(0.58F, 0.37F, 0.0F, 1.0F); }
ImVec4 error_colour() { return is_dark() ? ImVec4(1.0F, 0.47F, 0.42F, 1.0F) : ImVec4(0.72F, 0.11F, 0.07F, 1.0F); }

void number(std::string_view digits) {
  ImGui::PushFont(mono_font());
  text(digits);
  ImGui::PopFont();
}

void dim(std::string_view words) {
  ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled));
  text(words);
  ImGui::PopStyleColor();
}

void bold(std::string_view words) {
  ImGui::PushFont(bold_font());
  text(words);
  ImGui::PopFont();
}

void title(const char* words) {
  const ImGuiWindow* window = ImGui::GetCurrentWindow();
  const bool has_bar =
      window->DockNode ? !window->DockNode->IsHiddenTabBar() : (window->Flags & ImGuiWindowFlags_NoTitleBar) == 0;
  if (has_bar) {
    // That says it already; what is put on the title's line begins the panel.
    ImGui::Dummy({0.0F, ImGui::GetTextLineHeight()});
    return;
  }
  // As far from the edge as the titles of the maps, clear of the corner that brings the tab bar back.
  ImGui::SetCursorPosY(ImGui::GetCursorPosY() + std::round(ImGui::GetStyle().ItemSpacing.y / 2.0F));
  bold(words);
}

void help_mark(std::string_view words) {
  const ImVec2 start = ImGui::GetCursorPos();
  const float size = ImGui::GetTextLineHeight();
  const ImVec2 mark = ImGui::CalcTextSize("?");
  ImGui::SetCursorPos({ImGui::GetContentRegionMax().x - size, start.y + std::round(ImGui::GetStyle().ItemSpacing.y / 2.0F)});
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  ImGui::PushID("help");
  ImGui::InvisibleButton("##mark", {size, size});
  ImGui::PopID();
  const ImU32 ink = ImGui::GetColorU32(ImGui::IsItemHovered() ? ImGuiCol_Text : ImGuiCol_TextDisabled);
  const ImVec2 centre(corner.x + size / 2.0F, corner.y + size / 2.0F);
  ImDrawList* draw = ImGui::GetWindowDrawList();
  draw->AddCircle(centre, size / 2.0F, ink);
  draw->AddText({centre.x - mark.x / 2.0F, centre.y - mark.y / 2.0F}, ink, "?");
  tooltip(words);
  ImGui::SetCursorPos(start);
}

void wrapped(std::string_view words) {
  ImGui::PushTextWrapPos(0.0F);
  text(words);
  ImGui::PopTextWrapPos();
}

void wrapped(std::string_view words, const ImVec4& words_colour) {
  ImGui::PushStyleColor(ImGuiCol_Text, words_colour);
  wrapped(words);
  ImGui::PopStyleColor();
}

void fitted(const std::string& words, ImU32 text_colour, float room) {
  if (room <= 0.0F) room = ImGui::GetContentRegionAvail().x;
  std::string shown = words;
  while (!shown.empty() && ImGui::CalcTextSize(shown.c_str()).x > room) {
    // Whole characters go: a UTF-8 character ends where no continuation byte follows.
    shown.resize(shown.size() - std::min<std::size_t>(shown.size(), shown.ends_with("\xE2\x80\xA6") ? 3 : 0));
    while (!shown.empty() && (static_cast<unsigned char>(shown.back()) & 0xC0U) == 0x80U) shown.pop_back();
    if (!shown.empty()) shown.pop_back();
    shown += "\xE2\x80\xA6";
    if (shown.size() == 3) break;
  }
  if (text_colour != 0) ImGui::PushStyleColor(ImGuiCol_Text, text_colour);
  text(shown);
  if (text_colour != 0) ImGui::PopStyleColor();
  if (shown != words) tooltip(words);
}

void tooltip(std::string_view words) {
  if (!ImGui::BeginItemTooltip()) return;
  ImGui::PushTextWrapPos(ImGui::GetFontSize() * 28.0F);
  text(words);
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
}

void empty_state(std::string_view words) {
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float width = std::min(room.x * 0.8F, ImGui::GetFontSize() * 24.0F);
  const ImVec2 size = ImGui::CalcTextSize(words.data(), words.data() + words.size(), false, width);
  ImGui::SetCursorPos(ImVec2(ImGui::GetCursorPosX() + std::max(0.0F, (room.x - size.x) / 2.0F),
                             ImGui::GetCursorPosY() + std::max(0.0F, (room.y - size.y) / 2.0F)));
  ImGui::PushTextWrapPos(ImGui::GetCursorPosX() + width);
  dim(words);
  ImGui::PopTextWrapPos();
}

bool choice(const char* label, bool current) {
  ImGui::PushStyleColor(ImGuiCol_Button, ImGui::GetStyleColorVec4(current ? ImGuiCol_ButtonActive : ImGuiCol_FrameBg));
  if (!current) ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled));
  const bool chosen = ImGui::SmallButton(label);
  ImGui::PopStyleColor(current ? 1 : 2);
  return chosen && !current;
}

bool slider(const char* id, double& value, const SliderScale& scale, float width, bool& wants_entry) {
  const float height = ImGui::GetFrameHeight();
  const float radius = std::round(height * 0.22F);
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  ImGui::InvisibleButton(id, ImVec2(std::max(width, 4.0F * radius), height));
  const bool active = ImGui::IsItemActive();
  const bool hovered = ImGui::IsItemHovered();
  const float left = origin.x + radius;
  const float right = ImGui::GetItemRectMax().x - radius;
  bool changed = false;
  if (hovered && (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left) || (ImGui::GetIO().KeyCtrl && ImGui::IsItemClicked()))) {
    wants_entry = true;
  } else if (active && !ImGui::GetIO().KeyCtrl) {
    const double moved = scale.value_at((ImGui::GetIO().MousePos.x - left) / (right - left));
    changed = moved != value;
    value = moved;
  }
  const float knob = left + static_cast<float>(scale.position_of(value)) * (right - left);
  const float middle = std::round(origin.y + height / 2.0F);
  const float half = std::max(1.0F, std::round(radius * 0.5F));
  ImDrawList* draw = ImGui::GetWindowDrawList();
  draw->AddRectFilled(ImVec2(left, middle - half), ImVec2(right, middle + half), ImGui::GetColorU32(ImGuiCol_FrameBgHovered),
                      half);
  draw->AddRectFilled(ImVec2(left, middle - half), ImVec2(knob, middle + half), colour(colour_of(Subject::conv, is_dark())),
                      half);
  const ImU32 knob_colour = ImGui::GetColorU32(active || hovered ? ImGuiCol_SliderGrabActive : ImGuiCol_SliderGrab);
  draw->AddCircleFilled(ImVec2(knob, middle), radius, knob_colour);
  draw->AddCircle(ImVec2(knob, middle), radius, ImGui::GetColorU32(ImGuiCol_Border));
  return changed;
}

}  // namespace convscope::ui
