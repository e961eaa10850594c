/// \file
/// The line at the bottom of the window: what is under the cursor, what ran, what is running, what went wrong.
#pragma once

#include "state/map_view.h"
#include "state/session.h"

namespace convscope {

/// Draws the bar, and above it a strip with the error or notice when there is one. Call before the dock space is laid out: both
/// take their height from the main viewport.
void draw_status_bar(Session& session, const MapView& view);

}  // namespace convscope
