#include "panels/training_curves.h"

#include "panels/backward_look.h"
#include "panels/plot_drawing.h"
#include "panels/ui.h"
#include "state/text.h"
#include "view/colour_scale.h"
#include "view/ticks.h"

#include <fmt/format.h>
#include <implot.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace convscope {

namespace {

using convbasis::TrainingStep;
using Value = double TrainingStep::*;

constexpr ImPlotFlags plot_flags = ImPlotFlags_NoMouseText | ImPlotFlags_NoBoxSelect | ImPlotFlags_NoMenus;
constexpr double least_spread_for_log = 10.0;
constexpr std::size_t marks_per_curve = 10;

/// What ImPlot takes.
struct Columns {
  std::vector<double> x, y;
  int count() const { return static_cast<int>(x.size()); }
};

Columns columns_of(const TrainingRun& run, Value value) {
  Columns columns;
  for (const TrainingStep& step : run.steps) {
    columns.x.push_back(step.step);
    columns.y.push_back(step.*value);
  }
  return columns;
}

/// Some of the points, other ones for every way, so that markers of curves that lie on each other are all seen.
Columns marked(const Columns& all, Backward backward) {
  Columns some;
  const std::size_t every = std::max<std::size_t>(1, all.x.size() / marks_per_curve);
  const std::size_t first = all.x.size() <= marks_per_curve ? 0 : static_cast<std::size_t>(backward) * every / 3;
  for (std::size_t at = first; at < all.x.size(); at += every) {
    some.x.push_back(all.x[at]);
    some.y.push_back(all.y[at]);
  }
  return some;
}

/// Where curves lie on each other the ones drawn later are thinner, and those below are still seen.
float weight_of(Backward backward) { return backward == Backward::exact ? 4.0F : backward == Backward::estimate ? 2.5F : 1.25F; }

void draw_run(const TrainingRun& run, Value value) {
  const Columns columns = columns_of(run, value);
  const ImVec4 colour = subject_colour(subject_of(run.backward));
  ImPlotSpec line;
  line.LineColor = colour;
  line.LineWeight = weight_of(run.backward);
  ImPlot::PlotLine(title_of(run.backward), columns.x.data(), columns.y.data(), columns.count(), line);
  const Columns some = marked(columns, run.backward);
  ImPlotSpec marks;
  marks.Marker = marker_of(run.backward);
  marks.MarkerSize = 3.5F;
  marks.MarkerFillColor = marks.MarkerLineColor = marks.LineColor = colour;
  ImPlot::PlotScatter(title_of(run.backward), some.x.data(), some.y.data(), some.count(), marks);
}

void draw_earlier(const TrainingRun& run, Value value) {
  const Columns columns = columns_of(run, value);
  ImPlotSpec line;
  line.LineColor = subject_colour(subject_of(run.backward), 0.35F);
  line.LineWeight = 1.0F;
  line.Flags = ImPlotItemFlags_NoLegend;
  ImPlot::PlotLine(fmt::format("##earlier{}", title_of(run.backward)).c_str(), columns.x.data(), columns.y.data(),
                   columns.count(), line);
}

/// Least and largest of what a logarithmic axis can show; {0, 0} for nothing.
Range positive_range(const TrainingResult& result, Value value) {
  Range range{std::numeric_limits<double>::infinity(), 0.0};
  for (const TrainingRun& run : result.runs) {
    for (const TrainingStep& step : run.steps) {
      const double number = step.*value;
      if (!(number > 0.0) || !std::isfinite(number)) continue;
      range = {std::min(range.lo, number), std::max(range.hi, number)};
    }
  }
  return range.hi > 0.0 ? range : Range{0.0, 0.0};
}

Range positive_range(const TrainingView& view, Value value) {
  Range range = positive_range(view.result, value);
  if (!view.earlier) return range;
  const Range other = positive_range(*view.earlier, value);
  if (!(other.hi > 0.0)) return range;
  return range.hi > 0.0 ? Range{std::min(range.lo, other.lo), std::max(range.hi, other.hi)} : other;
}

double last_step(const TrainingView& view) {
  int last = std::max(view.result.request.steps, view.result.steps());
  if (view.earlier) last = std::max(last, view.earlier->steps());
  return static_cast<double>(std::max(last, 2));
}

void setup_value_axis(Range range, ImPlotCond when) {
  if (!(range.hi > 0.0)) range = {0.1, 1.0};
  const bool logarithmic = range.hi > least_spread_for_log * range.lo;
  if (logarithmic) ImPlot::SetupAxisScale(ImAxis_Y1, ImPlotScale_Log10);
  if (logarithmic) {
    // Whole decades have labels at both ends.
    ImPlot::SetupAxisLimits(ImAxis_Y1, std::pow(10.0, std::floor(std::log10(range.lo) - 0.05)),
                            std::pow(10.0, std::ceil(std::log10(range.hi) + 0.05)), when);
  } else {
    ImPlot::SetupAxisLimits(ImAxis_Y1, 0.0, 1.08 * range.hi, when);
  }
}

/// The numbers of the step under the mouse.
void point_at_step(const TrainingResult& result) {
  const int steps = result.steps();
  if (steps == 0 || !ImPlot::IsPlotHovered()) return;
  const auto place = static_cast<std::size_t>(std::clamp(std::llround(ImPlot::GetPlotMousePos().x), 0LL, steps - 1LL));
  draw_vertical_mark(static_cast<double>(place), "", aside_colour());
  ImGui::BeginTooltip();
  ui::bold(fmt::format("step {}", place));
  if (ImGui::BeginTable("values", 5, ImGuiTableFlags_SizingFixedFit)) {
    for (const char* name : {"", "loss", "gradient error", "time", "segments"}) ImGui::TableSetupColumn(name);
    ImGui::TableHeadersRow();
    for (const TrainingRun& run : result.runs) {
      const TrainingStep& step = run.steps[place];
      ImGui::TableNextColumn();
      draw_backward_name(run.backward);
      const std::string segments = run.backward == Backward::exact ? "" : fmt::format("{}", step.k_found);
      for (const std::string& number :
           {short_number(step.loss, 6), short_number(step.gradient_error), seconds_text(step.seconds), segments}) {
        ImGui::TableNextColumn();
        ui::number(number);
      }
    }
    ImGui::EndTable();
  }
  ImGui::EndTooltip();
}

void draw_curve(std::vector<StepTime> points, Backward backward) {
  std::vector<double> n, seconds, least, most;
  for (const StepTime& point : points) {
    n.push_back(static_cast<double>(point.n));
    seconds.push_back(point.seconds);
    least.push_back(point.seconds_min);
    most.push_back(point.seconds_max);
  }
  const ImVec4 colour = subject_colour(subject_of(backward));
  const int count = static_cast<int>(n.size());
  ImPlotSpec band;
  band.FillColor = colour;
  band.FillAlpha = 0.22F;
  ImPlot::PlotShaded(fmt::format("##band{}", title_of(backward)).c_str(), n.data(), least.data(), most.data(), count, band);
  ImPlotSpec line;
  line.LineColor = line.MarkerFillColor = line.MarkerLineColor = colour;
  line.LineWeight = 1.75F;
  line.Marker = marker_of(backward);
  line.MarkerSize = 3.5F;
  ImPlot::PlotLine(title_of(backward), n.data(), seconds.data(), count, line);
}

void point_at_time(const StepTimesView& times) {
  if (!ImPlot::IsPlotHovered() || times.points.empty()) return;
  const double x = std::log(std::max(ImPlot::GetPlotMousePos().x, 1.0));
  const auto distance = [x](const StepTime& point) { return std::abs(std::log(static_cast<double>(point.n)) - x); };
  const Index n = std::ranges::min_element(times.points, {}, distance)->n;
  ImGui::BeginTooltip();
  ui::bold(fmt::format("n = {}", n));
  for (const StepTime& point : times.points) {
    if (point.n != n) continue;
    draw_backward_name(point.backward);
    ImGui::SameLine();
    ui::number(fmt::format("{}  ({} to {})", seconds_text(point.seconds), seconds_text(point.seconds_min),
                           seconds_text(point.seconds_max)));
  }
  ImGui::EndTooltip();
}

}  // namespace

