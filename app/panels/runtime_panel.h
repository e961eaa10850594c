/// \file
/// The panel of runtime curves: time against n of every method, measured on this machine, now.
#pragma once

#include "state/runtime_measurer.h"
#include "state/session.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

class RuntimePanel {
 public:
  /// Drawn while visible only, and only then says what to measure: on the CPU, and on the GPU unless that is null.
  void draw(const Session& session, RuntimeMeasurer& measurer, const std::shared_ptr<const convbasis::Accelerator>& gpu);

 private:
  static void draw_buttons(const RuntimeView& view, RuntimeMeasurer& measurer);
  /// The methods in their colours with their slopes, over as many lines as they need; in a low panel the slopes may be left to
  /// the tooltips.
  static void draw_legend(std::span<const CurvePoint> points, bool low);
  void draw_plot(const RuntimeView& view, Index n, float height);
  /// Where exact and conv cross, and where the shown n is on their curves.
  static void draw_marks(std::span<const CurvePoint> points, Index n);
  /// Those of the GPU on a line of their own, or in a low panel behind the others where they fit, and in the tooltip.
  static void draw_findings(std::span<const CurvePoint> points, Index n, bool low);
  /// With what the times were taken.
  static std::string conditions_text(const RuntimeView& view);
  static void draw_state(const RuntimeView& view);

  std::size_t fitted_points_ = 0;  ///< how many points the axes were last fitted to
};

/// What n tokens take on the CPU, and from which n on conv attention pays: a line for people.
std::string runtime_findings(std::span<const CurvePoint> points, Index n);
/// "GPU exact 400 us, GPU conv 500 us": what n tokens take there; empty where nothing was measured.
std::string gpu_findings(std::span<const CurvePoint> points, Index n);

}  // namespace convscope
