/// \file
/// How the three backward passes look everywhere: one colour and one marker each.
#pragma once

#include "state/training_request.h"
#include "view/palette.h"

#include <imgui.h>
#include <implot.h>

#include <cfloat>

namespace convscope {

constexpr Subject subject_of(Backward backward) {
  switch (backward) {
    case Backward::exact:
      return Subject::exact;
    case Backward::estimate:
      return Subject::estimate;
    case Backward::conv:
      return Subject::conv;
  }
  return Subject::exact;
}

constexpr ImPlotMarker marker_of(Backward backward) {
  switch (backward) {
    case Backward::exact:
      return ImPlotMarker_Circle;
    case Backward::estimate:
      return ImPlotMarker_Square;
    case Backward::conv:
      return ImPlotMarker_Diamond;
  }
  return ImPlotMarker_Circle;
}

/// Its name behind a dot in its colour: title_of(), or name_of() where that is wider than `room` pixels.
void draw_backward_name(Backward backward, float room = FLT_MAX);
/// What it computes, for a tooltip.
const char* help_of(Backward backward);

}  // namespace convscope
