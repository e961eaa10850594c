#include "panels/picture_parts.h"

#include "panels/ui.h"

#include <cmath>
#include <utility>

namespace convscope {

namespace {

constexpr ImVec2 plot_size{720.0F, 400.0F};
constexpr float margin = 16.0F;
constexpr float gap = 8.0F;
constexpr float small_type = 0.8F;

float height_of(ImFont* font, float size, const std::string& text, float width) {
  if (text.empty()) return 0.0F;
  return std::ceil(font->CalcTextSizeA(size, FLT_MAX, width, text.c_str()).y);
}

struct Heights {
  float head, notes, provenance;
  float above() const { return head + gap; }
  float below() const { return gap + notes + provenance; }
};

Heights heights_of(const PictureText& text, float width) {
  const float size = ImGui::GetFontSize();
  return {height_of(ui::bold_font(), size, text.head, width), height_of(ui::text_font(), small_type * size, text.notes, width),
          height_of(ui::text_font(), small_type * size, text.provenance, width)};
}

void draw_text(ImFont* font, float size, ImVec2 at, ImGuiCol colour, const std::string& text, float width) {
  ImGui::GetWindowDrawList()->AddText(font, size, at, ImGui::GetColorU32(colour), text.c_str(), nullptr, width);
}

}  // namespace

ImVec2 framed_size(const PictureText& text, ImVec2 contents) {
  const Heights heights = heights_of(text, contents.x);
  return {std::ceil(contents.x) + 2.0F * margin, std::ceil(contents.y + heights.above() + heights.below()) + 2.0F * margin};
}

void draw_framed(const PictureText& text, ImVec2 contents, const std::function<void()>& draw) {
  const Heights heights = heights_of(text, contents.x);
  const ImVec2 window = ImGui::GetWindowPos();
  const ImVec2 corner{window.x + margin, window.y + margin};
  const float size = ImGui::GetFontSize();
  draw_text(ui::bold_font(), size, corner, ImGuiCol_Text, text.head, contents.x);
  const ImVec2 inside{corner.x, corner.y + heights.above()};
  ImGui::SetCursorScreenPos(inside);
  draw();
  ImGui::SetCursorScreenPos(inside);
  ImGui::Dummy(contents);
  const float below = inside.y + contents.y + gap;
  draw_text(ui::text_font(), small_type * size, {corner.x, below}, ImGuiCol_Text, text.notes, contents.x);
  draw_text(ui::text_font(), small_type * size, {corner.x, below + heights.notes}, ImGuiCol_TextDisabled, text.provenance,
            contents.x);
}

PictureContents plot_picture(PictureText text, std::function<void(float width)> plot) {
  const auto measure = [text] { return framed_size(text, plot_size); };
  const auto draw = [text, plot = std::move(plot)] {
    draw_framed(text, plot_size, [&plot] {
      ImGui::BeginChild("plot", plot_size, ImGuiChildFlags_None, ImGuiWindowFlags_NoScrollbar);
      plot(plot_size.x - margin);  // the last label of an axis hangs over
      ImGui::EndChild();
    });
  };
  return {.prepare = {}, .measure = measure, .draw = draw};
}

}  // namespace convscope
