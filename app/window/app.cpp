#include "window/app.h"

#include "attention/exact_attention.h"
#include "gl/objects.h"
#include "panels/status_bar.h"
#include "panels/ui.h"
#include "window/layout.h"
#include "window/theme.h"

#include <fmt/format.h>
#include <imgui_impl_glfw.h>
#include <imgui_impl_opengl3.h>
#include <imgui_internal.h>
#include <implot.h>
#include <implot_internal.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace convscope {

namespace {

// Popups and layouts settle one or two frames after the event that caused them.
constexpr int frames_after_event = 3;
constexpr int most_broken_frames = 10;
constexpr double rest_before_background = 1.0;  // seconds without input
constexpr double infinitely_long = std::numeric_limits<double>::infinity();

App& app_of(GLFWwindow* window) { return *static_cast<App*>(glfwGetWindowUserPointer(window)); }

std::string title_text(const Session& session) {
  if (!session.source()) return "";
  const AnalysisRequest& wanted = session.wanted();
  return fmt::format("{}  ·  layer {}  head {}  ·  n {}", session.source()->name(), wanted.layer, wanted.head, wanted.n);
}

}  // namespace

App::App(const AppOptions& options)
    : platform_("Convscope", options.width, options.height, options.visible),
      visible_(options.visible),
      width_(options.width),
      height_(options.height),
      settings_file_(options.settings_file),
      measure_(options.measure),
      session_([this] { wake(); }),
      error_curve_([this] { wake(); }),
      runtime_([this] { wake(); }),
      maps_([this] { wake(); }),
      heads_([this] { wake(); }),
      exporter_([this] { wake(); }) {
  listen();
  platform_.start_imgui();
  load_fonts();
  make_actions();
  std::string warning = load_look(options.window);
  const HeadChoice choice{options.window.layer, options.window.head};
  if (options.window.planted) {
    session_.plant(*options.window.planted);
  } else if (options.window.files.empty()) {
    session_.open_example(choice);
  } else {
    session_.open(options.window.files, choice);
  }
  if (!warning.empty()) session_.note(std::move(warning));
}

App::~App() { save_look(); }

void App::draw_soon(GLFWwindow* window) {
  app_of(window).frames_due_ = frames_after_event;
  app_of(window).last_event_ = glfwGetTime();
}

void App::listen() {
  GLFWwindow* window = platform_.window();
  glfwSetWindowUserPointer(window, this);
  // Dear ImGui's own callbacks are set later and call these.
  glfwSetCursorPosCallback(window, [](GLFWwindow* w, double, double) { draw_soon(w); });
  glfwSetCursorEnterCallback(window, [](GLFWwindow* w, int) { draw_soon(w); });
  glfwSetMouseButtonCallback(window, [](GLFWwindow* w, int, int, int) { draw_soon(w); });
  glfwSetScrollCallback(window, [](GLFWwindow* w, double, double) { draw_soon(w); });
  glfwSetKeyCallback(window, [](GLFWwindow* w, int, int, int, int) { draw_soon(w); });
  glfwSetCharCallback(window, [](GLFWwindow* w, unsigned) { draw_soon(w); });
  glfwSetWindowFocusCallback(window, [](GLFWwindow* w, int) { draw_soon(w); });
  glfwSetWindowRefreshCallback(window, [](GLFWwindow* w) { draw_soon(w); });
  glfwSetFramebufferSizeCallback(window, [](GLFWwindow* w, int, int) { draw_soon(w); });
  glfwSetWindowCloseCallback(window, [](GLFWwindow* w) { draw_soon(w); });
  glfwSetWindowContentScaleCallback(window, [](GLFWwindow* w, float, float) {
    app_of(w).look_changed_ = true;
    draw_soon(w);
  });
  glfwSetDropCallback(window, [](GLFWwindow* w, int count, const char** paths) {
    app_of(w).session_.open(std::vector<std::filesystem::path>(paths, paths + count));
    draw_soon(w);
  });
}

std::string App::load_look(const WindowOptions& wishes) {
  LoadedSettings loaded = load_settings(settings_file_);
  settings_ = std::move(loaded.settings);
  if (wishes.ui_scale) settings_.ui_scale = std::clamp(*wishes.ui_scale, least_ui_scale, largest_ui_scale);
  if (wishes.theme) settings_.dark = *wishes.theme == Theme::dark;
  if (!settings_.layout.empty()) ImGui::LoadIniSettingsFromMemory(settings_.layout.data(), settings_.layout.size());
  return loaded.warning;
}

