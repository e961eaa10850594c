#include "panels/runtime_panel.h"

#include "attention/exact_attention.h"
#include "core/threads.h"
#include "panels/plot_drawing.h"
#include "panels/ui.h"
#include "state/text.h"
#include "view/runtime_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace convscope {

namespace {

struct TimedMethod {
  const char* key;
  const char* name;
  const char* help;
  ImPlotMarker marker = ImPlotMarker_Circle;  ///< tells apart what has one colour
};

constexpr const char* conv_key = "conv_partitioned";
constexpr std::array<TimedMethod, 7> methods{
    {{"exact", "exact", "Exact attention: n² (d + d_v) / 2 multiply-adds."},
     {"conv_full", "FFT", "Conv attention as in the paper: one FFT of length 2n for every lag vector and column of V."},
     {conv_key, "conv", "Conv attention by a partitioned convolution, recover and exponentials included."},
     {"planned", "planned", "Whichever of exact and conv is expected to be faster."},
     {"rank", "rank", "Low rank by polynomial features: 2 n r (d_v + 2) multiply-adds for r = C(d + g, g) of them."},
     {"cuda_exact", "GPU exact", "Exact attention on the GPU, the way there and back included. Marked by squares.",
      ImPlotMarker_Square},
     {"cuda_conv", "GPU conv",
      "Conv attention with its convolutions on the GPU; recover and exponentials are the CPU's. The way there and back is "
      "included. Marked by triangles.",
      ImPlotMarker_Up}}};

ImVec4 colour_of_method(std::string_view key) {
  if (key == "exact") return subject_colour(Subject::exact);
  if (key == "conv_full") return subject_colour(Subject::conv_full);
  if (key == conv_key) return subject_colour(Subject::conv);
  if (key == "rank") return subject_colour(Subject::rank);
  if (key.starts_with("cuda_")) return subject_colour(Subject::gpu);
  return aside_colour();
}

ImVec4 faint(ImVec4 colour, float alpha) {
  colour.w *= alpha;
  return colour;
}

float mark_width() { return std::round(0.8F * ImGui::GetFontSize()); }

/// The marker of a curve, and the cursor behind it: a square or a triangle.
void draw_legend_mark(ImPlotMarker marker, const ImVec4& colour) {
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const float half = std::round(0.28F * ImGui::GetFontSize());
  const ImVec2 centre(corner.x + half, corner.y + std::round(ImGui::GetTextLineHeight() / 2.0F));
  const ImU32 ink = ImGui::GetColorU32(colour);
  ImDrawList* draw = ImGui::GetWindowDrawList();
  if (marker == ImPlotMarker_Square) {
    draw->AddRectFilled({centre.x - half, centre.y - half}, {centre.x + half, centre.y + half}, ink);
  } else {
    draw->AddTriangleFilled({centre.x, centre.y - half}, {centre.x + half, centre.y + half}, {centre.x - half, centre.y + half},
                            ink);
  }
  ImGui::SetCursorScreenPos({corner.x + mark_width(), corner.y});
}

/// The columns that ImPlot takes.
struct Columns {
  std::vector<double> n, seconds, least, most;
  void add(const CurvePoint& point) {
    n.push_back(static_cast<double>(point.n));
    seconds.push_back(point.seconds);
    least.push_back(point.seconds_min);
    most.push_back(point.seconds_max);
  }
  int count() const { return static_cast<int>(n.size()); }
};

/// Line through the measured points with its band, dashed and hollow where times are extrapolated.
void draw_curve(const TimedMethod& method, std::span<const CurvePoint> curve) {
  Columns measured;
  Columns guessed;  // begins with the last measured one
  for (const CurvePoint& point : curve) {
    if (point.extrapolated && guessed.n.empty() && measured.count() > 0) {
      guessed.n.push_back(measured.n.back());
      guessed.seconds.push_back(measured.seconds.back());
    }
    (point.extrapolated ? guessed : measured).add(point);
  }
  const ImVec4 colour = colour_of_method(method.key);
  ImPlotSpec band;
  band.FillColor = colour;
  band.FillAlpha = 0.22F;
  ImPlot::PlotShaded(fmt::format("##band{}", method.key).c_str(), measured.n.data(), measured.least.data(), measured.most.data(),
                     measured.count(), band);
  ImPlotSpec line;
  line.LineColor = colour;
  line.LineWeight = std::string_view(method.key) == "planned" ? 1.0F : 1.75F;
  line.Marker = method.marker;
  line.MarkerSize = method.marker == ImPlotMarker_Circle ? 2.5F : 3.5F;
  line.MarkerFillColor = colour;
  ImPlot::PlotLine(method.name, measured.n.data(), measured.seconds.data(), measured.count(), line);
  if (guessed.n.empty()) return;
  draw_dashed(guessed.n, guessed.seconds, colour);
  ImPlotSpec hollow;
  hollow.LineColor = colour;
  hollow.Marker = method.marker;
  hollow.MarkerSize = method.marker == ImPlotMarker_Circle ? 3.0F : 4.0F;
  hollow.MarkerLineColor = colour;
  hollow.MarkerFillColor = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
  const std::size_t skipped = measured.n.empty() ? 0 : 1;
  ImPlot::PlotScatter(fmt::format("##hollow{}", method.key).c_str(), guessed.n.data() + skipped, guessed.seconds.data() + skipped,
                      guessed.count() - static_cast<int>(skipped), hollow);
}

/// The curves of an earlier setting: only to compare with.
void draw_stale(const TimedMethod& method, std::span<const CurvePoint> curve) {
  Columns columns;
  for (const CurvePoint& point : curve) columns.add(point);
  ImPlotSpec line;
  line.LineColor = faint(colour_of_method(method.key), 0.35F);
  line.LineWeight = 1.0F;
  ImPlot::PlotLine(fmt::format("##earlier{}", method.key).c_str(), columns.n.data(), columns.seconds.data(), columns.count(),
                   line);
}

std::pair<double, double> range_of_seconds(const RuntimeView& view) {
  double low = std::numeric_limits<double>::infinity();
  double high = 0.0;
  for (const auto* points : {&view.points, &view.earlier}) {
    for (const CurvePoint& point : *points) {
      low = std::min(low, point.seconds_min);
      high = std::max(high, point.seconds_max);
    }
  }
  if (!(high > 0.0) || !(low > 0.0)) return {1e-5, 1.0};
  return {low / 1.5, high * 2.0};
}

}  // namespace

