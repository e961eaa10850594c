#include "panels/heads_table.h"

#include "panels/ui.h"

#include <imgui.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace convscope {

namespace {

/// As the settings of a table know a column: titles change with k, its identity does not.
struct ColumnLook {
  const char* name;
  float weight;  ///< of the width
};
constexpr std::array<ColumnLook, head_column_count> looks{{{"layer", 4.2F},
                                                           {"head", 3.7F},
                                                           {"error", 5.8F},
                                                           {"k", 5.2F},
                                                           {"rank one", 5.4F},
                                                           {"one lag", 5.0F},
                                                           {"lags", 5.0F},
                                                           {"rung", 7.6F},
                                                           {"entropy", 5.0F},
                                                           {"sink", 4.4F},
                                                           {"band", 4.4F},
                                                           {"best", 7.6F}}};

/// Titles with their explanations; a click sorts.
void draw_titles(const SurveyOptions& options, std::span<const HeadRow> shown) {
  ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
  for (const HeadColumn column : head_columns) {
    ImGui::TableNextColumn();
    ImGui::PushID(static_cast<int>(column));
    const std::string title = head_column_title(column, options);
    if (!is_of_words(column)) {
      // Over the ends of the numbers, but for the arrow that shows the order.
      const float arrow = std::floor(0.65F * ImGui::GetFontSize() + ImGui::GetStyle().FramePadding.x);
      const float room = ImGui::GetContentRegionAvail().x - ImGui::CalcTextSize(title.c_str()).x - arrow;
      ImGui::SetCursorPosX(ImGui::GetCursorPosX() + std::max(0.0F, room));
    }
    ImGui::TableHeader(title.c_str());
    if (ImGui::IsItemHovered(ImGuiHoveredFlags_ForTooltip)) {
      const std::string median = head_median_help(shown, column);
      ui::tooltip(head_column_help(column, options) + (median.empty() ? "" : "\n" + median));
    }
    ImGui::PopID();
  }
}

/// Numbers end at the right edge, so that their digits stand below each other.
void align(const std::string& text, HeadColumn column) {
  if (is_of_words(column)) return;
  const float room = ImGui::GetContentRegionAvail().x - ImGui::CalcTextSize(text.c_str()).x;
  ImGui::SetCursorPosX(ImGui::GetCursorPosX() + std::max(0.0F, room));
}

void draw_cell(const HeadRow& row, HeadColumn column) {
  const std::string text = head_text(row, column);
  align(text, column);
  const bool old = head_stale(row, column);
  const bool weak = text == "–" || text.starts_with("none");
  if (old || (weak && column != HeadColumn::layer && column != HeadColumn::head)) {
    ui::dim(text);
  } else {
    ImGui::TextUnformatted(text.c_str());
  }
}

/// Stays under the titles, like them.
void draw_medians(std::span<const std::string> medians) {
  ImGui::TableNextRow(ImGuiTableRowFlags_None);
  for (std::size_t x = 0; x < medians.size(); ++x) {
    if (!ImGui::TableNextColumn()) continue;
    ImGui::TableSetBgColor(ImGuiTableBgTarget_CellBg, ImGui::GetColorU32(ImGuiCol_TableHeaderBg));
    align(medians[x], head_columns[x]);
    ui::dim(medians[x]);
  }
}

std::vector<HeadOrder> orders_of(const ImGuiTableSortSpecs& specs) {
  std::vector<HeadOrder> orders;
  for (int x = 0; x < specs.SpecsCount; ++x) {
    orders.push_back(
        {static_cast<HeadColumn>(specs.Specs[x].ColumnUserID), specs.Specs[x].SortDirection != ImGuiSortDirection_Descending});
  }
  return orders;
}

void setup_columns() {
  for (const HeadColumn which : head_columns) {
    // What is low is good in errors, k and rungs, what is high stands out in the others.
    const bool falls = which == HeadColumn::sink || which == HeadColumn::band;
    ImGuiTableColumnFlags flags = ImGuiTableColumnFlags_WidthStretch;
    if (falls) flags |= ImGuiTableColumnFlags_PreferSortDescending;
    if (which == HeadColumn::layer) flags |= ImGuiTableColumnFlags_DefaultSort;
    const ColumnLook& look = looks[static_cast<std::size_t>(which)];
    ImGui::TableSetupColumn(look.name, flags, look.weight, static_cast<ImGuiID>(which));
  }
}

}  // namespace

void HeadsTable::refresh(std::span<const HeadRow> rows, std::span<const bool> passed, std::uint64_t version) {
  if (ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs(); specs && specs->SpecsDirty) {
    orders_ = orders_of(*specs);
    specs->SpecsDirty = false;
    shown_version_ = 0;
  }
  if (shown_version_ == version) return;
  shown_version_ = version;
  shown_.clear();
  for (std::size_t x = 0; x < rows.size(); ++x) {
    if (passed[x]) shown_.push_back(rows[x]);
  }
  sort_heads(shown_, orders_);
  for (const HeadColumn column : head_columns) {
    const bool first = column == HeadColumn::layer;
    medians_[static_cast<std::size_t>(column)] = first ? "median" : head_median_text(shown_, column);
  }
}

std::optional<HeadSurvey::LayerHead> HeadsTable::draw(std::span<const HeadRow> rows, std::span<const bool> passed,
                                                      std::uint64_t version, HeadSurvey::LayerHead current,
                                                      const SurveyOptions& options) {
  std::optional<HeadSurvey::LayerHead> asked;
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_Sortable | ImGuiTableFlags_SortMulti | ImGuiTableFlags_ScrollX |
                                    ImGuiTableFlags_ScrollY | ImGuiTableFlags_SizingStretchProp | ImGuiTableFlags_BordersInnerH |
                                    ImGuiTableFlags_NoSavedSettings;
  const float em = ImGui::GetFontSize();
  const float room = ImGui::GetContentRegionAvail().x;
  const float outer = std::min(room, 72.0F * em);
  // A narrower panel scrolls sideways rather than cut numbers.
  const float inner = std::max(outer - ImGui::GetStyle().ScrollbarSize, 54.0F * em);
  if (!ImGui::BeginTable("heads", static_cast<int>(head_columns.size()), flags, {outer, 0.0F}, inner)) return asked;
  ImGui::TableSetupScrollFreeze(2, 2);
  setup_columns();
  refresh(rows, passed, version);
  draw_titles(options, shown_);
  ImGui::PushFont(ui::mono_font());
  draw_medians(medians_);
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(shown_.size()));
  while (clipper.Step()) {
    for (int x = clipper.DisplayStart; x < clipper.DisplayEnd; ++x) {
      const HeadRow& row = shown_[static_cast<std::size_t>(x)];
      const HeadSurvey::LayerHead place{row.layer, row.head};
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      ImGui::PushID(x);
      if (ImGui::Selectable("##row", place == current, ImGuiSelectableFlags_SpanAllColumns)) asked = place;
      const bool hovered = ImGui::IsItemHovered(ImGuiHoveredFlags_ForTooltip);
      ImGui::SameLine(0.0F, 0.0F);
      draw_cell(row, HeadColumn::layer);
      for (std::size_t column = 1; column < head_columns.size(); ++column) {
        ImGui::TableNextColumn();
        draw_cell(row, head_columns[column]);
      }
      ImGui::PopID();
      if (hovered) {
        ImGui::PushFont(ui::text_font());
        ImGui::SetTooltip("%s", head_details(row).c_str());
        ImGui::PopFont();
      }
    }
  }
  ImGui::PopFont();
  ImGui::EndTable();
  return asked;
}

}  // namespace convscope
