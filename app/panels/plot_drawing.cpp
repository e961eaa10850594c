#include "panels/plot_drawing.h"

#include "panels/ui.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace convscope {

namespace {

constexpr float dash = 4.0F;  // pixels at the usual size of type, and as much between two

float dash_length() { return std::max(2.0F, std::round(dash * ImGui::GetFontSize() / 14.0F)); }

void draw_dashes(ImDrawList* draw, ImVec2 from, ImVec2 to, ImU32 ink, float thickness) {
  const float length = std::hypot(to.x - from.x, to.y - from.y);
  const float step = dash_length();
  if (!(length > 0.0F) || length > 1e5F) return;
  const ImVec2 along((to.x - from.x) / length, (to.y - from.y) / length);
  for (float at = 0.0F; at < length; at += 2.0F * step) {
    const float end = std::min(at + step, length);
    draw->AddLine({from.x + along.x * at, from.y + along.y * at}, {from.x + along.x * end, from.y + along.y * end}, ink,
                  thickness);
  }
}

int write_seconds(double value, char* buffer, int size, void*) {
  struct Unit {
    double factor;
    const char* name;
  };
  const Unit unit = value >= 0.999 ? Unit{1.0, "s"} : value >= 0.999e-3 ? Unit{1e3, "ms"} : Unit{1e6, "us"};
  return std::snprintf(buffer, static_cast<std::size_t>(size), "%.3g %s", value * unit.factor, unit.name);
}

}  // namespace

ImVec4 subject_colour(Subject subject, float alpha) {
  const Rgb rgb = colour_of(subject, ui::is_dark());
  return {rgb.r, rgb.g, rgb.b, alpha};
}

ImVec4 aside_colour() { return ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled); }

void draw_dashed(std::span<const double> x, std::span<const double> y, const ImVec4& colour) {
  ImPlot::PushPlotClipRect();
  const ImU32 ink = ImGui::GetColorU32(colour);
  for (std::size_t at = 1; at < x.size(); ++at) {
    draw_dashes(ImPlot::GetPlotDrawList(), ImPlot::PlotToPixels(x[at - 1], y[at - 1]), ImPlot::PlotToPixels(x[at], y[at]), ink,
                1.5F);
  }
  ImPlot::PopPlotClipRect();
}

void draw_vertical_mark(double x, const std::string& label, const ImVec4& colour, int line) {
  const ImVec2 corner = ImPlot::GetPlotPos();
  const ImVec2 size = ImPlot::GetPlotSize();
  const float place = std::round(ImPlot::PlotToPixels(x, 1.0).x);
  if (!(place >= corner.x && place <= corner.x + size.x)) return;
  ImPlot::PushPlotClipRect();
  ImDrawList* draw = ImPlot::GetPlotDrawList();
  const ImU32 ink = ImGui::GetColorU32(colour);
  draw_dashes(draw, {place, corner.y}, {place, corner.y + size.y}, ink, 1.0F);
  const ImVec2 text = ImGui::CalcTextSize(label.c_str());
  const float gap = std::round(text.y / 4.0F);
  const bool to_the_right = place + gap + text.x < corner.x + size.x || place - corner.x < size.x / 2.0F;
  draw->AddText({to_the_right ? place + gap : place - gap - text.x, corner.y + text.y * static_cast<float>(line) + gap}, ink,
                label.c_str());
  ImPlot::PopPlotClipRect();
}

void setup_seconds_axis(ImAxis axis) {
  ImPlot::SetupAxisScale(axis, ImPlotScale_Log10);
  ImPlot::SetupAxisFormat(axis, write_seconds);
}

void setup_power_axis(ImAxis axis, double low, double high, int most) {
  const int first = static_cast<int>(std::ceil(std::log2(low) - 1e-9));
  const int last = std::max(first, static_cast<int>(std::floor(std::log2(high) + 1e-9)));
  const int step = 1 + (last - first) / std::max(most, 1);
  std::vector<double> ticks;
  std::vector<std::string> labels;
  for (int power = first; power <= last; power += step) {
    ticks.push_back(std::exp2(power));
    labels.push_back(fmt::format("{:.0f}", ticks.back()));
  }
  std::vector<const char*> pointers;
  pointers.reserve(labels.size());
  for (const std::string& label : labels) pointers.push_back(label.c_str());
  ImPlot::SetupAxisScale(axis, ImPlotScale_Log10);
  ImPlot::SetupAxisTicks(axis, ticks.data(), static_cast<int>(ticks.size()), pointers.data());
}

}  // namespace convscope