void TrainingCurves::draw_loss(const TrainingView& view, ImVec2 size) {
  if (!ImPlot::BeginPlot("##loss", size, plot_flags)) return;
  const ImPlotCond when = std::exchange(fitted_loss_, view.version) == view.version ? ImPlotCond_Once : ImPlotCond_Always;
  ImPlot::SetupAxes("step", "loss L");
  ImPlot::SetupAxisLimits(ImAxis_X1, 0.0, last_step(view), when);
  setup_value_axis(positive_range(view, &TrainingStep::loss), when);
  ImPlot::SetupLegend(ImPlotLocation_North, ImPlotLegendFlags_Horizontal | ImPlotLegendFlags_Outside);
  if (view.earlier) {
    for (const TrainingRun& run : view.earlier->runs) draw_earlier(run, &TrainingStep::loss);
  }
  for (const TrainingRun& run : view.result.runs) draw_run(run, &TrainingStep::loss);
  point_at_step(view.result);
  ImPlot::EndPlot();
}

void TrainingCurves::draw_error(const TrainingView& view, ImVec2 size) {
  if (!ImPlot::BeginPlot("##error", size, plot_flags)) return;
  const ImPlotCond when = std::exchange(fitted_error_, view.version) == view.version ? ImPlotCond_Once : ImPlotCond_Always;
  ImPlot::SetupAxes("step", "gradient error");
  ImPlot::SetupAxisLimits(ImAxis_X1, 0.0, last_step(view), when);
  setup_value_axis(positive_range(view, &TrainingStep::gradient_error), when);
  ImPlot::SetupLegend(ImPlotLocation_North, ImPlotLegendFlags_Horizontal | ImPlotLegendFlags_Outside);
  const auto shown = [](const TrainingRun& run) { return run.backward != Backward::exact; };  // its own is 0
  if (view.earlier) {
    for (const TrainingRun& run : view.earlier->runs) {
      if (shown(run)) draw_earlier(run, &TrainingStep::gradient_error);
    }
  }
  for (const TrainingRun& run : view.result.runs) {
    if (shown(run)) draw_run(run, &TrainingStep::gradient_error);
  }
  point_at_step(view.result);
  ImPlot::EndPlot();
}

