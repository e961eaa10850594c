#include "panels/residual_errors_panel.h"

#include "panels/ui.h"
#include "state/text.h"
#include "view/ticks.h"

#include <fmt/format.h>
#include <implot.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

namespace convscope {

namespace {

constexpr std::size_t worst_count = 12;

/// The cell that stands for a row: its largest weight is not known without work, its diagonal always exists.
CellIndex cell_of_row(Index row) { return {row, row}; }

ImVec4 subject_colour(Subject subject, float alpha = 1.0F) {
  const Rgb rgb = colour_of(subject, ui::is_dark());
  return {rgb.r, rgb.g, rgb.b, alpha};
}

void fact(const char* name, const std::string& value, const char* help) {
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  ui::dim(name);
  ui::tooltip(help);
  ImGui::TableNextColumn();
  ui::number(value);
}

}  // namespace

void ResidualErrorsPanel::draw(const Session& session, MapView& view) {
  ui::title("Residual   error by row");
  const AnalysisResult& result = session.result();
  if (!result.analysis) {
    ui::empty_state("How far the approximation is from exact attention, row by row, appears here when a head has been analysed.");
    return;
  }
  refresh(result);
  const float side_width = ImGui::GetFontSize() * 15.0F;
  const float plot_width = ImGui::GetContentRegionAvail().x - side_width - ImGui::GetStyle().ItemSpacing.x;
  ImGui::SameLine(0.0F, ImGui::GetFontSize());
  if (ui::choice("by row", !histogram_)) histogram_ = false;
  ImGui::SameLine();
  if (ui::choice("histogram", histogram_)) histogram_ = true;
  ImGui::BeginGroup();
  if (histogram_) {
    draw_histogram(result, plot_width);
  } else {
    draw_by_row(result, view, plot_width);
  }
  ImGui::EndGroup();
  ImGui::SameLine();
  ImGui::BeginChild("facts", {side_width, 0.0F});
  draw_summary(result);
  draw_worst_rows(result, view);
  ImGui::EndChild();
}

void ResidualErrorsPanel::draw_plot(const AnalysisResult& result, float width) {
  refresh(result);
  fit_ = true;
  MapView nothing_shown;
  histogram_ ? draw_histogram(result, width) : draw_by_row(result, nothing_shown, width);
}

void ResidualErrorsPanel::refresh(const AnalysisResult& result) {
  if (shown_id_ == result.approximation_id) return;
  shown_id_ = result.approximation_id;
  fit_ = true;
  const auto& error = result.analysis->error;
  variation_rows_.assign(error.row_total_variation_index.begin(), error.row_total_variation_index.end());
  worst_rows_.resize(error.row_error.size());
  std::iota(worst_rows_.begin(), worst_rows_.end(), Index{0});
  const auto count = static_cast<std::ptrdiff_t>(std::min(worst_count, worst_rows_.size()));
  std::partial_sort(worst_rows_.begin(), worst_rows_.begin() + count, worst_rows_.end(), [&](Index a, Index b) {
    const double left = error.row_error[static_cast<std::size_t>(a)];
    const double right = error.row_error[static_cast<std::size_t>(b)];
    // NaN is worse than any number, and ties go to the earlier row.
    if (std::isnan(left) != std::isnan(right)) return std::isnan(left);
    return left != right && !std::isnan(left) ? left > right : a < b;
  });
  worst_rows_.resize(static_cast<std::size_t>(count));
}

void ResidualErrorsPanel::draw_by_row(const AnalysisResult& result, MapView& view, float width) {
  const auto& error = result.analysis->error;
  if (fit_) ImPlot::SetNextAxesToFit();
  fit_ = false;
  if (!ImPlot::BeginPlot("##rows", {width, -1.0F}, ImPlotFlags_NoMouseText | ImPlotFlags_NoBoxSelect)) return;
  ImPlot::SetupAxes("row (query) i", "error");
  ImPlot::SetupAxisLimitsConstraints(ImAxis_X1, 0.0, static_cast<double>(std::max<Index>(result.request.n, 2)));
  ImPlot::SetupAxisLimitsConstraints(ImAxis_Y1, 0.0, INFINITY);
  ImPlot::SetupLegend(ImPlotLocation_North, ImPlotLegendFlags_Horizontal | ImPlotLegendFlags_Outside);
  ImPlotSpec spec;
  spec.LineColor = subject_colour(Subject::residual);
  spec.LineWeight = 1.25F;
  ImPlot::PlotLine("output", error.row_error.data(), static_cast<int>(error.row_error.size()), 1.0, 0.0, spec);
  spec.LineColor = subject_colour(Subject::exact);
  ImPlot::PlotLine("total variation", variation_rows_.data(), error.row_total_variation.data(),
                   static_cast<int>(variation_rows_.size()), spec);
  if (view.shown()) {
    const auto row = static_cast<double>(view.shown()->row);
    ImPlotSpec marker;
    marker.LineColor = ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled);
    marker.Flags = ImPlotItemFlags_NoLegend | ImPlotItemFlags_NoFit;
    ImPlot::PlotInfLines("##shown", &row, 1, marker);
  }
  if (ImPlot::IsPlotHovered()) {
    const auto row = std::clamp<Index>(std::llround(ImPlot::GetPlotMousePos().x), 0, result.request.n - 1);
    ImGui::SetTooltip("row %td\noutput error %s", row, short_number(error.row_error[static_cast<std::size_t>(row)]).c_str());
    const bool dragged = ImGui::GetMouseDragDelta(ImGuiMouseButton_Left).x != 0.0F;
    if (ImGui::IsMouseReleased(ImGuiMouseButton_Left) && !dragged) view.go_to(cell_of_row(row));
  }
  ImPlot::EndPlot();
}

