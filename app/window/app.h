/// \file
/// The whole window as an object: what run_window, run_snapshot and the tests drive.
#pragma once

#include "panels/attention_maps.h"
#include "panels/basis_panel.h"
#include "panels/heads_panel.h"
#include "panels/parameters_panel.h"
#include "panels/residual_errors_panel.h"
#include "panels/runtime_panel.h"
#include "panels/source_panel.h"
#include "state/error_curve.h"
#include "state/map_view.h"
#include "state/runtime_measurer.h"
#include "state/session.h"
#include "state/settings.h"
#include "window/actions.h"
#include "window/exporter.h"
#include "window/picture.h"
#include "window/platform.h"
#include "window/window.h"

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace convscope {

struct AppOptions {
  WindowOptions window;
  int width = 1600;  ///< pixels
  int height = 1000;
  bool visible = true;                  ///< an invisible window has exactly width x height pixels and takes input from tests only
  bool measure = true;                  ///< runtime curves are measured while nothing else is done
  std::filesystem::path settings_file;  ///< where look and layout are kept; empty: nowhere
};

/// One window and all that is behind it. One at a time, one thread.
class App {
 public:
  /// Opens the window and begins to open the files, or the example. Throws NoDisplay.
  explicit App(const AppOptions& options);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  /// Waits up to `seconds` for an event and draws when there is a reason to. Returns whether it drew.
  bool step(double seconds);
  /// Draws now, whether or not there is a reason.
  void frame();
  /// Draws now and returns the picture.
  Picture grab();
  bool closed() const { return glfwWindowShouldClose(platform_.window()) != GLFW_FALSE; }
  /// True when nothing is being computed and all that is on screen is complete.
  bool settled() const;
  /// True while runtime curves are being measured or about to be; settled() does not wait for them.
  bool measuring() const { return measure_ && runtime_.state() != IdleWorker::State::idle; }
  std::size_t frames_drawn() const { return frames_drawn_; }

  Session& session() { return session_; }
  MapView& view() { return view_; }
  const ParametersPanel& parameters() const { return parameters_; }
  HeadsPanel& heads() { return heads_; }
  ResidualErrorsPanel& errors() { return errors_; }
  ErrorCurve& error_curve() { return error_curve_; }
  RuntimeMeasurer& runtime() { return runtime_; }
  /// Begins an export as the dialog does. False while another one runs, or without an analysis.
  bool start_export(const ExportWish& wish) { return exporter_.start(wish, export_inputs()); }
  const Exporter& exporter() const { return exporter_; }

 private:
  void listen();
  static void draw_soon(GLFWwindow* window);
  /// Returns what is wrong with the saved look, if anything.
  std::string load_look(const WindowOptions& wishes);
  void make_actions();
  void wake();
  /// Until a frame is needed without any event.
  double seconds_to_next_pulse() const;
  void render(GLuint framebuffer);
  void draw();
  void draw_dock_space();
  void draw_menu_bar();
  void draw_panels();
  /// Lets background work that can wait go on only while nothing else needs the machine.
  void pace_background(bool curve_shown, bool runtime_shown);
  void draw_about();
  Exporter::Inputs export_inputs() { return {session_, view_, basis_, errors_, settings_.dark}; }
  void set_ui_scale(double scale);
  void set_theme(Theme theme);
  void save_look();
  void report_broken_frame(const char* problem);

  Platform platform_;  // first: everything below needs the context
  bool visible_;
  int width_, height_;  ///< of an invisible window
  std::filesystem::path settings_file_;
  Settings settings_;
  bool look_changed_ = true;  ///< the theme is applied before the next frame
  bool layout_wanted_ = false;
  bool focus_wanted_ = true;  ///< away from all panels
  bool about_wanted_ = false;
  std::vector<Action> actions_;

  std::atomic<bool> woken_{false};  ///< set by worker threads
  int frames_due_ = 3;
  double last_event_ = -1e9;  ///< of the user, in GLFW's seconds
  double last_input_ = -1e9;  ///< likewise, but only what ImGui was told of
  std::size_t frames_drawn_ = 0;
  int broken_frames_ = 0;  ///< in a row

  MapView view_;
  SourcePanel source_;
  ParametersPanel parameters_;
  BasisPanel basis_;
  ResidualErrorsPanel errors_;
  RuntimePanel runtime_panel_;
  bool measure_;
  // Last: their threads call wake(), and their textures go before the context.
  Session session_;
  ErrorCurve error_curve_;
  RuntimeMeasurer runtime_;
  AttentionMaps maps_;
  HeadsPanel heads_;
  Exporter exporter_;
};

}  // namespace convscope