void RuntimePanel::draw(const Session& session, RuntimeMeasurer& measurer,
                        const std::shared_ptr<const convbasis::Accelerator>& gpu) {
  ui::help_mark(
      "Time of one head's attention against n, measured on this machine with planted inputs while nothing else runs: median of "
      "several runs, the band is their range. Dashed and hollow: carried on, not measured.\n"
      "exact: n² (d + d_v) / 2 multiply-adds. conv: recover, exponentials and k convolutions, k n d log n; \"FFT\" is the "
      "paper's scheme, \"conv\" the partitioned one. planned: whichever is expected to be faster. rank: polynomial features of "
      "degree g, linear in n whatever they are worth.\n"
      "GPU exact, GPU conv: the same on the GPU that is the device, the way there and back included.\n"
      "n^p is the slope of the upper half. The conv way pays to the right of the crossover.");
  ui::title("Runtime");
  if (!session.source()) {
    ui::empty_state(
        "How long exact and conv attention take on this machine is measured here, in the background, once a head is open.");
    return;
  }
  const AnalysisRequest& wanted = session.wanted();
  measurer.want(
      {.d = session.source()->layer(wanted.layer).width, .k = wanted.k, .degree = wanted.degree, .threads = 0, .gpu = gpu});
  const RuntimeView view = measurer.view();
  draw_buttons(view, measurer);
  ImGui::SameLine();
  draw_state(view);
  if (view.points.empty() && view.earlier.empty()) {
    ui::empty_state(view.state == RuntimeView::State::done
                        ? fmt::format("A planted input with k = {} needs more tokens than are measured here. Choose a smaller k.",
                                      view.setting.k)
                        : "Measures exact, conv and low-rank attention for 256 to 32768 tokens, with the width of this head and "
                          "the present k "
                          "and degree, whenever nothing else runs. Some 20 seconds in all.");
    return;
  }
  const float line = ImGui::GetTextLineHeightWithSpacing();
  const bool low = ImGui::GetContentRegionAvail().y < 16.0F * line;
  const auto& points = view.points.empty() ? view.earlier : view.points;
  draw_legend(points, low);
  const float lines_below = low ? 1.0F : gpu_findings(points, wanted.n).empty() ? 2.0F : 3.0F;
  draw_plot(view, wanted.n, std::max(ImGui::GetContentRegionAvail().y - lines_below * line, 4.0F * line));
  draw_findings(points, wanted.n, low);
  const std::string conditions = conditions_text(view);
  if (low) {
    ui::tooltip(conditions);
  } else {
    ui::fitted(conditions, ImGui::GetColorU32(aside_colour()));
  }
}

