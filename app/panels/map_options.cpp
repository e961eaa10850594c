#include "panels/map_options.h"

#include "panels/ui.h"
#include "view/ticks.h"

#include <imgui.h>

#include <algorithm>
#include <array>
#include <initializer_list>

namespace convscope {
namespace {

const char* name_of(convbasis::MapQuantity quantity) {
  return quantity == convbasis::MapQuantity::probability ? "probability" : "score";
}

const char* name_of(convbasis::Pooling pooling) { return pooling == convbasis::Pooling::mean ? "mean" : "peak"; }

/// A titled row of choices, one of which holds.
template <class Choice>
bool draw_choices(const char* title, std::initializer_list<Choice> choices, Choice& chosen) {
  ImGui::PushID(title);
  ImGui::AlignTextToFramePadding();
  ui::dim(title);
  bool changed = false;
  for (const Choice choice : choices) {
    ImGui::SameLine(choice == *choices.begin() ? ImGui::GetFontSize() * 6.0F : 0.0F);
    if (ui::choice(std::string(name_of(choice)).c_str(), choice == chosen)) {
      chosen = choice;
      changed = true;
    }
  }
  ImGui::PopID();
  return changed;
}

void draw_range(MapView& view) {
  ImGui::AlignTextToFramePadding();
  ui::dim("range");
  ImGui::SameLine(ImGui::GetFontSize() * 6.0F);
  if (ui::choice("automatic", !view.range_locked)) view.range_locked = false;
  ImGui::SameLine();
  if (ui::choice("locked", view.range_locked)) view.range_locked = true;
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 14.0F);
  if (!view.range_locked) {
    auto percent = static_cast<float>(100.0 * view.quantile);
    if (ImGui::SliderFloat("percentile", &percent, 90.0F, 100.0F, "%.1f")) {
      view.quantile = std::clamp(static_cast<double>(percent) / 100.0, 0.9, 1.0);
    }
    return;
  }
  std::array<double, 2> ends{view.range.lo, view.range.hi};
  const bool edited = ImGui::InputScalarN("low, high", ImGuiDataType_Double, ends.data(), 2, nullptr, nullptr, "%.3g",
                                          ImGuiInputTextFlags_EnterReturnsTrue);
  // A range that is empty or, for log, reaches zero cannot be drawn; the old one then stays.
  const bool drawable = ends[0] < ends[1] && (view.value_kind() != ScaleKind::log || ends[0] > 0.0);
  if (edited && drawable) view.range = {ends[0], ends[1]};
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 14.0F);
  double limit = view.residual_limit;
  if (ImGui::InputDouble("residual, \u00b1", &limit, 0.0, 0.0, "%.3g", ImGuiInputTextFlags_EnterReturnsTrue) && limit > 0.0) {
    view.residual_limit = limit;
  }
}

}  // namespace

void draw_map_options(MapView& view) {
  using convbasis::MapQuantity;
  using convbasis::Pooling;
  // Another quantity or scale makes the numbers of a locked range meaningless.
  bool other_values = draw_choices("values", {MapQuantity::probability, MapQuantity::score}, view.quantity);
  other_values |= draw_choices("scale", {ScaleKind::linear, ScaleKind::log, ScaleKind::symlog}, view.scale);
  if (other_values) view.range_locked = false;
  draw_choices("colours", {ColourMap::viridis, ColourMap::cividis, ColourMap::magma, ColourMap::grey}, view.colour_map);
  draw_choices("zoomed out", {Pooling::mean, Pooling::peak}, view.pooling);
  draw_range(view);
  if (ImGui::Button("Fit")) view.fit();
  ui::tooltip("Shows the whole map (double click on a map).");
}

std::string describe_values(const MapView& view) {
  return std::string(name_of(view.quantity)) + ", " + std::string(name_of(view.value_kind()));
}

}  // namespace convscope