void App::make_actions() {
  constexpr auto ctrl = [](ImGuiKey key) { return ImGuiMod_Ctrl | key; };
  const auto scaled = [this](double factor) { return [this, factor] { set_ui_scale(settings_.ui_scale * factor); }; };
  actions_ = {
      {"File", "Open…", ctrl(ImGuiKey_O), [this] { source_.ask_for_files(); }},
      {"File", "Open example", ctrl(ImGuiKey_E), [this] { session_.open_example(); }},
      {"File", ""},
      {"File", "Quit", ctrl(ImGuiKey_Q), [this] { glfwSetWindowShouldClose(platform_.window(), GLFW_TRUE); }},
      {"View", "Whole map", ctrl(ImGuiKey_F), [this] { view_.fit(); }},
      {"View", ""},
      {"View", "Dark", 0, [this] { set_theme(Theme::dark); }, [this] { return settings_.dark; }},
      {"View", "Light", 0, [this] { set_theme(Theme::light); }, [this] { return !settings_.dark; }},
      {"View", ""},
      {"View", "Larger", ctrl(ImGuiKey_Equal), scaled(1.1)},
      {"View", "Smaller", ctrl(ImGuiKey_Minus), scaled(1.0 / 1.1)},
      {"View", "Usual size", ctrl(ImGuiKey_0), [this] { set_ui_scale(1.0); }},
      {"View", ""},
      {"View", "Reset layout", 0, [this] { layout_wanted_ = true; }},
      {"Help", "About", ImGuiKey_F1, [this] { about_wanted_ = true; }},
  };
  auto exports = exporter_.actions(session_, [this] { return settings_.dark; });
  actions_.insert(actions_.end() - 1, exports.begin(), exports.end());
}

void App::wake() {
  woken_ = true;
  glfwPostEmptyEvent();
}

bool App::settled() const {
  return !session_.busy() && !session_.awaits_poll() && maps_.settled() && heads_.settled() && !exporter_.busy() &&
         error_curve_.state() != IdleWorker::State::running;
}

double App::seconds_to_next_pulse() const {
  if (session_.busy() || source_.waits_for_dialog() || exporter_.waits_for_dialog()) return 0.2;  // a progress bar moves
  if (glfwGetTime() - last_event_ < 1.0) return 0.1;                            // a tooltip waits for the mouse to rest
  if (glfwGetTime() - last_input_ < 2.0 * rest_before_background) return 0.25;  // background work goes on after a while
  if (ImGui::GetIO().WantTextInput) return 0.25;                                // a text cursor blinks
  const bool unsaved = !settings_file_.empty() && ImGui::GetCurrentContext()->SettingsDirtyTimer > 0.0F;
  if (unsaved) return 0.5;  // frames count down to saving the layout
  return infinitely_long;
}

bool App::step(double seconds) {
  const double pulse = seconds_to_next_pulse();
  if (frames_due_ > 0 || woken_) {
    glfwPollEvents();
  } else {
    glfwWaitEventsTimeout(std::min(seconds, pulse));
    if (pulse < infinitely_long) frames_due_ = std::max(frames_due_, 1);
  }
  if (woken_.exchange(false)) frames_due_ = frames_after_event;
  if (glfwGetWindowAttrib(platform_.window(), GLFW_ICONIFIED) != GLFW_FALSE) frames_due_ = 0;
  if (frames_due_ == 0) return false;
  frame();
  return true;
}

void App::frame() {
  render(0);
  glfwSwapBuffers(platform_.window());
}

Picture App::grab() {
  gl::Canvas canvas;
  const ImVec2 size = ImGui::GetIO().DisplaySize;
  canvas.resize(static_cast<int>(size.x), static_cast<int>(size.y));
  render(canvas.framebuffer());
  glBindFramebuffer(GL_READ_FRAMEBUFFER, canvas.framebuffer());
  Picture picture = read_framebuffer(canvas.width(), canvas.height());
  glBindFramebuffer(GL_FRAMEBUFFER, 0);
  return picture;
}