void ResidualErrorsPanel::draw_histogram(const AnalysisResult& result, float width) {
  const auto& rows = result.analysis->error.row_error;
  if (!ImPlot::BeginPlot("##histogram", {width, -1.0F}, ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText)) return;
  ImPlot::SetupAxes("output error of a row", "rows", ImPlotAxisFlags_AutoFit, ImPlotAxisFlags_AutoFit);
  ImPlotSpec spec;
  spec.FillColor = subject_colour(Subject::residual, 0.8F);
  spec.LineColor = spec.FillColor;
  ImPlot::PlotHistogram("rows", rows.data(), static_cast<int>(rows.size()), 50, 1.0, ImPlotRange(), spec);
  ImPlot::EndPlot();
}

void ResidualErrorsPanel::draw_summary(const AnalysisResult& result) {
  const auto& analysis = *result.analysis;
  const auto& error = analysis.error;
  if (ImGui::BeginTable("summary", 2, ImGuiTableFlags_SizingFixedFit)) {
    fact("relative error", short_number(error.relative_error), "||Y~ − Y|| / ||Y||, Frobenius norms of the outputs.");
    fact("largest |Y~ − Y|", short_number(error.max_abs_error), "The largest difference of an output entry.");
    fact("total variation", short_number(error.mean_total_variation),
         "Mean over rows of half the sum of |P~ − P|: the share of attention that goes elsewhere, 0 to 1.");
    fact("k asked, found", fmt::format("{}, {}", analysis.options.k, analysis.recovery.basis.count()),
         "Fewer found than asked: no further column differed by the threshold.");
    fact(
        "bound on |Y~ − Y|", analysis.bound ? short_number(*analysis.bound) : "none",
        "2 (e^{2ε} − 1) max |V|. Proved for scores within ε of a (T, δ)-non-degenerate conv basis with ε ≤ δ / (5 T); shown only "
        "where the recovered scores are measured to be within 2ε of the true ones. Real heads have none.");
    fact("largest |S~ − S|", short_number(error.max_score_error), "The largest difference of a recovered score.");
    fact("monotone", analysis.recovery.monotone ? "yes" : "no",
         "Yes: no probed column differed before one that did not, as the binary search needs.");
    ImGui::EndTable();
  }
  if (!analysis.recovery.monotone) {
    ui::wrapped("Not monotone: the binary search may have missed a start; scan does not.", ui::warning_colour());
  }
}

void ResidualErrorsPanel::draw_worst_rows(const AnalysisResult& result, MapView& view) const {
  const auto& tokens = result.source->tokens();
  const auto& error = result.analysis->error;
  if (!ImGui::BeginTable("worst", 3, ImGuiTableFlags_SizingFixedFit)) return;
  ImGui::TableSetupColumn("worst");
  ImGui::TableSetupColumn("error");
  ImGui::TableSetupColumn(tokens.empty() ? "" : "token");
  ImGui::TableHeadersRow();
  ImGui::PushFont(ui::mono_font());
  for (const Index row : worst_rows_) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    const bool shown = view.shown() && view.shown()->row == row;
    if (ImGui::Selectable(fmt::format("{:>6}", row).c_str(), shown, ImGuiSelectableFlags_SpanAllColumns))
      view.go_to(cell_of_row(row));
    ImGui::TableNextColumn();
    ui::number(short_number(error.row_error[static_cast<std::size_t>(row)]));
    ImGui::TableNextColumn();
    if (static_cast<std::size_t>(row) < tokens.size()) ui::dim(token_text(tokens[static_cast<std::size_t>(row)], 12));
  }
  ImGui::PopFont();
  ImGui::EndTable();
}

}  // namespace convscope
