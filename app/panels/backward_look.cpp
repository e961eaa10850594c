#include "panels/backward_look.h"

#include "panels/plot_drawing.h"

#include <cmath>
#include <string>

namespace convscope {

void draw_backward_name(Backward backward, float room) {
  const float radius = std::round(0.22F * ImGui::GetTextLineHeight());
  ImGui::SetCursorPosX(ImGui::GetCursorPosX() + 3.0F * radius);
  const bool fits = ImGui::CalcTextSize(title_of(backward)).x + 3.0F * radius <= room;
  ImGui::TextUnformatted(fits ? title_of(backward) : std::string(convbasis::name_of(backward)).c_str());
  // After the text, which knows how deep it stands beside a field.
  const ImVec2 low = ImGui::GetItemRectMin();
  const ImVec2 high = ImGui::GetItemRectMax();
  ImGui::GetWindowDrawList()->AddCircleFilled({low.x - 2.0F * radius, (low.y + high.y) / 2.0F}, radius,
                                              ImGui::GetColorU32(subject_colour(subject_of(backward))));
}

const char* help_of(Backward backward) {
  switch (backward) {
    case Backward::exact:
      return "Exact attention forward, and its exact gradient: n² d.";
    case Backward::estimate:
      return "Conv attention forward, and the paper's estimate of the exact gradient: d products of P~, k n d² log n.";
    case Backward::conv:
      return "Conv attention forward, and the gradient of that very forward, with the starts held fixed: k n d log n.";
  }
  return "";
}

}  // namespace convscope