void RuntimePanel::draw_buttons(const RuntimeView& view, RuntimeMeasurer& measurer) {
  using State = RuntimeView::State;
  ImGui::SameLine(0.0F, ImGui::GetFontSize());
  if (view.state == State::measuring || view.state == State::paused) {
    if (ImGui::SmallButton("Stop")) measurer.stop();
    ui::tooltip("Measure no more, until asked to.");
  } else {
    if (ImGui::SmallButton(view.state == State::stopped ? "Measure" : "Measure again")) measurer.again();
    ui::tooltip("Take all times anew.");
  }
}

void RuntimePanel::draw_legend(std::span<const CurvePoint> points, bool low) {
  struct Entry {
    const TimedMethod* method;
    std::string name, with_slope;
    float width(bool slopes) const {
      const float mark = method->marker == ImPlotMarker_Circle ? 0.0F : mark_width();
      return ImGui::CalcTextSize((slopes ? with_slope : name).c_str()).x + mark;
    }
  };
  const float gap = std::round(0.7F * ImGui::GetFontSize());
  const float room = ImGui::GetContentRegionAvail().x + gap;
  std::vector<Entry> entries;
  int lines = 1;
  float used = 0.0F;
  for (const TimedMethod& method : methods) {
    const auto curve = points_of(points, method.key);
    if (curve.empty()) continue;
    const auto steepness = slope(curve);
    entries.push_back({&method, method.name, steepness ? fmt::format("{} n^{:.2f}", method.name, *steepness) : method.name});
    const float width = entries.back().width(true) + gap;
    lines += used + width > room ? 1 : 0;
    used = used + width > room ? width : used + width;
  }
  // The plot needs the height more.
  constexpr int most_lines_when_low = 2;
  const bool slopes = !low || lines <= most_lines_when_low;
  used = 0.0F;
  for (const Entry& entry : entries) {
    const float width = entry.width(slopes) + gap;
    if (used > 0.0F && used + width <= room) ImGui::SameLine(0.0F, gap);
    used = used + width > room ? width : used + width;
    const ImVec4 colour = colour_of_method(entry.method->key);
    ImGui::BeginGroup();
    if (entry.method->marker != ImPlotMarker_Circle) draw_legend_mark(entry.method->marker, colour);
    ImGui::TextColored(colour, "%s", (slopes ? entry.with_slope : entry.name).c_str());
    ImGui::EndGroup();
    ui::tooltip(fmt::format("{}\n{}", entry.with_slope, entry.method->help));
  }
}

void RuntimePanel::draw_plot(const RuntimeView& view, Index n, float height) {
  const ImPlotFlags flags = ImPlotFlags_NoMouseText | ImPlotFlags_NoBoxSelect | ImPlotFlags_NoMenus | ImPlotFlags_NoLegend;
  if (!ImPlot::BeginPlot("##runtime", {-1.0F, height}, flags)) return;
  const std::size_t points = view.points.size() + view.earlier.size();
  const ImPlotCond when = std::exchange(fitted_points_, points) == points ? ImPlotCond_Once : ImPlotCond_Always;
  const auto [low, high] = range_of_seconds(view);
  const double left = std::min(200.0, static_cast<double>(std::max<Index>(n, 2)) / 1.2);
  const double right = std::max(42000.0, static_cast<double>(n) * 1.2);
  ImPlot::SetupAxes("n tokens", nullptr);
  setup_power_axis(ImAxis_X1, left, right, 5);
  setup_seconds_axis(ImAxis_Y1);
  ImPlot::SetupAxisLimits(ImAxis_X1, left, right, when);
  ImPlot::SetupAxisLimits(ImAxis_Y1, low, high, when);
  for (const TimedMethod& method : methods) draw_stale(method, points_of(view.earlier, method.key));
  for (const TimedMethod& method : methods) {
    const auto curve = points_of(view.points, method.key);
    if (!curve.empty()) draw_curve(method, curve);
  }
  draw_marks(view.points.empty() ? view.earlier : view.points, n);
  ImPlot::EndPlot();
}

