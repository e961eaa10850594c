#include "panels/basis_panel.h"

#include "panels/ui.h"
#include "view/colour_map.h"

#include <fmt/format.h>
#include <implot.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace convscope {

namespace {

using Weights = convbasis::ConvWeights<float>;

constexpr std::size_t most_points = 2000;  // of one curve: more than a plot has pixels
// Of all curves together: lines that go up and down the whole plot are what software OpenGL is slowest at. Sixteen curves of
// 1200 points each took 100 ms of a frame.
constexpr std::size_t most_points_of_all = 4000;
constexpr std::size_t least_points = 64;
constexpr double least_weight = 1e-12;  // below this a weight moves no digit of a float32 output

/// Few lag vectors get colours that are far apart; many get a sequence in the order of their starts.
ImVec4 curve_colour(Index r, Index count, bool dark) {
  constexpr std::array few{Subject::conv, Subject::gpu, Subject::rank, Subject::conv_full, Subject::residual};
  if (count <= static_cast<Index>(few.size())) {
    const Rgb rgb = colour_of(few[static_cast<std::size_t>(r)], dark);
    return {rgb.r, rgb.g, rgb.b, 1.0F};
  }
  static const ColourTable table = colour_table(ColourMap::viridis);
  // Neither end of the table stands out from a panel, dark or light.
  const double place = static_cast<double>(r) / static_cast<double>(count - 1);
  const Rgb rgb = colour_at(table, dark ? 0.25 + 0.75 * place : 0.85 * place);
  return {rgb.r, rgb.g, rgb.b, 1.0F};
}

double to_axis(double lag, void*) { return std::log2(1.0 + std::max(lag, -0.99)); }
double from_axis(double place, void*) { return std::exp2(place) - 1.0; }

/// 0, 1, 2, 4, ... up to n, thinned to what fits into `width` pixels.
void setup_lag_axis(Index n, float width) {
  std::vector<double> ticks{0.0};
  const int most = std::clamp(static_cast<int>(width / (3.2F * ImGui::GetFontSize())), 2, 8);
  const int steps = n > 1 ? static_cast<int>(std::log2(static_cast<double>(n))) : 0;
  for (int power = 0; power <= steps; power += 1 + steps / most) ticks.push_back(std::exp2(power));
  std::vector<std::string> labels;
  std::vector<const char*> pointers;
  labels.reserve(ticks.size());
  pointers.reserve(ticks.size());
  for (const double tick : ticks) labels.push_back(fmt::format("{:.0f}", tick));
  for (const std::string& label : labels) pointers.push_back(label.c_str());
  ImPlot::SetupAxisScale(ImAxis_X1, to_axis, from_axis);
  ImPlot::SetupAxisTicks(ImAxis_X1, ticks.data(), static_cast<int>(ticks.size()), pointers.data());
  ImPlot::SetupAxisLimitsConstraints(ImAxis_X1, 0.0, static_cast<double>(std::max<Index>(n, 2)));
}

}  // namespace

void BasisPanel::draw(const Session& session, const MapView& view) {
  ui::help_mark(
      "The recovered conv basis of the scores: S ≈ Σ_r conv(b_r, m_r), kept as lag vectors u_r = b_1 + ... + b_r. For a column j "
      "of "
      "segment r, S_ij ≈ u_r[i − j].\n"
      "Each curve is one lag vector against the lag i − j; weight is exp(u_r − largest score), attention before its normaliser. "
      "Of "
      "a fit they are the g_r of the rest a_i b_j g_r[i − j], as weights, largest 1, or as their logarithm.\n"
      "Of low rank they are singular vectors, U against the row and V against the column, or what features make of exp.\n"
      "Pointing at a map highlights the segment of its column; start and extent m_r = n − start are in columns.");
  ui::title("Basis");
  const AnalysisResult& result = session.result();
  if (!result.analysis) {
    ui::empty_state("The lag vectors of the recovered conv basis appear here when a head has been analysed.");
    return;
  }
  if (result.analysis->rank) {
    factors_.draw(result, view);
    return;
  }
  refresh(result);
  draw_choices(result.analysis->fit != nullptr);
  const auto& starts = result.analysis->weights->scores;
  const Index highlighted = view.shown() ? starts.segment_of(view.shown()->column) : hovered_in_table_;
  const bool wide = ImGui::GetContentRegionAvail().x >= 36.0F * ImGui::GetFontSize();
  const float table_width = ImGui::GetFontSize() * (wide ? 11.0F : 7.5F);
  const float plot_width = ImGui::GetContentRegionAvail().x - table_width - ImGui::GetStyle().ItemSpacing.x;
  draw_curves(result, highlighted, plot_width);
  ImGui::SameLine();
  ImGui::BeginChild("segments", {table_width, 0.0F});
  hovered_in_table_ = draw_table(result, highlighted, wide);
  ImGui::EndChild();
}

