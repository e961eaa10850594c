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

/// What is asked of the measuring by whoever owns it.
class RuntimePanel {
 public:
  /// Drawn while visible only, and only then says what to measure.
  void draw(const Session& session, RuntimeMeasurer& measurer);

 private:
  static void draw_buttons(const RuntimeView& view, RuntimeMeasurer& measurer);
  void draw_plot(const RuntimeView& view, Index n, float height);
  /// Where the two methods cross, and what the shown n takes.
  static std::string findings(const RuntimeView& view, Index n);
  static std::string state_line(const RuntimeView& view);

  std::size_t fitted_points_ = 0;  ///< how many points the axes were last fitted to
};

}  // namespace convscope
