/// \file
/// How messages look: banners across the window, toasts in its corner, and the log as a panel.
#pragma once

#include "panels/ui.h"
#include "state/messages.h"

#include <functional>
#include <string>

namespace convscope {

/// Draws the banners above the status bar; `dismiss` is called with the key of the one that the user is done with. Call before
/// the dock space is laid out: they take their height from the main viewport.
void draw_banners(const Messages& messages, const std::function<void(const std::string&)>& dismiss);

/// Draws the toasts over everything, the newest lowest, above whatever is at the bottom of the window. They take no clicks: what
/// lies below them can be used.
void draw_toasts(const Messages& messages, double now);

/// Draws the contents of its panel.
class LogPanel {
 public:
  void draw(Messages& messages);

 private:
  Severity least_ = Severity::note;
};

}  // namespace convscope