void TrainingCurves::draw_times(const StepTimesView& times, ImVec2 size) {
  if (!ImPlot::BeginPlot("##times", size, plot_flags)) return;
  const ImPlotCond when =
      std::exchange(fitted_times_, times.points.size()) == times.points.size() ? ImPlotCond_Once : ImPlotCond_Always;
  double low = 1e-3;
  double high = 1e-2;
  if (!times.points.empty()) {
    low = std::ranges::min(times.points, {}, &StepTime::seconds_min).seconds_min / 1.5;
    high = std::ranges::max(times.points, {}, &StepTime::seconds_max).seconds_max * 2.0;
  }
  ImPlot::SetupAxes("n tokens", "a step");
  const bool narrow = size.x < 26.0F * ImGui::GetFontSize();
  setup_power_axis(ImAxis_X1, 200.0, 20000.0, narrow ? 4 : 7);
  setup_seconds_axis(ImAxis_Y1);
  ImPlot::SetupAxisLimits(ImAxis_X1, 200.0, 20000.0, when);
  ImPlot::SetupAxisLimits(ImAxis_Y1, low, high, when);
  ImPlot::SetupLegend(ImPlotLocation_North, ImPlotLegendFlags_Horizontal | ImPlotLegendFlags_Outside);
  for (const Backward backward : convbasis::all_backwards) {
    std::vector<StepTime> points;
    std::ranges::copy_if(times.points, std::back_inserter(points), [&](const StepTime& p) { return p.backward == backward; });
    if (!points.empty()) draw_curve(std::move(points), backward);
  }
  point_at_time(times);
  ImPlot::EndPlot();
}

}  // namespace convscope
