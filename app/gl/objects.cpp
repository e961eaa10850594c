#include "gl/objects.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace convscope::gl {
namespace {

/// A new texture, bound, clamped to its edge, with one filter for both directions and no mipmaps.
TextureHandle bind_new_texture(GLint filter) {
  GLuint name = 0;
  glGenTextures(1, &name);
  glBindTexture(GL_TEXTURE_2D, name);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, filter);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, filter);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAX_LEVEL, 0);
  // Others may have left row lengths and alignments of their own.
  glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  glPixelStorei(GL_UNPACK_ROW_LENGTH, 0);
  return TextureHandle(name);
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

ShaderHandle compile(GLenum kind, const char* source) {
  ShaderHandle shader(glCreateShader(kind));
  glShaderSource(shader.get(), 1, &source, nullptr);
  glCompileShader(shader.get());
  GLint done = GL_FALSE;
  glGetShaderiv(shader.get(), GL_COMPILE_STATUS, &done);
  if (done == GL_TRUE) return shader;
  std::array<char, 1024> log{};
  glGetShaderInfoLog(shader.get(), static_cast<GLsizei>(log.size()), nullptr, log.data());
  throw Error("OpenGL: the driver rejects a shader of the maps: " + first_line(log.data()));
}

}  // namespace

ValueTexture::ValueTexture(std::span<const float> values, int size) {
  if (values.size() != static_cast<std::size_t>(size) * static_cast<std::size_t>(size)) {
    throw Error("OpenGL: a value texture of side " + std::to_string(size) + " cannot be made of " +
                std::to_string(values.size()) + " values");
  }
  texture_ = bind_new_texture(GL_NEAREST);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_R32F, size, size, 0, GL_RED, GL_FLOAT, values.data());
}

LookupTexture::LookupTexture(const ColourTable& table) : texture_(bind_new_texture(GL_LINEAR)) {
  std::array<std::uint8_t, std::size_t{256} * 4> bytes{};
  const auto byte = [](float part) { return static_cast<std::uint8_t>(std::lround(std::clamp(part, 0.0F, 1.0F) * 255.0F)); };
  for (std::size_t i = 0; i < table.size(); ++i) {
    bytes[4 * i] = byte(table[i].r);
    bytes[4 * i + 1] = byte(table[i].g);
    bytes[4 * i + 2] = byte(table[i].b);
    bytes[4 * i + 3] = 255;
  }
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, 256, 1, 0, GL_RGBA, GL_UNSIGNED_BYTE, bytes.data());
}

PictureAtlas::PictureAtlas(std::size_t count, int side)
    : across_(static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(count))))), side_(side) {
  const int width = std::max(1, static_cast<int>(across_) * side);
  GLint largest = 0;
  glGetIntegerv(GL_MAX_TEXTURE_SIZE, &largest);
  if (width > largest) {
    throw Error("OpenGL: " + std::to_string(count) + " pictures of side " + std::to_string(side) +
                " need a texture larger than the driver's " + std::to_string(largest));
  }
  texture_ = bind_new_texture(GL_LINEAR);
  // Three halvings of a picture of 64 leave 8 pixels, and hardly any of its neighbours.
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAX_LEVEL, 3);
  const std::vector<std::uint8_t> nothing(static_cast<std::size_t>(width) * static_cast<std::size_t>(width) * 4, 0);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, width, width, 0, GL_RGBA, GL_UNSIGNED_BYTE, nothing.data());
  glGenerateMipmap(GL_TEXTURE_2D);
}

void PictureAtlas::set(std::size_t picture, std::span<const std::uint8_t> rgba) {
  const auto pixels = static_cast<std::size_t>(side_) * static_cast<std::size_t>(side_);
  if (rgba.size() != 4 * pixels) {
    throw Error("OpenGL: a picture of side " + std::to_string(side_) + " cannot be made of " + std::to_string(rgba.size()) +
                " bytes");
  }
  glBindTexture(GL_TEXTURE_2D, texture_.get());
  glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  glPixelStorei(GL_UNPACK_ROW_LENGTH, 0);
  const auto corner = [&](std::size_t position) { return static_cast<GLint>(position) * side_; };
  glTexSubImage2D(GL_TEXTURE_2D, 0, corner(picture % across_), corner(picture / across_), side_, side_, GL_RGBA, GL_UNSIGNED_BYTE,
                  rgba.data());
}

void PictureAtlas::finish() {
  glBindTexture(GL_TEXTURE_2D, texture_.get());
  glGenerateMipmap(GL_TEXTURE_2D);
}

