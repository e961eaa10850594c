/// \file
/// How the window looks: fonts, colours, sizes.
#pragma once

#include "window/window.h"

namespace convscope {

/// Loads the program's fonts in the order that panels/ui.h expects. Once, before the first frame.
void load_fonts();

/// Sets the whole style of Dear ImGui and ImPlot. `ui_scale` is the user's wish, `display_scale` the screen's. Between frames
/// only.
void apply_theme(Theme theme, double ui_scale, double display_scale);

}  // namespace convscope
