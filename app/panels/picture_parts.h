/// \file
/// What exported pictures have in common: a heading above, where they come from below, and the way they are painted.
#pragma once

#include <imgui.h>

#include <functional>
#include <string>

namespace convscope {

/// A picture as functions. All are called on the window's thread, with the ImGui and ImPlot contexts of the painter current and
/// the OpenGL context of the window. Sizes are in points of the usual size of type, whatever the scale of the picture.
struct PictureContents {
  std::function<bool()> prepare;    ///< optional, before any frame: some milliseconds a call, true when done
  std::function<ImVec2()> measure;  ///< within a frame: how large the picture is
  std::function<void()> draw;       ///< within a frame and window of that size
};

struct PictureText {
  std::string head;   ///< "smollm2-135m · layer 18 · head 8 · n 1024"
  std::string notes;  ///< what is drawn and how; may be empty
  std::string provenance;
};

/// The size of a picture whose contents, without heading and provenance, have this size.
ImVec2 framed_size(const PictureText& text, ImVec2 contents);

/// Draws heading, contents and provenance into the current window. `draw` begins at the cursor.
void draw_framed(const PictureText& text, ImVec2 contents, const std::function<void()>& draw);

/// A picture of one plot: `plot` fills the rest of the current child window, whose width it is told.
PictureContents plot_picture(PictureText text, std::function<void(float width)> plot);

}  // namespace convscope
