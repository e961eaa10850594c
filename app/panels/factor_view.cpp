#include "panels/factor_view.h"

#include "panels/plot_drawing.h"
#include "panels/ui.h"
#include "view/colour_map.h"
#include "view/ticks.h"

#include <fmt/format.h>
#include <implot.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

namespace convscope {

namespace {

constexpr Index most_vectors = 6;  // more of them are a thicket; the table shows any other
constexpr std::size_t points_of_a_vector = 600;

/// In the order of the singular values; neither end of the table stands out from a panel.
ImVec4 vector_colour(Index r, Index count) {
  static const ColourTable table = colour_table(ColourMap::viridis);
  const double place = count > 1 ? static_cast<double>(r) / static_cast<double>(count - 1) : 0.0;
  const Rgb rgb = colour_at(table, ui::is_dark() ? 1.0 - 0.7 * place : 0.8 * place);
  return {rgb.r, rgb.g, rgb.b, 1.0F};
}

}  // namespace

void FactorView::draw(const AnalysisResult& result, const MapView& view) {
  if (const auto& features = result.analysis->rank->features) {
    const auto& polynomial = features->scores.polynomial();
    ui::dim(fmt::format("{} features of degree {}", features->features, features->degree));
    ui::tooltip(
        fmt::format("A polynomial in the place of exp, for scores from {} to {}; exp there, and what the features make of it.",
                    short_number(polynomial.low), short_number(polynomial.high)));
    draw_polynomial(polynomial, -1.0F);
    return;
  }
  refresh(result);
  draw_choices();
  const float table_width = ImGui::GetFontSize() * 8.0F;
  const float width = ImGui::GetContentRegionAvail().x - table_width - ImGui::GetStyle().ItemSpacing.x;
  const Index marked = !view.shown() ? -1 : right_ ? view.shown()->column : view.shown()->row;
  draw_vectors(result, hovered_, marked, width);
  ImGui::SameLine();
  ImGui::BeginChild("values", {table_width, 0.0F});
  hovered_ = draw_values(result, hovered_);
  ImGui::EndChild();
}

void FactorView::draw_plot(const AnalysisResult& result, float width) {
  if (const auto& features = result.analysis->rank->features) return draw_polynomial(features->scores.polynomial(), width);
  refresh(result);
  fit_ = true;
  draw_vectors(result, -1, -1, width);
}

void FactorView::draw_polynomial(const convbasis::ExpPolynomial& polynomial, float width) {
  constexpr int points = 200;
  std::vector<double> score;
  std::vector<double> exact;
  std::vector<double> approximate;
  for (int x = 0; x <= points; ++x) {
    score.push_back(polynomial.low + (polynomial.high - polynomial.low) * x / points);
    exact.push_back(std::exp(score.back() - polynomial.shift));
    approximate.push_back(polynomial(score.back()));
  }
  ImPlot::SetNextAxesToFit();
  if (!ImPlot::BeginPlot("##polynomial", {width, -1.0F}, ImPlotFlags_NoMouseText | ImPlotFlags_NoBoxSelect)) return;
  ImPlot::SetupAxes("score", "weight");
  ImPlot::SetupLegend(ImPlotLocation_NorthWest);
  ImPlotSpec line;
  line.LineWeight = 1.75F;
  line.LineColor = subject_colour(Subject::exact);
  ImPlot::PlotLine("exp", score.data(), exact.data(), points + 1, line);
  line.LineColor = subject_colour(Subject::rank);
  ImPlot::PlotLine("polynomial", score.data(), approximate.data(), points + 1, line);
  ImPlot::EndPlot();
}

void FactorView::refresh(const AnalysisResult& result) {
  if (curves_of_ == result.approximation_id && curves_right_ == right_) return;
  const auto& rank = *result.analysis->rank;
  const auto& factor = right_ ? rank.factors.right : rank.factors.left;
  curves_.clear();
  for (Index r = 0; r < factor.cols(); ++r) {
    // V Sigma is what is kept; singular vectors are of length 1.
    const auto sigma = static_cast<float>(right_ ? rank.singular[static_cast<std::size_t>(r)] : 1.0);
    const Eigen::VectorXf vector = factor.col(r) / (sigma > 0.0F ? sigma : 1.0F);
    curves_.push_back(thin_evenly({vector.data(), static_cast<std::size_t>(vector.size())}, points_of_a_vector));
  }
  const auto drawn = std::min(curves_.size(), static_cast<std::size_t>(most_vectors));
  range_ = range_of(std::span(curves_).first(drawn), -std::numeric_limits<double>::infinity());
  curves_of_ = result.approximation_id;
  curves_right_ = right_;
  hovered_ = -1;
  fit_ = true;
}

void FactorView::draw_choices() {
  ImGui::SameLine(0.0F, ImGui::GetFontSize());
  if (ui::choice("V, by column", right_)) right_ = true;
  ui::tooltip("Right singular vectors of P, of length 1: which keys are read together.");
  ImGui::SameLine();
  if (ui::choice("U, by row", !right_)) right_ = false;
  ui::tooltip("Left singular vectors of P, of length 1: which queries read them, and how strongly.");
}

void FactorView::draw_vectors(const AnalysisResult& result, Index highlighted, Index marked, float width) {
  if (!ImPlot::BeginPlot("##vectors", {width, -1.0F}, ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText)) return;
  const auto n = static_cast<double>(std::max<Index>(result.analysis->n, 2));
  const ImPlotCond when = std::exchange(fit_, false) ? ImPlotCond_Always : ImPlotCond_Once;
  const double margin = 0.05 * (range_.hi - range_.lo);
  ImPlot::SetupAxes(right_ ? "column (key) j" : "row (query) i", right_ ? "v" : "u");
  ImPlot::SetupAxisLimitsConstraints(ImAxis_X1, 0.0, n);
  ImPlot::SetupAxisLimits(ImAxis_X1, 0.0, n, when);
  ImPlot::SetupAxisLimits(ImAxis_Y1, range_.lo - margin, range_.hi + margin, when);
  const auto count = static_cast<Index>(curves_.size());
  const Index drawn = std::min(count, most_vectors);
  const auto plot = [&](Index r, float alpha, float weight) {
    const LagCurve& curve = curves_[static_cast<std::size_t>(r)];
    ImPlotSpec spec;
    spec.LineColor = vector_colour(std::min(r, drawn - 1), drawn);
    spec.LineColor.w = alpha;
    spec.LineWeight = weight;
    ImPlot::PlotLine(fmt::format("{}", r + 1).c_str(), curve.lag.data(), curve.value.data(), static_cast<int>(curve.lag.size()),
                     spec);
  };
  for (Index r = drawn - 1; r >= 0; --r) {
    if (r != highlighted) plot(r, highlighted < 0 ? 0.9F : 0.25F, 1.25F);
  }
  if (highlighted >= 0 && highlighted < count) plot(highlighted, 1.0F, 2.5F);
  if (marked >= 0) draw_vertical_mark(static_cast<double>(marked), fmt::format("{}", marked), aside_colour());
  ImPlot::EndPlot();
}

Index FactorView::draw_values(const AnalysisResult& result, Index highlighted) {
  const auto& singular = result.analysis->rank->singular;
  Index hovered = -1;
  if (!ImGui::BeginTable("table", 2, ImGuiTableFlags_ScrollY | ImGuiTableFlags_SizingStretchProp)) return hovered;
  ImGui::TableSetupScrollFreeze(0, 1);
  ImGui::TableSetupColumn("rank", ImGuiTableColumnFlags_None, 1.0F);
  ImGui::TableSetupColumn("singular", ImGuiTableColumnFlags_None, 1.4F);
  ImGui::TableHeadersRow();
  ImGui::PushFont(ui::mono_font());
  const auto count = static_cast<Index>(singular.size());
  const Index drawn = std::min(count, most_vectors);
  for (Index r = 0; r < count; ++r) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float line = ImGui::GetTextLineHeight();
    ImGui::Selectable(fmt::format("  {}", r + 1).c_str(), r == highlighted, ImGuiSelectableFlags_SpanAllColumns);
    if (ImGui::IsItemHovered()) hovered = r;
    if (r < drawn) {
      ImGui::GetWindowDrawList()->AddRectFilled({at.x, at.y + line * 0.3F}, {at.x + line * 0.5F, at.y + line * 0.8F},
                                                ImGui::GetColorU32(vector_colour(r, drawn)));
    }
    ImGui::TableNextColumn();
    ui::number(short_number(singular[static_cast<std::size_t>(r)]));
  }
  ImGui::PopFont();
  ImGui::EndTable();
  return hovered;
}

}  // namespace convscope
