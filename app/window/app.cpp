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

App::App(const AppOptions& options) : App(options, load_settings(options.settings_file)) {}

App::App(const AppOptions& options, LoadedSettings loaded)
    : settings_(std::move(loaded.settings)),
      platform_("Convscope", options.visible && settings_.width > 0 ? settings_.width : options.width,
                options.visible && settings_.height > 0 ? settings_.height : options.height, options.visible),
      visible_(options.visible),
      width_(options.width),
      height_(options.height),
      settings_file_(options.settings_file),
      measure_(options.measure),
      devices_([this] { wake(); }, options.load_gpu),
      session_([this] { wake(); }),
      roles_([this] { wake(); }),
      error_curve_([this] { wake(); }),
      ladder_([this] { wake(); }),
      runtime_([this] { wake(); }),
      training_([this] { wake(); }),
      training_times_([this] { wake(); }),
      head_gradients_([this] { wake(); }),
      maps_([this] { wake(); }),
      heads_([this] { wake(); }),
      exporter_([this] { wake(); }) {
  listen();
  platform_.start_imgui();
  load_fonts();
  if (!loaded.warning.empty()) messages_.set_banner("settings", Severity::warning, std::move(loaded.warning));
  devices_.want(options.window.device.value_or(settings_.device));
  make_panels();
  make_actions();
  start_look(options.window);
  start_session(options.window);
}

App::~App() {
  save_look();
  if (settings_file_.empty() || !has_source()) return;
  try {
    save_session(last_session_path(settings_file_), saved_session());
  } catch (const std::exception&) {
    // Nobody is left to be told; the session before stays.
  }
}

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
    app_of(w).open(std::vector<std::filesystem::path>(paths, paths + count));
    draw_soon(w);
  });
}

void App::make_panels() {
  panels_ = {{"source", source_window, [this] { source_.draw(session_, heads_.errors_for(session_.wanted())); }},
             {"parameters", parameters_window,
              [this] {
                if (const auto wish = parameters_.draw(session_, error_curve_, devices_)) set_device(*wish);
                curve_shown_ = true;
              }},
             {"basis", basis_window, [this] { basis_.draw(session_, view_); }},
             {"errors", errors_window,
              [this] {
                errors_.draw(session_, view_, error_curve_, ladder_);
                curve_shown_ = true;
                ladder_shown_ = errors_.tab() == ResidualErrorsPanel::Tab::ladder;
              }},
             {"heads", heads_window, [this] { heads_.draw(session_, view_.colour_map); }},
             {"runtime", runtime_window,
              [this] { runtime_panel_.draw(session_, runtime_, devices_.chosen().gpu), runtime_shown_ = true; }},
             {"training", training_window,
              [this] {
                training_panel_.draw(session_, training_, training_times_, head_gradients_, devices_.chosen());
                gradients_shown_ = training_panel_.page() == TrainingPanel::Page::head;
              }},
             {"compare", compare_window, [this] { draw_compare(); }},
             {"log", log_window, [this] { log_.draw(messages_); }}};
  for (PanelEntry& entry : panels_) entry.open = std::ranges::find(settings_.hidden, entry.id) == settings_.hidden.end();
}

PanelEntry* App::panel(std::string_view id) {
  const auto found = std::ranges::find(panels_, id, &PanelEntry::id);
  return found == panels_.end() ? nullptr : &*found;
}

void App::bring_to_front(std::string_view id) {
  PanelEntry* entry = panel(id);
  if (!entry) return;
  entry->open = true;
  panel_to_focus_ = entry->window;
}

bool App::is_open(std::string_view id) const {
  const auto found = std::ranges::find(panels_, id, &PanelEntry::id);
  return found != panels_.end() && found->open;
}

void App::wake() {
  woken_ = true;
  glfwPostEmptyEvent();
}

bool App::settled() const {
  return !devices_.looking() && !session_.busy() && !session_.awaits_poll() && maps_.settled() && heads_.settled() &&
         !restoring_ && !view_wanted_ &&
         (!slot_b_ || (!slot_b_->session.busy() && !slot_b_->session.awaits_poll() && slot_b_->maps.settled())) &&
         !exporter_.busy() && !roles_.busy() && error_curve_.state() != IdleWorker::State::running && !ladder_.pending() &&
         !training_.busy() && !training_times_.busy() && !head_gradients_.pending();
}

