/// \file
/// The panel of runtime curves: time against n of every method, measured on this machine, now.
#pragma once

#include "state/runtime_measurer.h"
#include "state/session.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

class RuntimePanel {
 public:
  /// Drawn while visible only, and only then says what to measure.
  void draw(const Session& session, RuntimeMeasurer& measurer);

 private:
  static void draw_buttons(const RuntimeView& view, RuntimeMeasurer& measurer);
  /// The methods in their colours with their slopes, over as many lines as they need.
  static void draw_legend(std::span<const CurvePoint> points);
  void draw_plot(const RuntimeView& view, Index n, float height);
  /// Where exact and conv cross, and where the shown n is on their curves.
  static void draw_marks(std::span<const CurvePoint> points, Index n);
  /// Where the two methods cross, and what the shown n takes.
  static std::string findings(const RuntimeView& view, Index n);
  /// With what the times were taken.
  static std::string conditions_text(const RuntimeView& view);
  static void draw_state(const RuntimeView& view);

  std::size_t fitted_points_ = 0;  ///< how many points the axes were last fitted to
};

}  // namespace convscope
