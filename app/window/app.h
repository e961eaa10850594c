/// \file
/// The whole window as an object: what run_window, run_snapshot and the tests drive.
#pragma once

#include "panels/attention_maps.h"
#include "panels/basis_panel.h"
#include "panels/compare_panel.h"
#include "panels/heads_panel.h"
#include "panels/messages_view.h"
#include "panels/parameters_panel.h"
#include "panels/residual_errors_panel.h"
#include "panels/runtime_panel.h"
#include "panels/source_panel.h"
#include "panels/tensor_roles.h"
#include "panels/training_panel.h"
#include "state/device_choice.h"
#include "state/error_curve.h"
#include "state/head_gradients.h"
#include "state/head_ladder.h"
#include "state/map_view.h"
#include "state/messages.h"
#include "state/runtime_measurer.h"
#include "state/session.h"
#include "state/session_file.h"
#include "state/settings.h"
#include "state/training_runner.h"
#include "state/training_times.h"
#include "state/undo.h"
#include "window/actions.h"
#include "window/exporter.h"
#include "window/go_to_dialog.h"
#include "window/layout.h"
#include "window/palette.h"
#include "window/picture.h"
#include "window/platform.h"
#include "window/recent_menu.h"
#include "window/save_dialog.h"
#include "window/shortcut_list.h"
#include "window/window.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

struct AppOptions {
  WindowOptions window;
  int width = 1600;  ///< pixels; a visible window has the size that was saved, if one was
  int height = 1000;
  bool visible = true;                  ///< an invisible window has exactly width x height pixels and takes input from tests only
  bool measure = false;                 ///< runtime curves are measured while nothing else is done
  std::filesystem::path settings_file;  ///< where look and layout are kept, and the last session beside it; empty: nowhere
  DeviceChoice::Load load_gpu = open_gpu;
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
  /// True while runtime curves are being measured or about to be, which they are in sight only; settled() does not wait for
  /// them.
  bool measuring() const { return measure_ && runtime_shown_ && runtime_.state() != IdleWorker::State::idle; }
  std::size_t frames_drawn() const { return frames_drawn_; }

  Session& session() { return session_; }
  MapView& view() { return view_; }
  Messages& messages() { return messages_; }
  /// Everything that can be done, for tests and for whoever adds to it before the first frame.
  ActionTable& actions() { return actions_; }
  const Settings& settings() const { return settings_; }
  bool is_open(std::string_view panel) const;
  /// Opens tensor files together, or one session file, in place of what is open. Problems go to the session's failure().
  void open(std::vector<std::filesystem::path> files, HeadChoice choice = {});
  /// Opens tensor files with what the user settled about them.
  void open_as(FilesRecipe files, HeadChoice choice = {});
  /// Asks who is query, key and value in the files that are open, or in those that could not be opened.
  void ask_for_roles();
  const TensorRolesDialog& roles() const { return roles_; }
  /// What would be saved now. Needs a source.
  SavedSession saved_session() const;
  /// Saves it, and says so. Problems become a message.
  void save_session_as(const std::filesystem::path& path);
  void set_layout(LayoutPreset preset);
  const DeviceChoice& devices() const { return devices_; }
  /// Computes on it from here on, the open head anew, and keeps it for the next run.
  void set_device(const DeviceWish& wish);
  const ParametersPanel& parameters() const { return parameters_; }
  HeadsPanel& heads() { return heads_; }
  /// Null while there is none.
  const Session* slot_b() const { return slot_b_ ? &slot_b_->session : nullptr; }
  ResidualErrorsPanel& errors() { return errors_; }
  ErrorCurve& error_curve() { return error_curve_; }
  const HeadLadder& ladder() const { return ladder_; }
  RuntimeMeasurer& runtime() { return runtime_; }
  TrainingPanel& training() { return training_panel_; }
  TrainingRunner& training_runner() { return training_; }
  TrainingTimes& training_times() { return training_times_; }
  const HeadGradients& head_gradients() const { return head_gradients_; }
  /// Brings a panel to the front, opening it if need be.
  void bring_to_front(std::string_view id);
  /// Begins an export as the dialog does. False while another one runs, or without an analysis.
  bool start_export(const ExportWish& wish) { return exporter_.start(wish, export_inputs()); }
  const Exporter& exporter() const { return exporter_; }

