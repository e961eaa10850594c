/// \file
/// Textures, an off-screen picture and a shader program, as little of each as the maps need.
#pragma once

#include "gl/handle.h"
#include "view/colour_map.h"

#include <array>
#include <cstddef>
#include <cstdint>
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

/// Many small square RGBA pictures in one texture, side by side, with mipmaps: to be shown at any size. All of them are
/// transparent at first.
class PictureAtlas {
 public:
  /// Room for `count` pictures of `side` (a power of two) pixels. Throws Error when the driver has no texture that large.
  PictureAtlas(std::size_t count, int side);
  int side() const { return side_; }
  /// Replaces a picture: side * side pixels of 8-bit RGBA. Throws Error for another number. Call finish() after the last one.
  void set(std::size_t picture, std::span<const std::uint8_t> rgba);
  /// Makes the smaller copies.
  void finish();
  GLuint name() const { return texture_.get(); }

  struct Place {
    float left, top, right, bottom;  ///< texture coordinates
  };
  Place place(std::size_t picture) const;

 private:
  TextureHandle texture_;
  std::size_t across_;
  int side_;
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

/// A picture that is drawn with several samples for each pixel, so that slanted lines are smooth, and then resolved into a
/// Canvas.
class MultisampleCanvas {
 public:
  /// Throws Error.
  MultisampleCanvas(int width, int height, int samples);
  GLuint framebuffer() const { return framebuffer_.get(); }
  /// Copies the lower `height` lines into `target`, which is at least as large. The bound framebuffers change.
  void resolve(Canvas& target, int height) const;

 private:
  RenderbufferHandle colour_;
  FramebufferHandle framebuffer_;
  int width_;
};

/// Keeps the bound framebuffer and the viewport, and brings them back at its end: what drawing into a canvas changes and the rest
/// of the frame relies on.
class SavedTarget {
 public:
  SavedTarget();
  ~SavedTarget();
  SavedTarget(const SavedTarget&) = delete;
  SavedTarget& operator=(const SavedTarget&) = delete;

 private:
  GLint framebuffer_ = 0;
  std::array<GLint, 4> viewport_{};
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
