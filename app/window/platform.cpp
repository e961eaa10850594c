#include "window/platform.h"

#include "gl/gl.h"

#include <imgui.h>
#include <imgui_impl_glfw.h>
#include <imgui_impl_opengl3.h>
#include <implot.h>

#include <algorithm>
#include <cstdlib>

namespace convscope {

namespace {

std::string glfw_problem() {
  const char* text = nullptr;
  glfwGetError(&text);
  return text ? text : "unknown reason";
}

/// Not larger than the part of the screen that is free.
void fit_to_screen(int& width, int& height) {
  GLFWmonitor* monitor = glfwGetPrimaryMonitor();
  if (!monitor) return;
  int x = 0;
  int y = 0;
  int free_width = 0;
  int free_height = 0;
  glfwGetMonitorWorkarea(monitor, &x, &y, &free_width, &free_height);
  if (free_width > 0) width = std::min(width, free_width);
  if (free_height > 0) height = std::min(height, free_height);
}

}  // namespace

Platform::Platform(const std::string& title, int width, int height, bool visible) {
  // Asking for a Wayland display that is not there makes its library print a complaint of its own.
  const bool only_x11 =
      glfwPlatformSupported(GLFW_PLATFORM_X11) && !std::getenv("WAYLAND_DISPLAY") && !std::getenv("WAYLAND_SOCKET");
  glfwInitHint(GLFW_PLATFORM, only_x11 ? GLFW_PLATFORM_X11 : GLFW_ANY_PLATFORM);
  try {
    open(title, width, height, visible);
  } catch (const NoDisplay&) {
    if (visible) throw;
    // GLFW's platform without a display draws through EGL, where there is one.
    glfwInitHint(GLFW_PLATFORM, GLFW_PLATFORM_NULL);
    open(title, width, height, visible);
  }
}

void Platform::open(const std::string& title, int width, int height, bool visible) {
  if (glfwInit() == GLFW_FALSE) throw NoDisplay(glfw_problem());
  const bool off_screen = glfwGetPlatform() == GLFW_PLATFORM_NULL;
  glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
  glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 3);
  glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
  glfwWindowHint(GLFW_OPENGL_FORWARD_COMPAT, GLFW_TRUE);
  glfwWindowHint(GLFW_CONTEXT_CREATION_API, off_screen ? GLFW_EGL_CONTEXT_API : GLFW_NATIVE_CONTEXT_API);
  glfwWindowHint(GLFW_SCALE_TO_MONITOR, visible ? GLFW_TRUE : GLFW_FALSE);
  glfwWindowHint(GLFW_VISIBLE, visible ? GLFW_TRUE : GLFW_FALSE);
  if (visible) fit_to_screen(width, height);
  window_ = glfwCreateWindow(width, height, title.c_str(), nullptr, nullptr);
  try {
    if (!window_) throw NoDisplay(glfw_problem());
    glfwMakeContextCurrent(window_);
    glfwSwapInterval(visible ? 1 : 0);
    gl::load(glfwGetProcAddress);
  } catch (const std::runtime_error& error) {
    // The destructor of an object that was never finished does not run.
    glfwTerminate();
    window_ = nullptr;
    throw NoDisplay(error.what());
  }
}

Platform::~Platform() {
  if (imgui_started_) {
    ImGui_ImplOpenGL3_Shutdown();
    ImGui_ImplGlfw_Shutdown();
    ImPlot::DestroyContext();
    ImGui::DestroyContext();
  }
  glfwDestroyWindow(window_);
  glfwTerminate();
}

double Platform::display_scale() const {
  float x = 1.0F;
  float y = 1.0F;
  glfwGetWindowContentScale(window_, &x, &y);
  return x > 0.0F ? x : 1.0;
}

void Platform::start_imgui() {
  ImGui::CreateContext();
  ImPlot::CreateContext();
  ImGuiIO& io = ImGui::GetIO();
  io.ConfigFlags |= ImGuiConfigFlags_DockingEnable;
  io.ConfigWindowsMoveFromTitleBarOnly = true;
  // Dear ImGui would truncate the file in place; the window saves it itself.
  io.IniFilename = nullptr;
  io.IniSavingRate = 2.0F;  // seconds after the last change
  ImGui_ImplGlfw_InitForOpenGL(window_, true);
  ImGui_ImplOpenGL3_Init("#version 330 core");
  imgui_started_ = true;
}

std::string renderer_name() {
  const auto text = [](GLenum name) {
    const auto* value = reinterpret_cast<const char*>(glGetString(name));
    return std::string(value ? value : "?");
  };
  return text(GL_RENDERER) + ", OpenGL " + text(GL_VERSION);
}

}  // namespace convscope