 private:
  App(const AppOptions& options, LoadedSettings loaded);
  void listen();
  static void draw_soon(GLFWwindow* window);
  /// What the user asked for on the command line comes before what was saved.
  void start_look(const WindowOptions& wishes);
  void start_session(const WindowOptions& wishes);
  void make_panels();
  void make_actions();
  void add_file_actions();
  void add_edit_actions();
  void add_view_actions();
  void add_map_actions();
  void add_panel_actions();
  void add_head_actions();
  void add_help_actions();
  /// Makes the commands of what can be computed on, or names them anew.
  void describe_devices();
  /// Once a frame: what was found, what went wrong on it, and who computes on it.
  void poll_device();
  void wake();
  /// When a frame is needed without any event, in GLFW's seconds.
  double next_frame_time() const;
  void render(GLuint framebuffer);
  void begin_imgui_frame();
  void draw();
  void draw_dock_space();
  void draw_menu_bar();
  void draw_panels();
  /// Lets background work that can wait go on only while nothing else needs the machine.
  void pace_background();
  void draw_maps();
  /// The maps of slot B, when there is one.
  void draw_slot_b(const MapsInput& a);
  void draw_compare();
  void put_into_b();
  void swap_a_and_b();
  void draw_dialogs();
  void draw_about();
  Exporter::Inputs export_inputs() { return {session_, view_, basis_, errors_, settings_.dark}; }
  void report_broken_frame(const char* problem);

  void collect_messages();
  void dismiss(const std::string& banner);
  void ask_where_to_save();
  void open_session(const std::filesystem::path& path, HeadChoice choice);
  void restore(SavedSession saved);
  void show_look(const SavedSession& saved);
  /// Once a frame: what a restored session or an undo wanted and had to wait for.
  void catch_up();
  UndoStep undo_step() const { return {session_.wanted(), settings_of(view_)}; }
  void go_to_step(const std::optional<UndoStep>& step);
  void step_head(Index heads, Index layers);
  /// The files that can be opened otherwise; nothing for a planted input.
  std::optional<FilesRecipe> files_in_question() const;
  bool has_source() const { return session_.source() != nullptr; }

  PanelEntry* panel(std::string_view id);
  void set_ui_scale(double scale);
  void set_theme(Theme theme);
  void remember_window_size();
  void save_look();

  Settings settings_;
  Platform platform_;  // before all that needs its context
  bool visible_;
  int width_, height_;  ///< of an invisible window
  std::filesystem::path settings_file_;
  bool look_changed_ = true;  ///< the theme is applied before the next frame
  bool layout_wanted_ = false;
  bool focus_wanted_ = true;  ///< away from all panels
  bool about_wanted_ = false;
  bool devices_changed_ = false;  ///< since their commands were named
  std::string panel_to_focus_;    ///< in the next frame
  std::vector<PanelEntry> panels_;
  ActionTable actions_;
  CommandPalette palette_;
  ShortcutList shortcuts_;
  GoToDialog go_to_;
  SaveDialog save_dialog_;
  RecentMenu recent_;

  Messages messages_;
  UndoHistory history_;
  std::filesystem::path session_path_;       ///< where the open session was saved or came from; empty: nowhere yet
  std::optional<SavedSession> restoring_;    ///< waits for its source to be opened
  std::uint64_t source_before_ = 0;          ///< the source that was open when the restoring began; 0: none
  std::optional<ViewSettings> view_wanted_;  ///< waits for the result it belongs to
  std::optional<CellIndex> pin_wanted_;
  std::uint64_t known_source_ = 0;
  std::uint64_t known_result_ = 0;

  std::atomic<bool> woken_{false};  ///< set by worker threads
  int frames_due_ = 3;
  double last_event_ = -1e9;  ///< of the user, in GLFW's seconds
  double last_input_ = -1e9;  ///< likewise, but only what ImGui was told of
  double last_frame_ = -1e9;
  std::size_t frames_drawn_ = 0;
  int broken_frames_ = 0;  ///< in a row

  MapView view_;
  SourcePanel source_;
  ParametersPanel parameters_;
  BasisPanel basis_;
  ResidualErrorsPanel errors_;
  RuntimePanel runtime_panel_;
  TrainingPanel training_panel_;
  LogPanel log_;
  ComparePanel compare_;
  bool measure_;
  bool curve_shown_ = false;      ///< in this frame
  bool runtime_shown_ = false;    ///< likewise
  bool ladder_shown_ = false;     ///< likewise
  bool gradients_shown_ = false;  ///< likewise, those of the head
  bool clear_b_wanted_ = false;
  // Last: their threads call wake(), and their textures go before the context.
  DeviceChoice devices_;
  Session session_;
  TensorRolesDialog roles_;
  ErrorCurve error_curve_;
  HeadLadder ladder_;
  RuntimeMeasurer runtime_;
  TrainingRunner training_;
  TrainingTimes training_times_;
  HeadGradients head_gradients_;
  AttentionMaps maps_;
  HeadsPanel heads_;
  Exporter exporter_;
  /// The head that is compared with.
  struct SlotB {
    explicit SlotB(const std::function<void()>& wake) : session(wake), maps(wake, true) {}
    Session session;
    AttentionMaps maps;
  };
  std::unique_ptr<SlotB> slot_b_;
};

}  // namespace convscope
