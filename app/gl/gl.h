/// \file
/// OpenGL 3.3 core, through the loader that GLFW's sources bring along. Everything in gl/ is for the one thread that owns the
/// context, and its objects must go before the context does.
#pragma once

#include <glad/gl.h>

#include <stdexcept>

namespace convscope::gl {

/// OpenGL could not do what the program needs: too old, out of memory, a shader the driver rejects. One line.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Loads the functions of the current context. `resolve` is glfwGetProcAddress or its like. Throws Error when the context is
/// older than OpenGL 3.3. May be called again.
void load(GLADloadfunc resolve);

}  // namespace convscope::gl
