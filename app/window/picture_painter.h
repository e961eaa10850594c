/// \file
/// Paints pictures off screen, at any scale, beside the window: with ImGui and ImPlot contexts of its own.
#pragma once

#include "gl/objects.h"
#include "panels/picture_parts.h"
#include "window/picture.h"
#include "window/window.h"

#include <memory>

namespace convscope {

/// One picture at a time, in steps of some milliseconds, so that the window keeps drawing. Window thread only, between frames or
/// within one: the current contexts, framebuffer and viewport are restored by each call.
class PicturePainter {
 public:
  PicturePainter();
  ~PicturePainter();
  PicturePainter(const PicturePainter&) = delete;
  PicturePainter& operator=(const PicturePainter&) = delete;

  /// Begins a picture in place of an unfinished one. `scale` is pixels for a point, at least 1.
  void begin(PictureContents contents, Theme theme, int scale);
  /// True when the picture is finished, or none was begun. When it throws, the picture is given up.
  bool step();
  /// Forgets an unfinished picture and all that it is made of.
  void abandon();
  /// The finished picture.
  Picture take();

 private:
  class Contexts;
  void lay_out();
  void paint_strip();

  PictureContents contents_;
  int scale_ = 1;
  std::unique_ptr<Contexts> contexts_;  ///< null: nothing is being painted
  ImVec2 size_;                         ///< of the picture in points; zero until it is laid out
  bool prepared_ = false;
  int strip_height_ = 0;  ///< points
  int painted_ = 0;       ///< lines of the picture, in points
  gl::Canvas canvas_;
  std::unique_ptr<gl::MultisampleCanvas> samples_;
  Picture picture_;
};

}  // namespace convscope
