// What the window keeps: messages, look, recent files, sessions.

#include "window/app.h"

#include "core/errors.h"
#include "state/assets.h"
#include "state/provenance.h"
#include "state/text.h"
#include "view/ticks.h"

#include <fmt/format.h>
#include <imgui_internal.h>

#include <algorithm>
#include <utility>

namespace convscope {

namespace fs = std::filesystem;

namespace {

constexpr const char* failure_banner = "failure";
constexpr const char* notice_banner = "notice";

bool is_example(const FilesRecipe& files) {
  const auto example = find_asset(example_asset);
  return example && files == FilesRecipe{{*example}};
}

}  // namespace

void App::start_look(const WindowOptions& wishes) {
  if (wishes.ui_scale) settings_.ui_scale = std::clamp(*wishes.ui_scale, least_ui_scale, largest_ui_scale);
  if (wishes.theme) settings_.dark = *wishes.theme == Theme::dark;
  if (!settings_.layout.empty()) ImGui::LoadIniSettingsFromMemory(settings_.layout.data(), settings_.layout.size());
}

void App::start_session(const WindowOptions& wishes) {
  const HeadChoice choice{wishes.layer, wishes.head};
  if (wishes.planted) return session_.plant(*wishes.planted);
  if (!hint_words(wishes.hints).empty()) {
    const auto example = find_asset(example_asset);
    return session_.open_as({wishes.files.empty() && example ? std::vector{*example} : wishes.files, wishes.hints}, choice);
  }
  if (!wishes.files.empty()) {
    open(wishes.files, choice);
    // A session brings a look of its own; the command line has the last word.
    if (wishes.ui_scale) settings_.ui_scale = std::clamp(*wishes.ui_scale, least_ui_scale, largest_ui_scale);
    if (wishes.theme) settings_.dark = *wishes.theme == Theme::dark;
    return;
  }
  if (settings_.restore_session && !choice.layer && !choice.head) {
    LastSession last = load_last_session(last_session_path(settings_file_));
    if (!last.warning.empty()) messages_.set_banner("session", Severity::warning, std::move(last.warning));
    if (last.session) return restore(std::move(*last.session));
  }
  session_.open_example(choice);
}

void App::open(std::vector<fs::path> files, HeadChoice choice) {
  restoring_.reset();
  const auto session_file = std::ranges::find_if(files, is_session_file);
  if (session_file == files.end()) {
    session_path_.clear();
    session_.open(std::move(files), choice);
  } else if (files.size() > 1) {
    session_.fail({Failure::Kind::argument,
                   fmt::format("{}: a session is opened by itself, without other files", session_file->filename().string())});
  } else {
    open_session(*session_file, choice);
  }
}

void App::open_as(FilesRecipe files, HeadChoice choice) {
  restoring_.reset();
  session_path_.clear();
  session_.open_as(std::move(files), choice);
}

std::optional<FilesRecipe> App::files_in_question() const {
  if (session_.refused()) return session_.refused();
  const auto* files = has_source() ? std::get_if<FilesRecipe>(&session_.source()->recipe()) : nullptr;
  return files ? std::optional(*files) : std::nullopt;
}

void App::ask_for_roles() {
  if (auto files = files_in_question()) roles_.open(std::move(*files));
}

void App::open_session(const fs::path& path, HeadChoice choice) {
  try {
    SavedSession saved = load_session(path);
    if (choice.layer) saved.request.layer = *choice.layer;
    if (choice.head) saved.request.head = *choice.head;
    show_look(saved);
    restore(std::move(saved));
    session_path_ = path;
    remember_files(settings_.recent, {path});
  } catch (const convbasis::Error& error) {
    session_.fail({Failure::Kind::file, error.what()});
  }
}

void App::show_look(const SavedSession& saved) {
  settings_.dark = saved.dark;
  settings_.ui_scale = saved.ui_scale;
  if (saved.preset != settings_.preset) set_layout(saved.preset);
  look_changed_ = true;
  if (saved.panels.empty()) return;
  for (PanelEntry& entry : panels_) entry.open = std::ranges::find(saved.panels, entry.id) != saved.panels.end();
}

void App::restore(SavedSession saved) {
  source_before_ = has_source() ? session_.source()->id() : 0;
  const HeadChoice choice{saved.request.layer, saved.request.head};
  if (const auto* files = std::get_if<FilesRecipe>(&saved.source)) {
    session_.open_as(*files, choice);
  } else if (const auto* planted = std::get_if<convbasis::PlantedOptions>(&saved.source)) {
    session_.plant(*planted);
  } else {
    session_.open_example(choice);
  }
  training_panel_.set_request(saved.training);
  restoring_ = std::move(saved);
}

void App::catch_up() {
  if (restoring_ && has_source() && session_.source()->id() != source_before_) {
    // A layer or head that does not exist has been complained about; the rest of the session still holds.
    AnalysisRequest request = restoring_->request;
    request.layer = session_.wanted().layer;
    request.head = session_.wanted().head;
    const auto complaint = session_.failure();
    session_.want(request);
    if (complaint) session_.fail(*complaint);
    view_wanted_ = restoring_->view;
    pin_wanted_ = restoring_->pinned;
    apply(*view_wanted_, view_);
    restoring_.reset();
  } else if (restoring_ && session_.failure() && !session_.busy()) {
    restoring_.reset();
    session_path_.clear();
  }
  if (!has_source()) return;
  const auto& shown = session_.result().analysis;
  const bool arrived = shown && !session_.stale() && session_.result().request == session_.wanted();
  // The maps have turned to the whole of a new size in this frame; now they can be turned to what was wanted.
  if (view_wanted_ && arrived) {
    apply(*view_wanted_, view_);
    if (pin_wanted_) view_.pinned = pin_wanted_;
    frames_due_ = std::max(frames_due_, 2);
  }
  if (view_wanted_ && (arrived || (session_.failure() && !session_.busy()))) {
    view_wanted_.reset();
    pin_wanted_.reset();
  }
  history_.watch(undo_step(), last_frame_, ImGui::IsAnyMouseDown() || ImGui::IsAnyItemActive() || view_wanted_.has_value(),
                 shown ? shown->n : 0);
}

SavedSession App::saved_session() const {
  SavedSession saved;
  const SourceRecipe& recipe = session_.source()->recipe();
  if (const auto* planted = std::get_if<convbasis::PlantedOptions>(&recipe)) {
    saved.source = *planted;
  } else if (const auto& files = std::get<FilesRecipe>(recipe); !is_example(files)) {
    FilesRecipe absolute{{}, files.hints};
    for (const fs::path& file : files.paths) absolute.paths.push_back(fs::absolute(file).lexically_normal());
    saved.source = std::move(absolute);
  }
  saved.request = session_.wanted();
  saved.view = settings_of(view_);
  saved.pinned = view_.pinned;
  saved.preset = settings_.preset;
  saved.dark = settings_.dark;
  saved.ui_scale = settings_.ui_scale;
  saved.training = training_panel_.request();
  for (const PanelEntry& entry : panels_) {
    if (entry.open) saved.panels.push_back(entry.id);
  }
  return saved;
}

void App::ask_where_to_save() {
  const fs::path proposal = session_path_.empty() ? fs::path("session" + std::string(session_ending)) : session_path_;
  save_dialog_.ask({.title = "Save the session",
                    .proposal = proposal,
                    .ending = std::string(session_ending),
                    .filters = {"Sessions", "*" + std::string(session_ending)},
                    .save = [this](const fs::path& path) { save_session_as(path); }});
}

void App::save_session_as(const fs::path& path) {
  try {
    save_session(path, saved_session());
    session_path_ = path;
    remember_files(settings_.recent, {path});
    ImGui::MarkIniSettingsDirty();
    messages_.toast(Severity::note, "Session saved: " + path.filename().string(), glfwGetTime());
  } catch (const std::exception& error) {
    messages_.set_banner("session", Severity::error, error.what());
  }
}

void App::collect_messages() {
  messages_.expire(last_frame_);
  if (session_.failure()) {
    messages_.set_banner(failure_banner, Severity::error, session_.failure()->text, session_.refused() ? "Tensors…" : "");
  } else {
    messages_.clear_banner(failure_banner);
  }
  if (session_.notice().empty()) {
    messages_.clear_banner(notice_banner);
  } else {
    messages_.set_banner(notice_banner, Severity::note, session_.notice());
  }
  if (has_source() && session_.source()->id() != known_source_) {
    known_source_ = session_.source()->id();
    // Saving what was opened since would replace a session that is about something else.
    if (!restoring_) session_path_.clear();
    messages_.log(Severity::note,
                  fmt::format("opened {}: {} layers", session_.source()->name(), session_.source()->layers().size()));
    const auto* files = std::get_if<FilesRecipe>(&session_.source()->recipe());
    if (files && !is_example(*files)) {
      remember_files(settings_.recent, files->paths);
      ImGui::MarkIniSettingsDirty();
    }
  }
  const AnalysisResult& result = session_.result();
  if (!result.analysis || result.approximation_id == known_result_) return;
  known_result_ = result.approximation_id;
  messages_.log(Severity::note, fmt::format("layer {} head {}, n {}, k {}: relative error {}; {}, {} rescued rows, {}",
                                            result.request.layer, result.request.head, result.request.n, result.request.k,
                                            short_number(result.analysis->error.relative_error), work_text(result),
                                            result.analysis->apply.rescued_rows(),
                                            seconds_text(result.analysis->seconds.exact + result.analysis->seconds.recover +
                                                         result.analysis->seconds.apply)));
}

void App::dismiss(const std::string& banner) {
  messages_.clear_banner(banner);
  if (banner == failure_banner || banner == notice_banner) session_.dismiss();
}

void App::remember_window_size() {
  GLFWwindow* window = platform_.window();
  const bool usual =
      glfwGetWindowAttrib(window, GLFW_MAXIMIZED) == GLFW_FALSE && glfwGetWindowAttrib(window, GLFW_ICONIFIED) == GLFW_FALSE;
  if (!visible_ || !usual) return;
  int width = 0;
  int height = 0;
  int pixels = 0;
  glfwGetWindowSize(window, &width, &height);
  glfwGetFramebufferSize(window, &pixels, nullptr);
  // Where sizes are pixels, opening a window multiplies them by the screen's scale.
  const double scale = pixels == width ? platform_.display_scale() : 1.0;
  settings_.width = std::clamp(static_cast<int>(width / scale), least_window_side, largest_window_side);
  settings_.height = std::clamp(static_cast<int>(height / scale), least_window_side, largest_window_side);
}

void App::save_look() {
  if (settings_file_.empty()) return;
  std::size_t size = 0;
  const char* layout = ImGui::SaveIniSettingsToMemory(&size);
  settings_.layout.assign(layout, size);
  remember_window_size();
  settings_.hidden.clear();
  for (const PanelEntry& entry : panels_) {
    if (!entry.open) settings_.hidden.push_back(entry.id);
  }
  try {
    save_settings(settings_file_, settings_);
  } catch (const convbasis::Error& error) {
    messages_.set_banner("settings", Severity::warning, error.what());
    settings_file_.clear();  // said once
  }
}

}  // namespace convscope
