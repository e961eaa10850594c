/// \file
/// GLFW, one window with OpenGL 3.3 core, and Dear ImGui with ImPlot on it: opened and closed in the right order.
#pragma once

#include <GLFW/glfw3.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace convscope {

/// There is no display, or none with OpenGL 3.3. One line.
class NoDisplay : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One at a time. All of it is for the thread that made it.
class Platform {
 public:
  /// Opens the window, visible or not, and makes its context current. Without a display an invisible window needs none where the
  /// system offers OpenGL off screen (EGL). Throws NoDisplay.
  Platform(const std::string& title, int width, int height, bool visible);
  ~Platform();
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;

  GLFWwindow* window() const { return window_; }
  /// Pixels of the screen for one pixel of a usual one.
  double display_scale() const;
  /// Connects Dear ImGui to the window. Callbacks that were set on the window before keep being called.
  void start_imgui();

 private:
  void open(const std::string& title, int width, int height, bool visible);

  GLFWwindow* window_ = nullptr;
  bool imgui_started_ = false;
};

/// "llvmpipe ..., OpenGL 4.5" and the like, of the current context.
std::string renderer_name();

}  // namespace convscope
