#include "panels/residual_errors_panel.h"

#include "panels/plot_drawing.h"
#include "panels/ui.h"
#include "state/text.h"
#include "view/error_target.h"
#include "view/ticks.h"

#include <fmt/format.h>
#include <implot.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

namespace convscope {

namespace {

constexpr std::size_t worst_count = 12;

/// The cell that stands for a row: its largest weight is not known without work, its diagonal always exists.
CellIndex cell_of_row(Index row) { return {row, row}; }

constexpr std::size_t histogram_bins = 40;
constexpr double least_spread_for_log = 100.0;  // errors that spread this far are drawn on a logarithmic axis

/// The place in `sorted`, not empty, that is nearest to `value`.
std::size_t nearest(const std::vector<double>& sorted, double value) {
  const auto above = std::ranges::lower_bound(sorted, value);
  if (above == sorted.begin()) return 0;
  if (above == sorted.end()) return sorted.size() - 1;
  const auto place = static_cast<std::size_t>(above - sorted.begin());
  return sorted[place] - value < value - sorted[place - 1] ? place : place - 1;
}

void fact(const char* name, const std::string& value, const char* help) {
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  ui::dim(name);
  ui::tooltip(help);
  ImGui::TableNextColumn();
  ui::number(value);
}

void draw_basis_facts(const convbasis::HeadAnalysis<float>& analysis) {
  fact("k asked, found", fmt::format("{}, {}", analysis.options.k, analysis.recovery.basis.count()),
       "Fewer found than asked: no further column differed by the threshold.");
  if (analysis.fit) {
    fact("rounds", fmt::format("{}", analysis.fit->rounds), "Rounds of proportional fitting until it had converged, 10 at most.");
  } else {
    fact("monotone", analysis.recovery.monotone ? "yes" : "no",
         "Yes: no probed column differed before one that did not, as the binary search needs.");
  }
}

void draw_rank_facts(const convbasis::RankApproximation<float>& rank) {
  fact("rank", fmt::format("{}", rank.rank), "Of an SVD the singular values that are kept; of features their number.");
  if (rank.features) {
    fact("rows not positive", fmt::format("{}", rank.features->not_positive),
         "Rows whose weights do not sum to more than 0, as a polynomial need not be positive: their output is 0.");
    return;
  }
  fact("error, whole", short_number(rank.unmasked_error),
       "The relative error when what the factors hold above the diagonal is kept, as in the ladder. Everything else here is of "
       "their causal part.");
}

}  // namespace

void ResidualErrorsPanel::draw(Session& session, MapView& view, const ErrorCurve& curve, const HeadLadder& ladder) {
  ui::help_mark(
      "How far the approximate output Y~ is from exact attention Y. Error of row i: ||Y~_i − Y_i|| / root mean square of all "
      "||Y_i||; "
      "total variation: ½ Σ_j |P~_ij − P_ij|, the share of row i's attention that goes elsewhere.\n"
      "Against k: ||Y~ − Y|| / ||Y|| for the first k lag vectors that Recover finds, or for an SVD of rank k; click or drag "
      "there "
      "to set k.\n"
      "Ladder: what is left of that error when c columns and a band of w lags stay exact and the rest is a_i b_j g_r[i − j].\n"
      "The bound 2 (e^{2ε} − 1) max |V| is shown only where it is proved and measured to hold.");
  ui::title("Residual");
  const AnalysisResult& result = session.result();
  if (!result.analysis) {
    ui::empty_state("How far the approximation is from exact attention, row by row, appears here when a head has been analysed.");
    return;
  }
  refresh(result);
  const float em = ImGui::GetFontSize();
  const bool numbers_beside = ImGui::GetContentRegionAvail().x >= 44.0F * em;
  const bool against_k = result.request.has_error_curve();
  if (!against_k && tab_ == Tab::against_k) tab_ = Tab::ladder;
  draw_tabs(numbers_beside, against_k);
  if (tab_ == Tab::numbers) {
    draw_numbers(result, view);
    return;
  }
  const float side_width = 15.0F * em;
  const float width = ImGui::GetContentRegionAvail().x - (numbers_beside ? side_width + ImGui::GetStyle().ItemSpacing.x : 0.0F);
  ImGui::BeginGroup();
  if (tab_ == Tab::rows) draw_by_row(result, view, width);
  if (tab_ == Tab::histogram) draw_histogram(width);
  if (tab_ == Tab::against_k) draw_against_k(session, curve, width);
  if (tab_ == Tab::ladder) ladder_.draw(session, ladder, width);
  ImGui::EndGroup();
  if (!numbers_beside) return;
  ImGui::SameLine();
  ImGui::BeginChild("facts", {side_width, 0.0F});
  draw_numbers(result, view);
  ImGui::EndChild();
}

void ResidualErrorsPanel::draw_tabs(bool numbers_beside, bool against_k) {
  if (numbers_beside && tab_ == Tab::numbers) tab_ = Tab::rows;
  struct Choice {
    Tab tab;
    const char* name;
  };
  constexpr std::array<Choice, 5> choices{{{Tab::rows, "rows"},
                                           {Tab::histogram, "histogram"},
                                           {Tab::against_k, "by k"},
                                           {Tab::ladder, "ladder"},
                                           {Tab::numbers, "numbers"}}};
  const bool narrow = ImGui::GetWindowWidth() < 30.0F * ImGui::GetFontSize();
  const float gap = narrow ? ImGui::GetStyle().ItemInnerSpacing.x : ImGui::GetStyle().ItemSpacing.x;
  ImGui::SameLine(0.0F, narrow ? gap : ImGui::GetFontSize());
  for (const Choice& choice : choices) {
    if ((choice.tab == Tab::numbers && numbers_beside) || (choice.tab == Tab::against_k && !against_k)) continue;
    if (ui::choice(choice.name, tab_ == choice.tab)) tab_ = choice.tab;
    if (choice.tab != Tab::numbers) ImGui::SameLine(0.0F, gap);
  }
  if (numbers_beside) ImGui::NewLine();
}

void ResidualErrorsPanel::draw_plot(const AnalysisResult& result, float width) {
  refresh(result);
  fit_ = fit_histogram_ = true;
  MapView nothing_shown;
  tab_ == Tab::histogram ? draw_histogram(width) : draw_by_row(result, nothing_shown, width);
}

void ResidualErrorsPanel::refresh(const AnalysisResult& result) {
  if (shown_ == result.analysis) return;
  shown_ = result.analysis;
  fit_ = fit_histogram_ = true;
  const auto& error = result.analysis->error;
  rows_.assign(error.row_error_index.begin(), error.row_error_index.end());
  variation_rows_.assign(error.row_total_variation_index.begin(), error.row_total_variation_index.end());
  histogram_ = log_histogram(error.row_error, histogram_bins);
  worst_.resize(error.row_error.size());
  std::iota(worst_.begin(), worst_.end(), std::size_t{0});
  const auto count = static_cast<std::ptrdiff_t>(std::min(worst_count, worst_.size()));
  std::partial_sort(worst_.begin(), worst_.begin() + count, worst_.end(), [&](std::size_t a, std::size_t b) {
    const double left = error.row_error[a];
    const double right = error.row_error[b];
    // NaN is worse than any number, and ties go to the earlier row.
    if (std::isnan(left) != std::isnan(right)) return std::isnan(left);
    return left != right && !std::isnan(left) ? left > right : a < b;
  });
  worst_.resize(static_cast<std::size_t>(count));
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
  ImPlot::PlotLine("output", rows_.data(), error.row_error.data(), static_cast<int>(rows_.size()), spec);
  spec.LineColor = subject_colour(Subject::exact);
  ImPlot::PlotLine("total variation", variation_rows_.data(), error.row_total_variation.data(),
                   static_cast<int>(variation_rows_.size()), spec);
  if (view.shown()) {
    const auto row = static_cast<double>(view.shown()->row);
    ImPlotSpec marker;
    marker.LineColor = aside_colour();
    marker.Flags = ImPlotItemFlags_NoLegend | ImPlotItemFlags_NoFit;
    ImPlot::PlotInfLines("##shown", &row, 1, marker);
  }
  if (ImPlot::IsPlotHovered() && !rows_.empty()) point_at_row(result, view);
  ImPlot::EndPlot();
}

void ResidualErrorsPanel::point_at_row(const AnalysisResult& result, MapView& view) const {
  const std::size_t place = nearest(rows_, ImPlot::GetPlotMousePos().x);
  const auto row = static_cast<Index>(rows_[place]);
  ImGui::SetTooltip("row %td\noutput error %s", row, short_number(result.analysis->error.row_error[place]).c_str());
  const bool dragged = ImGui::GetMouseDragDelta(ImGuiMouseButton_Left).x != 0.0F;
  if (ImGui::IsMouseReleased(ImGuiMouseButton_Left) && !dragged) view.go_to(cell_of_row(row));
}

void ResidualErrorsPanel::draw_histogram(float width) {
  std::string aside;
  if (histogram_.zeros > 0) aside = fmt::format("{} rows without any error are left out. ", histogram_.zeros);
  if (histogram_.not_numbers > 0) aside += fmt::format("{} rows are not a number.", histogram_.not_numbers);
  const float below = aside.empty() ? -1.0F : -ImGui::GetTextLineHeightWithSpacing();
  const ImPlotFlags flags = ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText | ImPlotFlags_NoBoxSelect;
  if (ImPlot::BeginPlot("##histogram", {width, below}, flags)) {
    ImPlot::SetupAxes("output error of a row", "rows");
    ImPlot::SetupAxisScale(ImAxis_X1, ImPlotScale_Log10);
    if (!histogram_.edges.empty()) {
      const ImPlotCond when = std::exchange(fit_histogram_, false) ? ImPlotCond_Always : ImPlotCond_Once;
      ImPlot::SetupAxisLimits(ImAxis_X1, histogram_.edges.front() / 1.2, histogram_.edges.back() * 1.2, when);
      ImPlot::SetupAxisLimits(ImAxis_Y1, 0.0, 1.08 * *std::ranges::max_element(histogram_.counts), when);
      // Stairs need the last bin's height at its right edge, too.
      std::vector<double> heights = histogram_.counts;
      heights.push_back(heights.back());
      ImPlotSpec spec;
      spec.FillColor = subject_colour(Subject::residual);
      spec.FillAlpha = 0.6F;
      spec.LineColor = subject_colour(Subject::residual);
      spec.Flags = ImPlotStairsFlags_Shaded;
      ImPlot::PlotStairs("rows", histogram_.edges.data(), heights.data(), static_cast<int>(heights.size()), spec);
    }
    ImPlot::EndPlot();
  }
  if (!aside.empty()) ui::dim(aside);
}

ResidualErrorsPanel::CurveColumns ResidualErrorsPanel::columns_of(const ErrorCurveView& curve) {
  CurveColumns columns;
  for (const KError& point : curve.points) {
    columns.k.push_back(static_cast<double>(point.k));
    columns.error.push_back(point.error);
    if (point.error > 0.0) columns.least = std::min(columns.least, point.error);
    if (point.error > columns.most) columns.most = point.error;
  }
  return columns;
}

void ResidualErrorsPanel::draw_against_k(Session& session, const ErrorCurve& curve, float width) {
  const ErrorCurveView known = curve.view();
  const CurveColumns columns = columns_of(known);
  const AnalysisRequest& shown = session.result().request;
  const float below = ImGui::GetTextLineHeightWithSpacing();
  const ImPlotFlags flags = ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText | ImPlotFlags_NoBoxSelect | ImPlotFlags_NoMenus;
  if (ImPlot::BeginPlot("##k", {width, -below}, flags)) {
    const double right = static_cast<double>(std::max<Index>({known.largest, shown.k, 2}));
    ImPlot::SetupAxes(shown.is_svd() ? "k, rank" : "k lag vectors", "error", ImPlotAxisFlags_Lock, ImPlotAxisFlags_Lock);
    setup_power_axis(ImAxis_X1, 1.0, right, 9);
    ImPlot::SetupAxisLimits(ImAxis_X1, 0.85, right * 1.2, ImPlotCond_Always);
    const bool logarithmic = columns.most > least_spread_for_log * columns.least;
    if (logarithmic) ImPlot::SetupAxisScale(ImAxis_Y1, ImPlotScale_Log10);
    const double top = columns.most > 0.0 ? columns.most * (logarithmic ? 2.0 : 1.15) : 1.0;
    ImPlot::SetupAxisLimits(ImAxis_Y1, logarithmic ? columns.least / 2.0 : 0.0, top, ImPlotCond_Always);
    draw_dashed(std::array{0.85, right * 1.2}, std::array{curve.target(), curve.target()}, aside_colour());
    ImPlotSpec line;
    line.LineColor = subject_colour(Subject::residual);
    line.LineWeight = 1.75F;
    line.Marker = ImPlotMarker_Circle;
    line.MarkerSize = 3.0F;
    line.MarkerFillColor = subject_colour(Subject::residual);
    ImPlot::PlotLine("error", columns.k.data(), columns.error.data(), static_cast<int>(columns.k.size()), line);
    draw_vertical_mark(static_cast<double>(session.wanted().k), fmt::format("k {}", session.wanted().k), aside_colour());
    ImPlotSpec here;
    here.Marker = ImPlotMarker_Diamond;
    here.MarkerSize = 6.0F;
    here.MarkerFillColor = here.LineColor = subject_colour(shown.is_svd() ? Subject::rank : Subject::conv);
    const auto k_shown = static_cast<double>(shown.k);
    ImPlot::PlotScatter("##here", &k_shown, &session.result().analysis->error.relative_error, 1, here);
    const ImVec2 corner = ImPlot::GetPlotPos();
    const ImVec2 size = ImPlot::GetPlotSize();
    curve_rectangle_ = ImVec4(corner.x, corner.y, corner.x + size.x, corner.y + size.y);
    if (ImPlot::IsPlotHovered()) choose_k(session, known);
    ImPlot::EndPlot();
  }
  if (known.failure.empty()) {
    ui::fitted(fmt::format("error below {:.4g} %: {}", 100.0 * curve.target(),
                           describe_target(known.points, known.complete, curve.target())),
               ImGui::GetColorU32(aside_colour()));
  } else {
    ui::fitted(known.failure, ImGui::GetColorU32(ui::error_colour()));
  }
}

void ResidualErrorsPanel::choose_k(Session& session, const ErrorCurveView& curve) {
  const auto k = std::clamp<Index>(std::llround(ImPlot::GetPlotMousePos().x), 1, std::max<Index>(curve.largest, 1));
  if (!curve.points.empty()) {
    const KError& point = curve.points[nearest(columns_of(curve).k, static_cast<double>(k))];
    ImGui::SetTooltip("k = %td: error %s\nclick or drag: k = %td", point.k, short_number(point.error).c_str(), k);
  }
  if (!ImGui::IsMouseDown(ImGuiMouseButton_Left) || k == session.wanted().k) return;
  AnalysisRequest wish = session.wanted();
  wish.k = k;
  session.want(wish);
}

void ResidualErrorsPanel::draw_numbers(const AnalysisResult& result, MapView& view) const {
  draw_summary(result);
  draw_worst_rows(result, view);
}

void ResidualErrorsPanel::draw_summary(const AnalysisResult& result) {
  const auto& analysis = *result.analysis;
  const auto& error = analysis.error;
  if (ImGui::BeginTable("summary", 2, ImGuiTableFlags_SizingFixedFit)) {
    fact("relative error", short_number(error.relative_error), "||Y~ − Y|| / ||Y||, Frobenius norms of the outputs.");
    fact("largest |Y~ − Y|", short_number(error.max_abs_error), "The largest difference of an output entry.");
    fact("total variation", short_number(error.mean_total_variation),
         "Mean over rows of half the sum of |P~ − P|: the share of attention that goes elsewhere, 0 to 1, more where P~ is "
         "negative.");
    analysis.rank ? draw_rank_facts(*analysis.rank) : draw_basis_facts(analysis);
    fact(
        "bound on |Y~ − Y|", analysis.bound ? short_number(*analysis.bound) : "none",
        "2 (e^{2ε} − 1) max |V|. Proved for scores within ε of a (T, δ)-non-degenerate conv basis with ε ≤ δ / (5 T); shown only "
        "where the recovered scores are measured to be within 2ε of the true ones. Real heads have none.");
    fact("largest |S~ − S|", short_number(error.max_score_error), "The largest difference of a recovered score.");
    const auto rows = static_cast<Index>(error.row_error.size());
    fact("rows compared", rows == analysis.n ? "all" : fmt::format("{} of {}", rows, analysis.n),
         "Exact attention of all rows costs n\u00b2: beyond 32768 tokens only evenly spread rows are compared, unless the menu "
         "Run asks for "
         "all.");
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
  for (const std::size_t place : worst_) {
    const auto row = static_cast<Index>(rows_[place]);
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    const bool shown = view.shown() && view.shown()->row == row;
    if (ImGui::Selectable(fmt::format("{:>6}", row).c_str(), shown, ImGuiSelectableFlags_SpanAllColumns))
      view.go_to(cell_of_row(row));
    ImGui::TableNextColumn();
    ui::number(short_number(error.row_error[place]));
    ImGui::TableNextColumn();
    if (static_cast<std::size_t>(row) < tokens.size()) ui::dim(token_text(tokens[static_cast<std::size_t>(row)], 12));
  }
  ImGui::PopFont();
  ImGui::EndTable();
}

}  // namespace convscope
