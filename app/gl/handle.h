/// \file
/// Ownership of one OpenGL object name.
#pragma once

#include "gl/gl.h"

#include <utility>

namespace convscope::gl {

/// Holds a name and deletes it with `Delete`; movable, not copyable. Zero is "none".
template <void (*Delete)(GLuint)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(GLuint name) : name_(name) {}
  ~Handle() {
    if (name_ != 0) Delete(name_);
  }
  Handle(Handle&& other) noexcept : name_(std::exchange(other.name_, 0)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(name_, other.name_);
    return *this;
  }
  GLuint get() const { return name_; }

 private:
  GLuint name_ = 0;
};

inline void delete_texture(GLuint name) { glDeleteTextures(1, &name); }
inline void delete_framebuffer(GLuint name) { glDeleteFramebuffers(1, &name); }
inline void delete_renderbuffer(GLuint name) { glDeleteRenderbuffers(1, &name); }
inline void delete_vertex_array(GLuint name) { glDeleteVertexArrays(1, &name); }
inline void delete_shader(GLuint name) { glDeleteShader(name); }
inline void delete_program(GLuint name) { glDeleteProgram(name); }

using TextureHandle = Handle<delete_texture>;
using FramebufferHandle = Handle<delete_framebuffer>;
using RenderbufferHandle = Handle<delete_renderbuffer>;
using VertexArrayHandle = Handle<delete_vertex_array>;
using ShaderHandle = Handle<delete_shader>;
using ProgramHandle = Handle<delete_program>;

}  // namespace convscope::gl
