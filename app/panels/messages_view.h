/// \file
/// How messages look: banners across the window, toasts in its corner, and the log as a panel.
#pragma once

#include "panels/ui.h"
#include "state/messages.h"

#include <functional>
#include <string>

namespace convscope {

/// What is called with the key of the banner whose button was pressed.
struct BannerAnswers {
  std::function<void(const std::string&)> dismiss;  ///< the user is done with it
  std::function<void(const std::string&)> accept;   ///< the user takes its offer
};

/// Draws the banners above the status bar. Call before the dock space is laid out: they take their height from the main viewport.
void draw_banners(const Messages& messages, const BannerAnswers& answers);

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
