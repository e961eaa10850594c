#include "panels/export_dialog.h"

#include "panels/ui.h"
#include "view/map_tiling.h"

#include <fmt/format.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <array>
#include <cfloat>
#include <utility>

namespace convscope {

namespace {

constexpr const char* name = "Export";
constexpr std::array items{ExportItem::three_maps,   ExportItem::exact_map,   ExportItem::approximation_map,
                           ExportItem::residual_map, ExportItem::basis_plot,  ExportItem::error_plot,
                           ExportItem::map_values,   ExportItem::lag_vectors, ExportItem::starts,
                           ExportItem::row_errors,   ExportItem::output,      ExportItem::exact_output,
                           ExportItem::report};

/// A dimmed word, and what follows begins at one column.
void label(const char* words) {
  ImGui::AlignTextToFramePadding();
  ui::dim(words);
  ImGui::SameLine(ImGui::GetFontSize() * 6.0F);
}

const char* kind_of(ExportItem item) {
  if (is_picture(item)) return "Picture";
  return item == ExportItem::report ? "Report" : "Values";
}

std::string cell_name(int level, convbasis::Pooling pooling) {
  return level == 0 ? "each cell" : level_name(level, pooling) + " cells";
}

}  // namespace

void ExportDialog::open(ExportItem item, bool dark) {
  wish_.dark = dark;
  choose(item);
  open_wanted_ = true;
}

void ExportDialog::choose(ExportItem item) {
  wish_.item = item;
  const auto formats = formats_of(item);
  if (std::ranges::find(formats, wish_.format) == formats.end()) wish_.format = formats.front();
}

ExportAnswer ExportDialog::draw(const AnalysisResult& result, const MapView& view, const Progress& progress) {
  ExportAnswer answer;
  if (std::exchange(open_wanted_, false)) ImGui::OpenPopup(name);
  ImGui::SetNextWindowPos(ImGui::GetMainViewport()->GetCenter(), ImGuiCond_Appearing, {0.5F, 0.5F});
  ImGui::SetNextWindowSize({ImGui::GetFontSize() * 36.0F, 0.0F});
  if (!ImGui::BeginPopupModal(name, nullptr, ImGuiWindowFlags_NoResize)) return answer;
  if (progress.busy) {
    const std::string stage = progress.stage + "…";
    ImGui::ProgressBar(static_cast<float>(progress.fraction), {-FLT_MIN, 0.0F}, stage.c_str());
    if (ImGui::Button("Stop")) answer.stop = true;
    ImGui::SameLine();
    if (ImGui::Button("Continue in the background") || ImGui::IsKeyPressed(ImGuiKey_Escape)) ImGui::CloseCurrentPopup();
  } else if (!result.analysis) {
    ui::dim("There is nothing to export yet: open a head first.");
    if (ImGui::Button("Close") || ImGui::IsKeyPressed(ImGuiKey_Escape)) ImGui::CloseCurrentPopup();
  } else {
    const Provenance provenance = provenance_of(result);
    draw_item();
    draw_picture_choices();
    draw_value_choices(result, view);
    draw_path(provenance);
    draw_buttons(provenance, answer);
  }
  ImGui::EndPopup();
  return answer;
}

void ExportDialog::draw_item() {
  label("what");
  ImGui::SetNextItemWidth(-FLT_MIN);
  if (!ImGui::BeginCombo("##what", name_of(wish_.item), ImGuiComboFlags_HeightLargest)) return;
  const char* kind = "";
  for (const ExportItem item : items) {
    if (std::string_view(kind) != kind_of(item)) ImGui::SeparatorText(kind_of(item));
    kind = kind_of(item);
    if (ImGui::Selectable(name_of(item), item == wish_.item)) choose(item);
  }
  ImGui::EndCombo();
}

void ExportDialog::draw_picture_choices() {
  const bool report = wish_.item == ExportItem::report;
  if (!is_picture(wish_.item) && !report) return;
  label("scale");
  for (int scale = 1; scale <= 4; ++scale) {
    if (scale > 1) ImGui::SameLine();
    if (ui::choice(fmt::format("{}×", scale).c_str(), wish_.scale == scale)) wish_.scale = scale;
  }
  if (report) return;
  label("ground");
  if (ui::choice("light", !wish_.dark)) wish_.dark = false;
  ImGui::SameLine();
  if (ui::choice("dark", wish_.dark)) wish_.dark = true;
}

void ExportDialog::draw_value_choices(const AnalysisResult& result, const MapView& view) {
  const auto formats = formats_of(wish_.item);
  if (formats.size() > 1) {
    label("format");
    for (const ExportFormat format : formats) {
      if (format != formats.front()) ImGui::SameLine();
      if (ui::choice(name_of(format), wish_.format == format)) wish_.format = format;
    }
  }
  if (wish_.item != ExportItem::map_values) return;
  if (wish_.format == ExportFormat::npy) {
    using convbasis::MapKind;
    label("map");
    for (const auto& [words, kind] : {std::pair("exact", MapKind::exact), std::pair("approximation", MapKind::approximation),
                                      std::pair("residual", MapKind::residual)}) {
      if (kind != MapKind::exact) ImGui::SameLine();
      if (ui::choice(words, wish_.kind == kind)) wish_.kind = kind;
    }
  }
  const Index n = result.analysis->n;
  const int finest = finest_level_for_values(view.window, n);
  wish_.level = std::clamp(wish_.level, finest, convbasis::coarsest_level(n));
  label("a value is");
  ImGui::SetNextItemWidth(-FLT_MIN);
  if (ImGui::BeginCombo("##level", cell_name(wish_.level, view.pooling).c_str())) {
    for (int level = finest; level <= convbasis::coarsest_level(n); ++level) {
      if (ImGui::Selectable(cell_name(level, view.pooling).c_str(), level == wish_.level)) wish_.level = level;
    }
    ImGui::EndCombo();
  }
  const MapRegion region = region_of(view.window, wish_.level, n);
  label("");
  ui::dim(fmt::format("{} × {} values: what the maps show now", region.rows, region.columns));
}

void ExportDialog::suggest_path(const Provenance& provenance) {
  if (path_ != suggested_) {
    path_ = with_ending(path_, wish_.format).string();
    return;
  }
  std::error_code error;
  const std::filesystem::path last = suggested_;
  const auto folder = last.has_parent_path() ? last.parent_path() : std::filesystem::current_path(error);
  path_ = suggested_ = (folder / suggested_name(provenance, wish_)).string();
}

void ExportDialog::draw_path(const Provenance& provenance) {
  // While the user types, the ending is his.
  if (!ImGui::IsAnyItemActive()) suggest_path(provenance);
  for (const auto& chosen : file_dialog_.poll()) path_ = chosen.string();
  label("file");
  const float button = FileDialog::available() ? ImGui::CalcTextSize("Choose…").x + 2.0F * ImGui::GetStyle().FramePadding.x +
                                                     ImGui::GetStyle().ItemSpacing.x
                                               : 0.0F;
  ImGui::SetNextItemWidth(button > 0.0F ? -button : -FLT_MIN);
  ImGui::InputText("##path", &path_);
  if (button > 0.0F) {
    ImGui::SameLine();
    if (ImGui::Button("Choose…")) file_dialog_.save("Export", path_, {"All files", "*"});
  }
  wish_.path = path_;
  const std::string problem = problem_of(wish_);
  std::error_code error;
  label("");
  if (!problem.empty()) {
    ui::wrapped(problem, ui::error_colour());
  } else if (std::filesystem::exists(wish_.path, error)) {
    ui::wrapped("This file exists and will be replaced.", ui::warning_colour());
  } else {
    ui::dim(" ");
  }
  ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled));
  ui::wrapped(provenance_line(provenance));
  ImGui::PopStyleColor();
  ImGui::Spacing();
}

void ExportDialog::draw_buttons(const Provenance& provenance, ExportAnswer& answer) {
  ImGui::BeginDisabled(!problem_of(wish_).empty());
  if (ImGui::Button("Export")) answer.wish = wish_;
  ImGui::EndDisabled();
  ImGui::SameLine();
  if (ImGui::Button("Copy the command")) ImGui::SetClipboardText(reproducing_command(provenance).c_str());
  ui::tooltip("The command line that computes the same numbers.");
  ImGui::SameLine();
  if (ImGui::Button("Close") || ImGui::IsKeyPressed(ImGuiKey_Escape)) ImGui::CloseCurrentPopup();
}

}  // namespace convscope