PictureAtlas::Place PictureAtlas::place(std::size_t picture) const {
  const auto side = 1.0F / static_cast<float>(across_);
  // Half a pixel inside, so that linear reading does not reach the neighbours.
  const float inset = 0.5F * side / static_cast<float>(side_);
  const float left = side * static_cast<float>(picture % across_);
  const float top = side * static_cast<float>(picture / across_);
  return {left + inset, top + inset, left + side - inset, top + side - inset};
}

bool Canvas::resize(int width, int height) {
  if (width == width_ && height == height_) return false;
  texture_ = bind_new_texture(GL_NEAREST);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, nullptr);
  GLuint name = 0;
  glGenFramebuffers(1, &name);
  framebuffer_ = FramebufferHandle(name);
  GLint before = 0;
  glGetIntegerv(GL_FRAMEBUFFER_BINDING, &before);
  glBindFramebuffer(GL_FRAMEBUFFER, name);
  glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture_.get(), 0);
  const GLenum status = glCheckFramebufferStatus(GL_FRAMEBUFFER);
  glBindFramebuffer(GL_FRAMEBUFFER, static_cast<GLuint>(before));
  if (status != GL_FRAMEBUFFER_COMPLETE) {
    width_ = height_ = 0;
    throw Error("OpenGL: a picture of " + std::to_string(width) + " x " + std::to_string(height) +
                " pixels cannot be drawn into");
  }
  width_ = width;
  height_ = height;
  return true;
}

MultisampleCanvas::MultisampleCanvas(int width, int height, int samples) : width_(width) {
  GLint most = 1;
  glGetIntegerv(GL_MAX_SAMPLES, &most);
  GLuint name = 0;
  glGenRenderbuffers(1, &name);
  colour_ = RenderbufferHandle(name);
  glBindRenderbuffer(GL_RENDERBUFFER, name);
  glRenderbufferStorageMultisample(GL_RENDERBUFFER, std::min(samples, static_cast<int>(most)), GL_RGBA8, width, height);
  glBindRenderbuffer(GL_RENDERBUFFER, 0);
  glGenFramebuffers(1, &name);
  framebuffer_ = FramebufferHandle(name);
  GLint before = 0;
  glGetIntegerv(GL_FRAMEBUFFER_BINDING, &before);
  glBindFramebuffer(GL_FRAMEBUFFER, name);
  glFramebufferRenderbuffer(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_RENDERBUFFER, colour_.get());
  const GLenum status = glCheckFramebufferStatus(GL_FRAMEBUFFER);
  glBindFramebuffer(GL_FRAMEBUFFER, static_cast<GLuint>(before));
  if (status != GL_FRAMEBUFFER_COMPLETE) {
    throw Error("OpenGL: a smoothed picture of " + std::to_string(width) + " x " + std::to_string(height) +
                " pixels cannot be drawn into");
  }
}

void MultisampleCanvas::resolve(Canvas& target, int height) const {
  glBindFramebuffer(GL_READ_FRAMEBUFFER, framebuffer_.get());
  glBindFramebuffer(GL_DRAW_FRAMEBUFFER, target.framebuffer());
  glBlitFramebuffer(0, 0, width_, height, 0, 0, width_, height, GL_COLOR_BUFFER_BIT, GL_NEAREST);
}

SavedTarget::SavedTarget() {
  glGetIntegerv(GL_FRAMEBUFFER_BINDING, &framebuffer_);
  glGetIntegerv(GL_VIEWPORT, viewport_.data());
}

SavedTarget::~SavedTarget() {
  glBindFramebuffer(GL_FRAMEBUFFER, static_cast<GLuint>(framebuffer_));
  glViewport(viewport_[0], viewport_[1], viewport_[2], viewport_[3]);
}

Program::Program(const char* vertex_source, const char* fragment_source) : program_(glCreateProgram()) {
  const ShaderHandle vertex = compile(GL_VERTEX_SHADER, vertex_source);
  const ShaderHandle fragment = compile(GL_FRAGMENT_SHADER, fragment_source);
  glAttachShader(program_.get(), vertex.get());
  glAttachShader(program_.get(), fragment.get());
  glLinkProgram(program_.get());
  GLint done = GL_FALSE;
  glGetProgramiv(program_.get(), GL_LINK_STATUS, &done);
  if (done == GL_TRUE) return;
  std::array<char, 1024> log{};
  glGetProgramInfoLog(program_.get(), static_cast<GLsizei>(log.size()), nullptr, log.data());
  throw Error("OpenGL: the driver rejects the program of the maps: " + first_line(log.data()));
}

}  // namespace convscope::gl