void BasisPanel::draw_plot(const AnalysisResult& result, float width) {
  if (result.analysis->rank) {
    factors_.draw_plot(result, width);
    return;
  }
  refresh(result);
  fit_ = true;
  draw_curves(result, -1, width);
}

void BasisPanel::refresh(const AnalysisResult& result) {
  if (curves_of_ == result.approximation_id && curves_look_ == look_) return;
  const Weights& weights = *result.analysis->weights;
  const auto& basis = look_.weights ? weights.weights : weights.scores;
  const double least_score = 0.5 * convbasis::masked_score;  // what is masked has none
  const auto count = static_cast<std::size_t>(std::max<Index>(basis.count(), 1));
  const std::size_t points = std::clamp(most_points_of_all / count, least_points, most_points);
  curves_.clear();
  for (Index r = 0; r < basis.count(); ++r) {
    curves_.push_back(look_.differences ? thin_curve(basis.basis_vector(r), points) : thin_curve(basis.lag_vector(r), points));
  }
  range_ = range_of(curves_, look_.logarithmic() ? least_weight
                             : look_.weights     ? -std::numeric_limits<double>::infinity()
                                                 : least_score);
  curves_of_ = result.approximation_id;
  curves_look_ = look_;
  fit_ = true;
}

void BasisPanel::draw_choices(bool fit) {
  ImGui::SameLine(0.0F, ImGui::GetFontSize());
  const bool narrow = ImGui::GetWindowWidth() < 30.0F * ImGui::GetFontSize();
  const char* lags = fit ? "lag vectors g###lags" : "lag vectors u###lags";
  if (ui::choice(narrow ? lags + 12 : lags, !look_.differences)) look_.differences = false;
  ui::tooltip(fit ? "g_r: how the weight of the rest depends on the lag, for keys of segment r."
                  : "u_r: what the first column of segment r holds from the diagonal down.");
  ImGui::SameLine();
  if (ui::choice(narrow ? "b###basis" : "basis b###basis", look_.differences)) look_.differences = true;
  ui::tooltip("The paper's basis vectors, b_r = u_r − u_{r−1}: what changes at start r.");
  ImGui::SameLine(0.0F, ImGui::GetFontSize());
  if (ui::choice("weight", look_.weights)) look_.weights = true;
  ui::tooltip(fit ? "g_r itself." : "exp(score − largest score): attention before its normaliser.");
  ImGui::SameLine();
  if (ui::choice("score", !look_.weights)) look_.weights = false;
  ui::tooltip(fit ? "log g_r." : "Scores q·k times scale.");
}

