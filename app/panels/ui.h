/// \file
/// The small widgets that all panels share, so that they look alike. Window thread only, between NewFrame and Render.
#pragma once

#include "state/slider_scale.h"
#include "view/palette.h"

#include <imgui.h>

#include <string>
#include <string_view>

namespace convscope::ui {

/// The faces in the order in which the window loads them: proportional for text, monospaced for numbers, bold for titles.
ImFont* text_font();
ImFont* mono_font();
ImFont* bold_font();

ImU32 colour(Rgb rgb, float alpha = 1.0F);
ImVec4 warning_colour();  ///< amber, readable on the panels of both themes
ImVec4 error_colour();    ///< red, likewise
/// True when the panels are dark.
bool is_dark();

/// Text in the mono face; in the dimmed colour; in bold.
void number(std::string_view text);
void dim(std::string_view text);
void bold(std::string_view text);
/// The title of a panel: its tab bar is hidden until the user wants to move it.
void title(const char* words);
/// A "?" at the right end of the panel's title, whose tooltip explains the panel: what it shows, its formula, what to do with it.
/// Called before title(), which then starts where it would have without the mark.
void help_mark(std::string_view text);
/// Text that wraps at the panel's edge.
void wrapped(std::string_view text);
void wrapped(std::string_view text, const ImVec4& colour);
/// Text cut with an ellipsis at `room` pixels, or at the panel's edge, whole in its tooltip; `text_colour` 0 means the usual one.
void fitted(const std::string& text, ImU32 text_colour = 0, float room = 0.0F);
/// A tooltip for the item before.
void tooltip(std::string_view text);
/// A dimmed sentence in the middle of the rest of the panel: what to do when there is nothing to show.
void empty_state(std::string_view text);

/// One choice of a row of them, drawn pressed when it is the current one. True when chosen.
bool choice(const char* label, bool current);

/// A slider: thin track, round knob. True when `value` changed. A double or ctrl-click sets `wants_entry`: the user would rather
/// type the number.
bool slider(const char* id, double& value, const SliderScale& scale, float width, bool& wants_entry);

}  // namespace convscope::ui
