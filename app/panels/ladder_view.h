/// \file
/// The ladder of a head, a bar for each rung: what each ingredient leaves of the error, and what it costs.
#pragma once

#include "state/head_ladder.h"
#include "state/session.h"

#include <imgui.h>

namespace convscope {

class LadderView {
 public:
  /// Fills `width` and the height that is left. The numbers above it set band, columns and k of the session.
  void draw(Session& session, const HeadLadder& ladder, float width);

 private:
  static void draw_settings(Session& session);
  static void draw_rungs(const convbasis::Ladder& ladder, bool stale);
};

}  // namespace convscope