void App::render(GLuint framebuffer) {
  frames_due_ = std::max(frames_due_ - 1, 0);
  ++frames_drawn_;
  session_.poll();
  source_.poll(session_);
  exporter_.poll(session_);
  // Heads wait for what the user is looking at, and for the hand on the mouse.
  heads_.poll(session_, session_.busy() || session_.awaits_poll() || !maps_.settled() || ImGui::IsAnyMouseDown());
  if (look_changed_) {
    look_changed_ = false;
    apply_theme(settings_.dark ? Theme::dark : Theme::light, settings_.ui_scale, visible_ ? platform_.display_scale() : 1.0);
  }
  ImGui_ImplOpenGL3_NewFrame();
  ImGui_ImplGlfw_NewFrame();
  ImGuiIO& io = ImGui::GetIO();
  if (!visible_) {
    // No window manager has a say in how large a picture is.
    io.DisplaySize = ImVec2(static_cast<float>(width_), static_cast<float>(height_));
    io.DisplayFramebufferScale = ImVec2(1.0F, 1.0F);
  }
  ImGui::NewFrame();
  ImGuiErrorRecoveryState before_draw;
  ImGui::ErrorRecoveryStoreState(&before_draw);
  try {
    draw();
    broken_frames_ = 0;
  } catch (const std::exception& error) {
    ImPlot::ResetCtxForNextPlot(ImPlot::GetCurrentContext());
    // What is left open is the exception's doing, not a mistake to stop a debug build for.
    io.ConfigErrorRecoveryEnableAssert = false;
    ImGui::ErrorRecoveryTryToRecoverState(&before_draw);
    io.ConfigErrorRecoveryEnableAssert = true;
    report_broken_frame(error.what());
  }
  ImGui::Render();
  glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
  glViewport(0, 0, static_cast<int>(io.DisplaySize.x * io.DisplayFramebufferScale.x),
             static_cast<int>(io.DisplaySize.y * io.DisplayFramebufferScale.y));
  const ImVec4& background = ImGui::GetStyleColorVec4(ImGuiCol_DockingEmptyBg);
  glClearColor(background.x, background.y, background.z, 1.0F);
  glClear(GL_COLOR_BUFFER_BIT);
  ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
  if (std::exchange(io.WantSaveIniSettings, false)) save_look();
}

void App::report_broken_frame(const char* problem) {
  session_.fail({Failure::Kind::other, fmt::format("The window could not be drawn: {}", problem)});
  // Every frame failing alike will not heal; an error at the end is better than a window that shows nothing.
  if (++broken_frames_ >= most_broken_frames) throw std::runtime_error(problem);
}

void App::draw() {
  // The bars lie on the background, without lines of their own.
  ImGui::PushStyleColor(ImGuiCol_WindowBg, ImGui::GetStyleColorVec4(ImGuiCol_DockingEmptyBg));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 0.0F);
  draw_menu_bar();
  draw_status_bar(session_, view_);
  ImGui::PopStyleVar();
  ImGui::PopStyleColor();
  run_shortcuts(actions_);
  draw_dock_space();
  draw_panels();
  // Panels that are new take the focus one after the other; none of them should look chosen.
  if (std::exchange(focus_wanted_, false)) ImGui::SetWindowFocus(nullptr);
  draw_about();
  exporter_.draw(export_inputs());
}

void App::draw_dock_space() {
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  const float gap = ImGui::GetStyle().DockingSeparatorSize;
  const ImVec2 size(viewport->WorkSize.x - 2.0F * gap, viewport->WorkSize.y - gap);
  ImGui::SetNextWindowPos(ImVec2(viewport->WorkPos.x + gap, viewport->WorkPos.y));
  ImGui::SetNextWindowSize(size);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(0.0F, 0.0F));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 0.0F);
  constexpr ImGuiWindowFlags flags = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoMove |
                                     ImGuiWindowFlags_NoBringToFrontOnFocus | ImGuiWindowFlags_NoNavFocus |
                                     ImGuiWindowFlags_NoBackground | ImGuiWindowFlags_NoSavedSettings;
  ImGui::Begin("##panels", nullptr, flags);
  ImGui::PopStyleVar(2);
  const ImGuiID dock = ImGui::GetID("dock");
  if (layout_wanted_ || !ImGui::DockBuilderGetNode(dock)) {
    layout_wanted_ = false;
    build_default_layout(dock, size);
    focus_wanted_ = true;
  }
  // The gaps between panels are drawn in the border's colour; they are to look like the background.
  ImGui::PushStyleColor(ImGuiCol_Border, ImGui::GetStyleColorVec4(ImGuiCol_DockingEmptyBg));
  ImGui::DockSpace(dock);
  ImGui::PopStyleColor();
  ImGui::End();
}

void App::draw_menu_bar() {
  if (!ImGui::BeginMainMenuBar()) return;
  draw_menus(actions_);
  const std::string title = title_text(session_);
  const float width = ImGui::CalcTextSize(title.c_str()).x;
  ImGui::SetCursorPosX(std::max(ImGui::GetCursorPosX(), ImGui::GetWindowWidth() - width - ImGui::GetStyle().WindowPadding.x));
  ui::dim(title);
  ImGui::EndMainMenuBar();
}