void BasisPanel::draw_curves(const AnalysisResult& result, Index highlighted, float width) {
  const bool dark = ui::is_dark();
  const bool logarithmic = look_.logarithmic();
  if (!ImPlot::BeginPlot(logarithmic ? "##weights" : "##scores", {width, -1.0F}, ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText))
    return;
  ImPlot::SetupAxes("lag  i − j", look_.weights ? "weight, relative" : "score");
  setup_lag_axis(result.request.n, width);
  if (logarithmic) {
    ImPlot::SetupAxisScale(ImAxis_Y1, ImPlotScale_Log10);
    ImPlot::SetupAxisLimitsConstraints(ImAxis_Y1, least_weight, 10.0);
  }
  const ImPlotCond when = std::exchange(fit_, false) ? ImPlotCond_Always : ImPlotCond_Once;
  const double margin = logarithmic ? 0.0 : 0.05 * (range_.hi - range_.lo);
  ImPlot::SetupAxisLimits(ImAxis_X1, 0.0, static_cast<double>(result.request.n), when);
  ImPlot::SetupAxisLimits(ImAxis_Y1, range_.lo * (logarithmic ? 0.7 : 1.0) - margin,
                          range_.hi * (logarithmic ? 1.4 : 1.0) + margin, when);
  const auto count = static_cast<Index>(curves_.size());
  const auto plot = [&](Index r, float alpha, float weight) {
    const LagCurve& curve = curves_[static_cast<std::size_t>(r)];
    ImPlotSpec spec;
    spec.LineColor = curve_colour(r, count, dark);
    spec.LineColor.w = alpha;
    spec.LineWeight = weight;
    ImPlot::PlotLine(fmt::format("u{}", r + 1).c_str(), curve.lag.data(), curve.value.data(), static_cast<int>(curve.lag.size()),
                     spec);
  };
  // Smoothed lines cover three times as many pixels. Where many curves lie over each other nobody sees it, but software OpenGL
  // does.
  constexpr Index few_curves = 4;
  ImDrawList& lines = *ImPlot::GetPlotDrawList();
  const ImDrawListFlags smooth = lines.Flags;
  if (count > few_curves) lines.Flags &= ~ImDrawListFlags_AntiAliasedLines;
  for (Index r = 0; r < count; ++r) {
    if (r != highlighted) plot(r, highlighted < 0 ? 0.9F : 0.3F, 1.25F);
  }
  lines.Flags = smooth;
  if (highlighted >= 0 && highlighted < count) plot(highlighted, 1.0F, 2.5F);
  ImPlot::EndPlot();
}

Index BasisPanel::draw_table(const AnalysisResult& result, Index highlighted, bool extents) {
  const auto& basis = result.analysis->weights->scores;
  const auto planted = result.source->planted_starts();
  const bool dark = ui::is_dark();
  Index hovered = -1;
  if (!ImGui::BeginTable("table", extents ? 3 : 2, ImGuiTableFlags_ScrollY | ImGuiTableFlags_SizingStretchProp)) return hovered;
  ImGui::TableSetupScrollFreeze(0, 1);
  ImGui::TableSetupColumn("segment", ImGuiTableColumnFlags_None, 1.2F);
  ImGui::TableSetupColumn("start", ImGuiTableColumnFlags_None, 1.0F);
  if (extents) ImGui::TableSetupColumn("extent", ImGuiTableColumnFlags_None, 1.0F);
  ImGui::TableHeadersRow();
  ImGui::PushFont(ui::mono_font());
  for (Index r = 0; r < basis.count(); ++r) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float line = ImGui::GetTextLineHeight();
    ImGui::Selectable(fmt::format("  {}{}", result.analysis->fit ? 'g' : 'u', r + 1).c_str(), r == highlighted,
                      ImGuiSelectableFlags_SpanAllColumns);
    if (ImGui::IsItemHovered()) hovered = r;
    ui::tooltip(fmt::format("columns {} to {}, extent {}", basis.start(r), basis.end(r) - 1, basis.extent(r)));
    ImGui::GetWindowDrawList()->AddRectFilled({at.x, at.y + line * 0.3F}, {at.x + line * 0.5F, at.y + line * 0.8F},
                                              ImGui::GetColorU32(curve_colour(r, basis.count(), dark)));
    ImGui::TableNextColumn();
    const bool is_planted = std::ranges::find(planted, basis.start(r)) != planted.end();
    ui::number(fmt::format("{:>6}{}", basis.start(r), is_planted ? "*" : ""));
    if (extents && ImGui::TableNextColumn()) ui::number(fmt::format("{:>6}", basis.extent(r)));
  }
  ImGui::PopFont();
  ImGui::EndTable();
  return hovered;
}

}  // namespace convscope
