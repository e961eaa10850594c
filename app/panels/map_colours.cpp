#include "panels/map_colours.h"

#include "panels/ui.h"

#include <imgui.h>

#include <fmt/format.h>

namespace convscope {

namespace {

/// Loud, and in none of the colour maps: it is never data.
constexpr Rgb not_a_number_colour{1.0F, 0.0F, 1.0F};

/// A shade off the panel, so that the square of the map is seen.
Rgb masked_colour() {
  const ImVec4& ground = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
  const ImVec4& text = ImGui::GetStyleColorVec4(ImGuiCol_Text);
  const float share = ui::is_dark() ? 0.04F : 0.1F;
  const auto mix = [share](float a, float b) { return a + share * (b - a); };
  return {mix(ground.x, text.x), mix(ground.y, text.y), mix(ground.z, text.z)};
}

}  // namespace

gl::MapColours map_colours(convbasis::MapKind kind, const MapView& view) {
  if (kind == convbasis::MapKind::residual) {
    return {view.residual_scale(), ColourMap::diverging, masked_colour(), not_a_number_colour};
  }
  return {view.value_scale(), view.colour_map, masked_colour(), not_a_number_colour};
}

MapTitle title_of(convbasis::MapKind kind, const convbasis::HeadAnalysis<float>* analysis) {
  switch (kind) {
    case convbasis::MapKind::exact:
      return {"Exact", Subject::exact};
    case convbasis::MapKind::approximation:
      if (analysis && analysis->rank) return {"Rank", Subject::rank};
      return {"Approximation", Subject::conv};
    case convbasis::MapKind::residual:
      return {"Residual", Subject::residual};
  }
  return {};
}

std::string describe_approximation(const convbasis::HeadAnalysis<float>& analysis) {
  if (analysis.rank) {
    const convbasis::RankOptions& options = analysis.rank->options;
    return options.kind == convbasis::RankKind::svd ? fmt::format("k = {} (SVD)", options.k)
                                                    : fmt::format("degree {}", options.degree);
  }
  if (!analysis.fit) return fmt::format("k = {}", analysis.recovery.basis.count());
  return fmt::format("fit  w {}  c {}  k {}", analysis.fit->exact.band, analysis.fit->exact.columns.size(), analysis.fit->k());
}

}  // namespace convscope
