/// \file
/// What several plots share: colours of subjects, dashed lines, marks with a label, axes of times and of counts. Window thread
/// only; all but subject_colour between ImPlot's BeginPlot and EndPlot.
#pragma once

#include "view/palette.h"

#include <imgui.h>
#include <implot.h>

#include <span>
#include <string>

namespace convscope {

/// The colour of a subject for the theme in use.
ImVec4 subject_colour(Subject subject, float alpha = 1.0F);
/// The ink of what is beside the point: the dimmed text's.
ImVec4 aside_colour();

/// Lines between consecutive points (x[i], y[i]) in plot coordinates, dashed. Not in the legend.
void draw_dashed(std::span<const double> x, std::span<const double> y, const ImVec4& colour);

/// A dashed vertical line through the whole plot with `label` beside it, `line` lines below its top.
void draw_vertical_mark(double x, const std::string& label, const ImVec4& colour, int line = 0);

/// The axis is logarithmic in seconds: "10 us", "1 ms", "1 s" at powers of ten.
void setup_seconds_axis(ImAxis axis);
/// The axis is logarithmic in whole numbers from `low` to `high`: ticks at powers of two, thinned to at most `most`.
void setup_power_axis(ImAxis axis, double low, double high, int most = 7);

}  // namespace convscope
