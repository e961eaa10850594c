// The one place that compiles the loader.
#define GLAD_GL_IMPLEMENTATION
#include "gl/gl.h"

#include <string>

namespace convscope::gl {

void load(GLADloadfunc resolve) {
  const int version = gladLoadGL(resolve);
  if (version == 0) throw Error("OpenGL: no current context");
  const int major = GLAD_VERSION_MAJOR(version);
  const int minor = GLAD_VERSION_MINOR(version);
  if (major < 3 || (major == 3 && minor < 3)) {
    throw Error("OpenGL: found version " + std::to_string(major) + "." + std::to_string(minor) + ", needed is 3.3 or newer");
  }
}

}  // namespace convscope::gl
