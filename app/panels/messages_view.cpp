#include "panels/messages_view.h"

#include <imgui_internal.h>

#include <algorithm>
#include <array>
#include <vector>

namespace convscope {

namespace {

ImVec4 colour_of(Severity severity) {
  switch (severity) {
    case Severity::note:
      return ImGui::GetStyleColorVec4(ImGuiCol_Text);
    case Severity::warning:
      return ui::warning_colour();
    case Severity::error:
      return ui::error_colour();
  }
  return ImGui::GetStyleColorVec4(ImGuiCol_Text);
}

float button_width(const char* label) { return ImGui::CalcTextSize(label).x + 2.0F * ImGui::GetStyle().FramePadding.x; }

float width_of_buttons(const Banner& banner) {
  const float offer = banner.offer.empty() ? 0.0F : button_width(banner.offer.c_str()) + ImGui::GetStyle().ItemSpacing.x;
  return offer + button_width("Dismiss");
}

float room_for_text(const Banner& banner) {
  return ImGui::GetMainViewport()->Size.x - width_of_buttons(banner) - 4.0F * ImGui::GetStyle().WindowPadding.x;
}

float height_of(const Banner& banner) {
  return ImGui::CalcTextSize(banner.text.c_str(), nullptr, false, room_for_text(banner)).y;
}

void draw_banner(const Banner& banner, const BannerAnswers& answers) {
  ImGui::PushID(banner.key.c_str());
  ImGui::PushTextWrapPos(ImGui::GetCursorPosX() + room_for_text(banner));
  ImGui::PushStyleColor(ImGuiCol_Text, colour_of(banner.severity));
  ImGui::TextUnformatted(banner.text.c_str());
  ImGui::PopStyleColor();
  ImGui::PopTextWrapPos();
  ImGui::SameLine(ImGui::GetWindowWidth() - width_of_buttons(banner) - ImGui::GetStyle().WindowPadding.x);
  if (!banner.offer.empty()) {
    if (ImGui::SmallButton(banner.offer.c_str())) answers.accept(banner.key);
    ImGui::SameLine();
  }
  if (ImGui::SmallButton("Dismiss")) answers.dismiss(banner.key);
  ImGui::PopID();
}

/// Returns the height that it took.
float draw_toast(const Toast& toast, float right, float bottom, double now) {
  const ImGuiStyle& style = ImGui::GetStyle();
  const float width = std::min(24.0F * ImGui::GetFontSize(), ImGui::GetMainViewport()->Size.x / 2.0F);
  const ImVec2 text = ImGui::CalcTextSize(toast.text.c_str(), nullptr, false, width);
  const float stripe = style.ItemInnerSpacing.x;
  const ImVec2 margin = style.WindowPadding;
  const ImVec2 high(right - text.x - 2.0F * margin.x - stripe, bottom - text.y - 2.0F * margin.y);
  const auto opacity = static_cast<float>(Messages::opacity(toast, now));
  const auto faded = [&](ImVec4 colour) {
    colour.w *= opacity;
    return ImGui::ColorConvertFloat4ToU32(colour);
  };
  ImDrawList* draw = ImGui::GetForegroundDrawList();
  draw->AddRectFilled(high, {right, bottom}, faded(ImGui::GetStyleColorVec4(ImGuiCol_FrameBg)), style.WindowRounding);
  draw->AddRect(high, {right, bottom}, faded(ImGui::GetStyleColorVec4(ImGuiCol_Border)), style.WindowRounding);
  const ImVec4 mark = toast.severity == Severity::note ? ImGui::GetStyleColorVec4(ImGuiCol_TextLink) : colour_of(toast.severity);
  draw->AddRectFilled(high, {high.x + stripe, bottom}, faded(mark), style.WindowRounding, ImDrawFlags_RoundCornersLeft);
  draw->AddText(ImGui::GetFont(), ImGui::GetFontSize(), {high.x + stripe + margin.x, high.y + margin.y},
                faded(ImGui::GetStyleColorVec4(ImGuiCol_Text)), toast.text.c_str(), nullptr, width);
  return bottom - high.y;
}

}  // namespace

void draw_banners(const Messages& messages, const BannerAnswers& answers) {
  if (messages.banners().empty()) return;
  const float spacing = ImGui::GetStyle().ItemSpacing.y;
  float height = 2.0F * ImGui::GetStyle().WindowPadding.y - spacing;
  for (const Banner& banner : messages.banners()) height += height_of(banner) + spacing;
  constexpr ImGuiWindowFlags flags =
      ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse | ImGuiWindowFlags_NoSavedSettings;
  if (ImGui::BeginViewportSideBar("##message", ImGui::GetMainViewport(), ImGuiDir_Down, height, flags)) {
    // A copy: dismissing changes the list.
    for (const Banner& banner : std::vector<Banner>(messages.banners())) draw_banner(banner, answers);
  }
  ImGui::End();
}

void draw_toasts(const Messages& messages, double now) {
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  const float gap = ImGui::GetStyle().WindowPadding.x;
  const float right = viewport->WorkPos.x + viewport->WorkSize.x - 2.0F * gap;
  float bottom = viewport->WorkPos.y + viewport->WorkSize.y - 2.0F * gap;
  for (auto toast = messages.toasts().rbegin(); toast != messages.toasts().rend(); ++toast) {
    bottom -= draw_toast(*toast, right, bottom, now) + gap;
  }
}

void LogPanel::draw(Messages& messages) {
  ui::help_mark(
      "What the program had to say since it was started: notes, warnings, errors, the newest below.\n"
      "Filter by severity; copy all of it for a report.\nNothing is written to a file.");
  ui::title("Log");
  ImGui::SameLine(0.0F, 2.0F * ImGui::GetFontSize());
  constexpr std::array<std::pair<const char*, Severity>, 3> filters{
      {{"all", Severity::note}, {"warnings", Severity::warning}, {"errors", Severity::error}}};
  for (const auto& [label, severity] : filters) {
    if (ui::choice(label, severity == least_)) least_ = severity;
    ImGui::SameLine();
  }
  std::vector<const Message*> shown;
  for (const Message& message : messages.all()) {
    if (message.severity >= least_) shown.push_back(&message);
  }
  ImGui::SameLine(0.0F, 2.0F * ImGui::GetFontSize());
  ImGui::BeginDisabled(shown.empty());
  if (ImGui::SmallButton("Copy")) {
    std::string text;
    for (const Message* message : shown) text += log_line(*message) + "\n";
    ImGui::SetClipboardText(text.c_str());
  }
  ui::tooltip("Copies the lines shown.");
  ImGui::SameLine();
  const bool clear = ImGui::SmallButton("Clear");
  ImGui::EndDisabled();
  if (shown.empty()) {
    ui::empty_state(least_ == Severity::note ? "Nothing has been said yet." : "Nothing of this kind has been said.");
  } else if (ImGui::BeginChild("##lines")) {
    const bool at_end = ImGui::GetScrollY() >= ImGui::GetScrollMaxY();
    ImGui::PushFont(ui::mono_font());
    for (const Message* message : shown) {
      const ImVec4 colour = colour_of(message->severity);
      ImGui::TextColored(colour, "%s", log_line({message->severity, message->time, ""}).c_str());
      ImGui::SameLine(0.0F, 0.0F);
      ui::wrapped(message->text, colour);
    }
    ImGui::PopFont();
    if (at_end) ImGui::SetScrollHereY(1.0F);
    ImGui::EndChild();
  } else {
    ImGui::EndChild();
  }
  if (clear) messages.clear_log();
}

}  // namespace convscope
