/// \file
/// The line at the bottom of the window: what is under the cursor, what ran, what is running.
#pragma once

#include "state/map_view.h"
#include "state/session.h"

namespace convscope {

/// Draws the bar. Call before the dock space is laid out: it takes its height from the main viewport.
void draw_status_bar(Session& session, const MapView& view);

}  // namespace convscope