double App::next_frame_time() const {
  double next = messages_.next_frame(last_frame_);
  const auto every = [&](double seconds) { next = std::min(next, last_frame_ + seconds); };
  if (session_.busy() || (slot_b_ && slot_b_->session.busy())) every(0.2);  // a progress bar moves
  if (source_.waits_for_dialog() || save_dialog_.waits_for_dialog() || exporter_.waits_for_dialog()) every(0.05);
  if (glfwGetTime() - last_event_ < 1.0) every(0.1);                            // a tooltip waits for the mouse to rest
  if (history_.unsettled()) every(0.2);                                         // a change waits to rest
  if (glfwGetTime() - last_input_ < 2.0 * rest_before_background) every(0.25);  // background work goes on after a while
  if (training_times_.pending() && !training_times_.busy()) every(0.25);        // they wait for rest
  if (ImGui::GetIO().WantTextInput) every(0.25);                                // a text cursor blinks
  const bool unsaved = !settings_file_.empty() && ImGui::GetCurrentContext()->SettingsDirtyTimer > 0.0F;
  if (unsaved) every(0.5);  // frames count down to saving the layout
  return next;
}

bool App::step(double seconds) {
  if (frames_due_ > 0 || woken_) {
    glfwPollEvents();
  } else {
    glfwWaitEventsTimeout(std::clamp(next_frame_time() - glfwGetTime(), 0.0, seconds));
    if (glfwGetTime() >= next_frame_time()) frames_due_ = std::max(frames_due_, 1);
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

void App::begin_imgui_frame() {
  if (std::exchange(look_changed_, false)) {
    apply_theme(settings_.dark ? Theme::dark : Theme::light, settings_.ui_scale * type_scale(settings_.preset),
                visible_ ? platform_.display_scale() : 1.0);
  }
  ImGui_ImplOpenGL3_NewFrame();
  ImGui_ImplGlfw_NewFrame();
  if (!visible_) {
    // No window manager has a say in how large a picture is.
    ImGui::GetIO().DisplaySize = ImVec2(static_cast<float>(width_), static_cast<float>(height_));
    ImGui::GetIO().DisplayFramebufferScale = ImVec2(1.0F, 1.0F);
  }
  ImGui::NewFrame();
}

void App::render(GLuint framebuffer) {
  frames_due_ = std::max(frames_due_ - 1, 0);
  last_frame_ = glfwGetTime();
  ++frames_drawn_;
  poll_device();
  session_.poll();
  if (std::exchange(clear_b_wanted_, false)) slot_b_.reset();  // not while its pictures wait to be drawn
  if (slot_b_) slot_b_->session.poll();
  if (auto files = source_.poll(); !files.empty()) open(std::move(files));
  if (source_.wants_roles()) ask_for_roles();
  exporter_.poll(session_);
  // Heads wait for what the user is looking at, and for the hand on the mouse.
  heads_.poll(session_, session_.busy() || session_.awaits_poll() || !maps_.settled() || ImGui::IsAnyMouseDown());
  collect_messages();
  begin_imgui_frame();
  ImGuiIO& io = ImGui::GetIO();
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
  draw_banners(messages_, {.dismiss = [this](const std::string& key) { dismiss(key); },
                           .accept = [this](const std::string&) { ask_for_roles(); }});
  ImGui::PopStyleVar();
  ImGui::PopStyleColor();
  // A question that has to be answered first has the keys for itself.
  if (!ImGui::GetTopMostPopupModal()) actions_.run_shortcuts();
  draw_dock_space();
  draw_panels();
  // Panels that are new take the focus one after the other; none of them should look chosen.
  if (std::exchange(focus_wanted_, false)) ImGui::SetWindowFocus(nullptr);
  draw_dialogs();
  draw_toasts(messages_, last_frame_);
  catch_up();
}

void App::draw_dialogs() {
  palette_.draw(actions_);
  shortcuts_.draw(actions_);
  go_to_.draw(session_.result().analysis ? session_.result().analysis->n : 1, view_);
  save_dialog_.draw();
  if (auto files = roles_.draw()) open_as(std::move(*files));
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
    const auto has = [this](const char* window) {
      const bool map = std::string_view(window).starts_with("###");
      return map ||
             std::ranges::any_of(panels_, [&](const PanelEntry& entry) { return entry.window == std::string_view(window); });
    };
    build_layout(settings_.preset, dock, size, has);
    focus_wanted_ = true;
  }
  // The gaps between panels are drawn in the border's colour; they are to look like the background.
  ImGui::PushStyleColor(ImGuiCol_Border, ImGui::GetStyleColorVec4(ImGuiCol_DockingEmptyBg));
  ImGui::DockSpace(dock);
  follow_tabs(dock);
  ImGui::PopStyleColor();
  ImGui::End();
}

void App::draw_menu_bar() {
  if (!ImGui::BeginMainMenuBar()) return;
  actions_.draw_menus();
  const std::string title = title_text(session_);
  const float width = ImGui::CalcTextSize(title.c_str()).x;
  ImGui::SetCursorPosX(std::max(ImGui::GetCursorPosX(), ImGui::GetWindowWidth() - width - ImGui::GetStyle().WindowPadding.x));
  ui::dim(title);
  ImGui::EndMainMenuBar();
}

void App::draw_panels() {
  curve_shown_ = runtime_shown_ = ladder_shown_ = gradients_shown_ = false;
  draw_maps();
  for (PanelEntry& entry : panels_) {
    if (!entry.open) continue;
    bool open = true;
    if (ImGui::Begin(entry.window, &open)) entry.draw();
    ImGui::End();
    if (!open) {
      entry.open = false;
      ImGui::MarkIniSettingsDirty();
    }
  }
  if (heads_.needs_frame()) frames_due_ = std::max(frames_due_, 1);
  // A new layout takes the focus away first.
  if (!panel_to_focus_.empty() && !layout_wanted_ && !focus_wanted_) {
    ImGui::SetWindowFocus(std::exchange(panel_to_focus_, "").c_str());
    frames_due_ = std::max(frames_due_, 1);
  }
  pace_background();
}

void App::pace_background() {
  const ImGuiIO& io = ImGui::GetIO();
  const bool input = io.MouseDelta.x != 0.0F || io.MouseDelta.y != 0.0F || io.MouseWheel != 0.0F || ImGui::IsAnyMouseDown() ||
                     io.InputQueueCharacters.Size > 0;
  if (input) last_input_ = glfwGetTime();
  const double last = std::max(last_input_, last_event_);
  const bool busy = session_.busy() || (slot_b_ && slot_b_->session.busy());
  const bool at_rest = glfwGetTime() - last >= rest_before_background && !busy && maps_.settled();
  error_curve_.pause(!curve_shown_ || !at_rest);
  ladder_.show(ladder_shown_);
  ladder_.poll();
  head_gradients_.show(gradients_shown_);
  head_gradients_.poll();
  // Times are worth something only when nothing at all runs beside them.
  const bool alone = at_rest && !devices_.looking() && error_curve_.state() == IdleWorker::State::idle && heads_.settled() &&
                     !exporter_.busy() && !ladder_.pending() && !training_.busy() && !head_gradients_.pending();
  training_times_.pause(!alone);
  runtime_.pause(!measure_ || !runtime_shown_ || !alone || training_times_.busy());
}

void App::draw_maps() {
  const AnalysisResult& result = session_.result();
  const auto assessed = result.analysis && result.analysis->assessed() ? result.analysis : nullptr;
  error_curve_.want(result.request.has_error_curve() ? assessed : nullptr, result.request);
  ladder_.want(assessed, result.request);
  MapsInput input;
  input.analysis = result.analysis;
  input.exact_id = result.exact_id;
  input.approximation_id = result.approximation_id;
  input.stale = session_.stale();
  if (result.source) input.tokens = result.source->tokens();
  input.dark = settings_.dark;
  maps_.draw(input, view_);
  if (std::string problem = maps_.take_problem(); !problem.empty())
    messages_.toast(Severity::warning, std::move(problem), last_frame_);
  draw_slot_b(input);
  if (auto starts = std::exchange(view_.starts_wish, std::nullopt)) {
    AnalysisRequest request = session_.wanted();
    request.starts = std::move(*starts);
    session_.want(request);
  }
}

void App::draw_slot_b(const MapsInput& a) {
  if (!slot_b_) return;
  const AnalysisResult& result = slot_b_->session.result();
  MapsInput input;
  input.analysis = result.analysis;
  input.exact_id = result.exact_id;
  input.approximation_id = result.approximation_id;
  input.stale = slot_b_->session.stale();
  if (result.source) input.tokens = result.source->tokens();
  input.dark = settings_.dark;
  input.other = a.analysis;
  input.part = compare_.part();
  input.other_exact_id = a.exact_id;
  input.other_approximation_id = a.approximation_id;
  slot_b_->maps.draw(input, view_);
}

void App::draw_compare() {
  const CompareWish wish = compare_.draw(session_, slot_b_ ? &slot_b_->session : nullptr);
  if (wish.put) put_into_b();
  if (wish.swap) swap_a_and_b();
  if (wish.clear) clear_b_wanted_ = true;
}

void App::put_into_b() {
  if (!has_source()) return;
  if (!slot_b_) {
    slot_b_ = std::make_unique<SlotB>([this] { wake(); });
    if (settings_.preset != LayoutPreset::compare) set_layout(LayoutPreset::compare);
    if (PanelEntry* entry = panel("compare")) entry->open = true;
    panel_to_focus_ = compare_window;
  }
  slot_b_->session.adopt(session_.source(), session_.wanted());
}

void App::swap_a_and_b() {
  if (!slot_b_ || !slot_b_->session.source() || !has_source()) return;
  const auto source = session_.source();
  const AnalysisRequest request = session_.wanted();
  session_.adopt(slot_b_->session.source(), slot_b_->session.wanted());
  slot_b_->session.adopt(source, request);
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
  const convbasis::GpuStatus* gpu = devices_.status();
  const std::array<std::pair<const char*, std::string>, 6> facts{{{"renderer", renderer_name()},
                                                                  {"kernels", convbasis::kernel_instruction_set()},
                                                                  {"GPU", gpu ? gpu->why : "not looked for"},
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

}  // namespace convscope
