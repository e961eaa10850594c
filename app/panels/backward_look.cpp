#include "panels/backward_look.h"

#include "panels/plot_drawing.h"

#include <cmath>

namespace convscope {

void draw_backward_name(Backward backward) {
  const float line = ImGui::GetTextLineHeight();
  const float radius = std::round(0.22F * line);
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const ImU32 ink = ImGui::GetColorU32(subject_colour(subject_of(backward)));
  ImGui::GetWindowDrawList()->AddCircleFilled({corner.x + radius, corner.y + line / 2.0F}, radius, ink);
  ImGui::Dummy({2.0F * radius, line});
  ImGui::SameLine(0.0F, radius);
  ImGui::TextUnformatted(title_of(backward));
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