void RuntimePanel::draw_marks(std::span<const CurvePoint> points, Index n) {
  const Crossover crossing = crossover(points_of(points, "exact"), points_of(points, conv_key));
  if (crossing.kind == Crossover::Kind::at)
    draw_vertical_mark(crossing.n, fmt::format("crossover {:.0f}", crossing.n), ImGui::GetStyleColorVec4(ImGuiCol_Text));
  const auto here = static_cast<double>(n);
  draw_vertical_mark(here, fmt::format("n {}", n), aside_colour(), 1);
  for (const char* key : {"exact", conv_key, "cuda_exact", "cuda_conv"}) {
    const auto seconds = seconds_at(points_of(points, key), here);
    if (!seconds) continue;
    ImPlotSpec diamond;
    diamond.Marker = ImPlotMarker_Diamond;
    diamond.MarkerSize = 5.5F;
    diamond.MarkerFillColor = diamond.LineColor = colour_of_method(key);
    ImPlot::PlotScatter(fmt::format("##here{}", key).c_str(), &here, &*seconds, 1, diamond);
  }
}

void RuntimePanel::draw_findings(std::span<const CurvePoint> points, Index n, bool low) {
  const std::string on_cpu = runtime_findings(points, n);
  const std::string on_gpu = gpu_findings(points, n);
  if (low) {
    const std::string all = on_gpu.empty() ? on_cpu : on_cpu + " · " + on_gpu;
    const bool fits = ImGui::CalcTextSize(all.c_str()).x <= ImGui::GetContentRegionAvail().x;
    ui::fitted(fits ? all : on_cpu);
    if (!fits) ui::tooltip(all);
  } else {
    ui::fitted(on_cpu);
    if (!on_gpu.empty()) ui::fitted(on_gpu);
  }
}

std::string gpu_findings(std::span<const CurvePoint> points, Index n) {
  std::string text;
  for (const auto& [key, name] : {std::pair("cuda_exact", "GPU exact"), std::pair("cuda_conv", "GPU conv")}) {
    const auto seconds = seconds_at(points_of(points, key), static_cast<double>(n));
    if (seconds) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, seconds_text(*seconds));
  }
  return text;
}

std::string runtime_findings(std::span<const CurvePoint> points, Index n) {
  const auto exact = points_of(points, "exact");
  const auto conv = points_of(points, conv_key);
  std::string text = fmt::format("n {}:", n);
  const auto at = static_cast<double>(n);
  if (const auto seconds = seconds_at(exact, at)) text += " exact " + seconds_text(*seconds);
  if (const auto seconds = seconds_at(conv, at)) text += ", conv " + seconds_text(*seconds);
  if (const auto seconds = seconds_at(points_of(points, "rank"), at)) text += ", rank " + seconds_text(*seconds);
  const Crossover crossing = crossover(exact, conv);
  switch (crossing.kind) {
    case Crossover::Kind::at:
      return text + fmt::format(" · crossover ≈ {:.0f}{}", crossing.n, crossing.extrapolated ? " (extrapolated)" : "");
    case Crossover::Kind::always:
      return text + " · conv always faster";
    case Crossover::Kind::never:
      return text + " · exact always faster";
    case Crossover::Kind::unknown:
      break;
  }
  return text;
}

std::string RuntimePanel::conditions_text(const RuntimeView& view) {
  const RuntimeSetting& setting = view.setting;
  convbasis::RunContext context;
  context.threads = setting.threads;
  const int threads = convbasis::thread_count(context);
  std::string text = fmt::format("d {} · k {} · degree {} · {} thread{} · {} · float32", setting.d, setting.k, setting.degree,
                                 threads, threads == 1 ? "" : "s", convbasis::kernel_instruction_set());
  if (setting.gpu) text += " · " + setting.gpu->name();
  if (!view.earlier.empty()) text += fmt::format(" · faint: k {}, d {}, earlier", view.earlier_setting.k, view.earlier_setting.d);
  return text;
}

void RuntimePanel::draw_state(const RuntimeView& view) {
  using State = RuntimeView::State;
  const float end = ImGui::GetContentRegionMax().x - 1.5F * ImGui::GetTextLineHeight();  // the help mark is there
  std::string text;
  switch (view.state) {
    case State::unasked:
      break;
    case State::paused:
      text = "waits while you work";
      break;
    case State::measuring:
      text = fmt::format("measuring n = {} …", view.n);
      break;
    case State::stopped:
      text = "stopped";
      break;
    case State::done:
      text = "done";
      break;
    case State::failed:
      text = "failed: " + view.failure;
      break;
  }
  ui::fitted(text, ImGui::GetColorU32(view.state == State::failed ? ui::error_colour() : aside_colour()),
             end - ImGui::GetCursorPosX());
}

}  // namespace convscope
