/// \file
/// The plots of the Training panel: loss and gradient error against the step, time of a step against n.
#pragma once

#include "state/training_runner.h"
#include "state/training_times.h"

#include <imgui.h>

#include <cstdint>

namespace convscope {

/// Window thread only, in a window of Dear ImGui. Sizes as ImPlot takes them.
class TrainingCurves {
 public:
  /// Loss of every run's own forward, logarithmic where it falls far; the earlier experiment's faint.
  void draw_loss(const TrainingView& view, ImVec2 size);
  /// ||g − exact|| / ||exact|| of the ways that are not exact.
  void draw_error(const TrainingView& view, ImVec2 size);
  void draw_times(const StepTimesView& times, ImVec2 size);

 private:
  std::uint64_t fitted_loss_ = 0, fitted_error_ = 0;  ///< versions of the view that the axes were last fitted to
  std::size_t fitted_times_ = 0;                      ///< how many points they were
};

}  // namespace convscope