void App::draw_panels() {
  const auto panel = [](const char* name, const auto& contents) {
    if (ImGui::Begin(name)) contents();
    ImGui::End();
  };
  panel(source_window, [&] { source_.draw(session_, heads_.errors_for(session_.wanted())); });
  const AnalysisResult& result = session_.result();
  error_curve_.want(result.analysis && result.analysis->assessed() ? result.analysis : nullptr, result.request);
  bool curve_shown = false;
  bool runtime_shown = false;
  panel(parameters_window, [&] {
    parameters_.draw(session_, error_curve_);
    curve_shown = true;
  });
  MapsInput input;
  input.analysis = result.analysis;
  input.exact_id = result.exact_id;
  input.approximation_id = result.approximation_id;
  input.stale = session_.stale();
  if (result.source) input.tokens = result.source->tokens();
  input.dark = settings_.dark;
  maps_.draw(input, view_);
  if (auto starts = std::exchange(view_.starts_wish, std::nullopt)) {
    AnalysisRequest request = session_.wanted();
    request.starts = std::move(*starts);
    session_.want(request);
  }
  panel(basis_window, [&] { basis_.draw(session_, view_); });
  panel(errors_window, [&] {
    errors_.draw(session_, view_, error_curve_);
    curve_shown = true;
  });
  panel(heads_window, [&] { heads_.draw(session_, view_.colour_map); });
  if (heads_.needs_frame()) frames_due_ = std::max(frames_due_, 1);
  panel(runtime_window, [&] {
    runtime_panel_.draw(session_, runtime_);
    runtime_shown = true;
  });
  pace_background(curve_shown, runtime_shown);
}

void App::pace_background(bool curve_shown, bool runtime_shown) {
  const ImGuiIO& io = ImGui::GetIO();
  const bool input = io.MouseDelta.x != 0.0F || io.MouseDelta.y != 0.0F || io.MouseWheel != 0.0F || ImGui::IsAnyMouseDown() ||
                     io.InputQueueCharacters.Size > 0;
  if (input) last_input_ = glfwGetTime();
  const double last = std::max(last_input_, last_event_);
  const bool at_rest = glfwGetTime() - last >= rest_before_background && !session_.busy() && maps_.settled();
  error_curve_.pause(!curve_shown || !at_rest);
  // Times are worth something only when nothing at all runs beside them.
  const bool alone = at_rest && error_curve_.state() == IdleWorker::State::idle;
  runtime_.pause(!measure_ || !runtime_shown || !alone);
}

void App::draw_about() {
  constexpr const char* name = "About Convscope";
  if (about_wanted_) ImGui::OpenPopup(name);
  about_wanted_ = false;
  const ImVec2 centre = ImGui::GetMainViewport()->GetCenter();
  ImGui::SetNextWindowPos(centre, ImGuiCond_Appearing, ImVec2(0.5F, 0.5F));
  if (!ImGui::BeginPopupModal(name, nullptr, ImGuiWindowFlags_AlwaysAutoResize)) return;
  ui::bold("Convscope " CONVSCOPE_VERSION);
  ImGui::TextUnformatted("A desktop microscope for the structure of attention.");
  ImGui::Separator();
  const std::array<std::pair<const char*, std::string>, 5> facts{{{"renderer", renderer_name()},
                                                                  {"kernels", convbasis::kernel_instruction_set()},
                                                                  {"Dear ImGui", ImGui::GetVersion()},
                                                                  {"ImPlot", IMPLOT_VERSION},
                                                                  {"GLFW", glfwGetVersionString()}}};
  if (ImGui::BeginTable("facts", 2, ImGuiTableFlags_SizingFixedFit)) {
    for (const auto& [what, value] : facts) {
      ImGui::TableNextColumn();
      ui::dim(what);
      ImGui::TableNextColumn();
      ui::number(value);
    }
    ImGui::EndTable();
  }
  if (ImGui::Button("Close") || ImGui::IsKeyPressed(ImGuiKey_Escape)) ImGui::CloseCurrentPopup();
  ImGui::EndPopup();
}

void App::set_ui_scale(double scale) {
  settings_.ui_scale = std::clamp(scale, least_ui_scale, largest_ui_scale);
  look_changed_ = true;
  ImGui::MarkIniSettingsDirty();
}

void App::set_theme(Theme theme) {
  settings_.dark = theme == Theme::dark;
  look_changed_ = true;
  ImGui::MarkIniSettingsDirty();
}

void App::save_look() {
  if (settings_file_.empty()) return;
  std::size_t size = 0;
  const char* layout = ImGui::SaveIniSettingsToMemory(&size);
  settings_.layout.assign(layout, size);
  try {
    save_settings(settings_file_, settings_);
  } catch (const convbasis::Error& error) {
    session_.note(error.what());
    settings_file_.clear();  // said once
  }
}

}  // namespace convscope
