/// \file
/// Textures, an off-screen picture and a shader program, as little of each as the maps need.
#pragma once

#include "gl/handle.h"
#include "view/colour_map.h"

#include <span>

namespace convscope::gl {

/// A square of float values, one channel, read with nearest sampling. Throws Error unless there are size * size values.
class ValueTexture {
 public:
  ValueTexture(std::span<const float> values, int size);
  GLuint name() const { return texture_.get(); }

 private:
  TextureHandle texture_;
};

/// The 256 colours of a colour map, as a 256 x 1 texture with linear sampling.
class LookupTexture {
 public:
  explicit LookupTexture(const ColourTable& table);
  GLuint name() const { return texture_.get(); }

 private:
  TextureHandle texture_;
};

/// A picture that can be drawn into and then shown: 8-bit RGBA, nearest sampling.
class Canvas {
 public:
  /// Makes the picture width x height pixels (each >= 1) large. False when it already is, and then keeps it. Throws Error.
  bool resize(int width, int height);
  int width() const { return width_; }
  int height() const { return height_; }
  GLuint texture() const { return texture_.get(); }
  GLuint framebuffer() const { return framebuffer_.get(); }

 private:
  TextureHandle texture_;
  FramebufferHandle framebuffer_;
  int width_ = 0, height_ = 0;
};

/// A linked program. Throws Error with the driver's first complaint.
class Program {
 public:
  Program(const char* vertex_source, const char* fragment_source);
  GLuint name() const { return program_.get(); }
  GLint uniform(const char* name) const { return glGetUniformLocation(program_.get(), name); }

 private:
  ProgramHandle program_;
};

}  // namespace convscope::gl
