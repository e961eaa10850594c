#include "panels/heads_table.h"

#include "panels/ui.h"

#include <imgui.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace convscope {

namespace {

constexpr std::array<HeadColumn, head_column_count> columns{HeadColumn::layer,        HeadColumn::head,    HeadColumn::error,
                                                            HeadColumn::k_for_target, HeadColumn::entropy, HeadColumn::sink,
                                                            HeadColumn::band,         HeadColumn::best};

/// Titles with their explanations; a click sorts.
void draw_titles(const convbasis::HeadSummaryOptions& options) {
  ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
  for (const HeadColumn column : columns) {
    ImGui::TableNextColumn();
    ImGui::PushID(static_cast<int>(column));
    const std::string title = head_column_title(column, options);
    if (column != HeadColumn::best) {
      // Over the ends of the numbers, but for the arrow that shows the order.
      const float arrow = std::floor(0.65F * ImGui::GetFontSize() + ImGui::GetStyle().FramePadding.x);
      const float room = ImGui::GetContentRegionAvail().x - ImGui::CalcTextSize(title.c_str()).x - arrow;
      ImGui::SetCursorPosX(ImGui::GetCursorPosX() + std::max(0.0F, room));
    }
    ImGui::TableHeader(title.c_str());
    ui::tooltip(head_column_help(column, options));
    ImGui::PopID();
  }
}

/// Numbers end at the right edge, so that their digits stand below each other.
void draw_cell(const HeadRow& row, HeadColumn column) {
  const std::string text = head_text(row, column);
  const bool words = column == HeadColumn::best;
  if (!words) {
    const float room = ImGui::GetContentRegionAvail().x - ImGui::CalcTextSize(text.c_str()).x;
    ImGui::SetCursorPosX(ImGui::GetCursorPosX() + std::max(0.0F, room));
  }
  const bool old = row.known.stale && (column == HeadColumn::error || words);
  const bool weak = !row.known.summary || text.starts_with("none");
  if (old || (weak && column != HeadColumn::layer && column != HeadColumn::head)) {
    ui::dim(text);
  } else {
    ImGui::TextUnformatted(text.c_str());
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
}

std::optional<HeadSurvey::LayerHead> HeadsTable::draw(std::span<const HeadRow> rows, std::span<const bool> passed,
                                                      std::uint64_t version, HeadSurvey::LayerHead current,
                                                      const convbasis::HeadSummaryOptions& options) {
  std::optional<HeadSurvey::LayerHead> asked;
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_Sortable | ImGuiTableFlags_SortMulti | ImGuiTableFlags_ScrollX |
                                    ImGuiTableFlags_ScrollY | ImGuiTableFlags_SizingStretchProp | ImGuiTableFlags_BordersInnerH |
                                    ImGuiTableFlags_NoSavedSettings;
  const float em = ImGui::GetFontSize();
  const float room = ImGui::GetContentRegionAvail().x;
  const float outer = std::min(room, 48.0F * em);
  // A narrower panel scrolls sideways rather than cut numbers.
  const float inner = std::max(outer - ImGui::GetStyle().ScrollbarSize, 31.0F * em);
  if (!ImGui::BeginTable("heads", static_cast<int>(columns.size()), flags, {outer, 0.0F}, inner)) return asked;
  ImGui::TableSetupScrollFreeze(0, 1);
  // Titles change with k; the identity of a column does not.
  constexpr std::array<const char*, head_column_count> names{"layer", "head", "error", "k", "entropy", "sink", "band", "best"};
  constexpr std::array<float, head_column_count> weights{3.6F, 3.6F, 5.4F, 4.6F, 4.6F, 4.0F, 4.0F, 6.5F};
  for (std::size_t x = 0; x < columns.size(); ++x) {
    // What is low is good in errors and k, what is high stands out in the others.
    const bool falls = columns[x] == HeadColumn::sink || columns[x] == HeadColumn::band;
    ImGuiTableColumnFlags column = ImGuiTableColumnFlags_WidthStretch;
    if (falls) column |= ImGuiTableColumnFlags_PreferSortDescending;
    if (columns[x] == HeadColumn::layer) column |= ImGuiTableColumnFlags_DefaultSort;
    ImGui::TableSetupColumn(names[x], column, weights[x], static_cast<ImGuiID>(columns[x]));
  }
  draw_titles(options);
  refresh(rows, passed, version);
  ImGui::PushFont(ui::mono_font());
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
      for (std::size_t column = 1; column < columns.size(); ++column) {
        ImGui::TableNextColumn();
        draw_cell(row, columns[column]);
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
