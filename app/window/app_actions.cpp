// The table of everything that can be done in the window. Another panel adds its own with ActionTable::add.

#include "window/app.h"

#include <imgui_internal.h>

#include <algorithm>
#include <array>
#include <utility>

namespace convscope {

namespace {

constexpr ImGuiKeyChord ctrl(ImGuiKey key) { return ImGuiMod_Ctrl | key; }
constexpr ImGuiKeyChord ctrl_shift(ImGuiKey key) { return ImGuiMod_Ctrl | ImGuiMod_Shift | key; }

std::string capitalised(std::string_view word) {
  std::string text(word);
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') text.front() = static_cast<char>(text.front() - 'a' + 'A');
  return text;
}

}  // namespace

void App::make_actions() {
  add_file_actions();
  add_edit_actions();
  add_view_actions();
  add_map_actions();
  add_panel_actions();
  add_head_actions();
  for (Action& action : exporter_.actions(session_, [this] { return settings_.dark; })) actions_.add(std::move(action));
  add_help_actions();
}

void App::add_file_actions() {
  actions_.add({.id = "file.open",
                .menu = "File",
                .name = "Open…",
                .shortcuts = {ctrl(ImGuiKey_O)},
                .run = [this] { source_.ask_for_files(); },
                .help = "Tensor files, several at once, or a session"});
  actions_.add(LiveMenu{"File/Recent", [this] {
                          if (const FileGroup* chosen = recent_.draw(settings_.recent)) open(FileGroup(*chosen));
                        }});
  actions_.add({.id = "file.example",
                .menu = "File",
                .name = "Open example",
                .shortcuts = {ctrl(ImGuiKey_E)},
                .run = [this] { session_.open_example(); },
                .help = "Heads of SmolLM2-135M, shipped with the program"});
  actions_.add({.id = "file.tensors",
                .menu = "File",
                .name = "Tensors…",
                .shortcuts = {ctrl(ImGuiKey_T)},
                .run = [this] { ask_for_roles(); },
                .enabled = [this] { return files_in_question().has_value(); },
                .help = "All tensors of the files, and who is query, key and value"});
  actions_.add({.id = "file.save_session",
                .menu = "File",
                .name = "Save session",
                .shortcuts = {ctrl(ImGuiKey_S)},
                .run = [this] { session_path_.empty() ? ask_where_to_save() : save_session_as(session_path_); },
                .enabled = [this] { return has_source(); },
                .help = "What is open, parameters, view and look, in a small file",
                .after_line = true});
  actions_.add({.id = "file.save_session_as",
                .menu = "File",
                .name = "Save session as…",
                .shortcuts = {ctrl_shift(ImGuiKey_S)},
                .run = [this] { ask_where_to_save(); },
                .enabled = [this] { return has_source(); },
                .help = "Under another name"});
  actions_.add({.id = "file.restore",
                .menu = "File",
                .name = "Begin where I left off",
                .run =
                    [this] {
                      settings_.restore_session = !settings_.restore_session;
                      ImGui::MarkIniSettingsDirty();
                    },
                .ticked = [this] { return settings_.restore_session; },
                .help = "The next start shows the last session, while its files are there, in place of the example"});
  actions_.add({.id = "file.quit",
                .menu = "File",
                .name = "Quit",
                .shortcuts = {ctrl(ImGuiKey_Q)},
                .run = [this] { glfwSetWindowShouldClose(platform_.window(), GLFW_TRUE); },
                .help = "Look, layout and session are kept",
                .after_line = true});
}

void App::add_edit_actions() {
  actions_.add({.id = "edit.undo",
                .menu = "Edit",
                .name = "Undo",
                .shortcuts = {ctrl(ImGuiKey_Z)},
                .run = [this] { go_to_step(history_.undo(undo_step())); },
                .enabled = [this] { return has_source() && history_.can_undo(undo_step()); },
                .help = "Takes back the last change of parameters, head or view"});
  actions_.add({.id = "edit.redo",
                .menu = "Edit",
                .name = "Redo",
                .shortcuts = {ctrl(ImGuiKey_Y), ctrl_shift(ImGuiKey_Z)},
                .run = [this] { go_to_step(history_.redo(undo_step())); },
                .enabled = [this] { return has_source() && history_.can_redo(undo_step()); },
                .help = "Brings back what was undone"});
  actions_.add({.id = "edit.palette",
                .menu = "Edit",
                .name = "Commands…",
                .shortcuts = {ctrl_shift(ImGuiKey_P), ctrl(ImGuiKey_P)},
                .run = [this] { palette_.open(); },
                .help = "Finds any command by some letters of its name",
                .after_line = true});
}

void App::add_view_actions() {
  const auto has_maps = [this] { return session_.result().analysis != nullptr; };
  actions_.add({.id = "view.fit",
                .menu = "View",
                .name = "Whole map",
                .shortcuts = {ctrl(ImGuiKey_F)},
                .run = [this] { view_.fit(); },
                .enabled = has_maps,
                .help = "Shows all of the maps"});
  actions_.add({.id = "view.go_to",
                .menu = "View",
                .name = "Go to (i, j)…",
                .shortcuts = {ctrl(ImGuiKey_G)},
                .run = [this] { go_to_.open(); },
                .enabled = has_maps,
                .help = "Moves the maps to a query and a key, and pins the cell"});
  const auto theme = [this](const char* id, const char* name, Theme which, bool after_line) {
    actions_.add({.id = id,
                  .menu = "View",
                  .name = name,
                  .run = [this, which] { set_theme(which); },
                  .ticked = [this, which] { return settings_.dark == (which == Theme::dark); },
                  .help = which == Theme::dark ? "Dark panels" : "Light panels",
                  .after_line = after_line});
  };
  theme("view.dark", "Dark", Theme::dark, true);
  theme("view.light", "Light", Theme::light, false);
  actions_.add({.id = "view.larger",
                .menu = "View",
                .name = "Larger",
                .shortcuts = {ctrl(ImGuiKey_Equal), ctrl(ImGuiKey_KeypadAdd), ctrl_shift(ImGuiKey_Equal)},
                .run = [this] { set_ui_scale(settings_.ui_scale * 1.1); },
                .enabled = [this] { return settings_.ui_scale < largest_ui_scale; },
                .help = "Larger type, up to 400 %",
                .after_line = true});
  actions_.add({.id = "view.smaller",
                .menu = "View",
                .name = "Smaller",
                .shortcuts = {ctrl(ImGuiKey_Minus), ctrl(ImGuiKey_KeypadSubtract)},
                .run = [this] { set_ui_scale(settings_.ui_scale / 1.1); },
                .enabled = [this] { return settings_.ui_scale > least_ui_scale; },
                .help = "Smaller type, down to 50 %"});
  actions_.add({.id = "view.usual_size",
                .menu = "View",
                .name = "Usual size",
                .shortcuts = {ctrl(ImGuiKey_0), ctrl(ImGuiKey_Keypad0)},
                .run = [this] { set_ui_scale(1.0); },
                .help = "Type of 100 %"});
}

void App::add_map_actions() {
  using convbasis::MapQuantity;
  using convbasis::Pooling;
  const auto choice = [this](const std::string& group, std::string_view name, auto MapView::*member, auto value,
                             const char* help) {
    const bool other_values = group == "Values" || group == "Scale";
    std::string id = "map." + group + "." + std::string(name);
    std::ranges::transform(id, id.begin(), [](char c) {
      return c == ' ' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    });
    actions_.add({.id = id,
                  .menu = "View/" + group,
                  .name = capitalised(name),
                  .run =
                      [this, member, value, other_values] {
                        // The numbers of a locked range mean nothing for other values.
                        if (other_values && view_.*member != value) view_.range_locked = false;
                        view_.*member = value;
                      },
                  .ticked = [this, member, value] { return view_.*member == value; },
                  .help = help,
                  .after_line = group == "Values"});
  };
  choice("Values", "probability", &MapView::quantity, MapQuantity::probability, "Maps of attention probabilities");
  choice("Values", "score", &MapView::quantity, MapQuantity::score, "Maps of scores, before the softmax");
  choice("Scale", name_of(ScaleKind::linear), &MapView::scale, ScaleKind::linear, "Colours rise evenly with the values");
  choice("Scale", name_of(ScaleKind::log), &MapView::scale, ScaleKind::log, "Colours rise evenly with the logarithm");
  choice("Scale", name_of(ScaleKind::symlog), &MapView::scale, ScaleKind::symlog,
         "Linear around zero, logarithmic far from it, for both signs");
  for (const ColourMap map : {ColourMap::viridis, ColourMap::cividis, ColourMap::magma, ColourMap::grey}) {
    choice("Colours", name_of(map), &MapView::colour_map, map, "Colours of the exact map and its approximation");
  }
  choice("Zoomed out", "mean", &MapView::pooling, Pooling::mean, "A pixel of many cells shows their mean");
  choice("Zoomed out", "peak", &MapView::pooling, Pooling::peak, "A pixel of many cells shows the largest of them");
  actions_.add({.id = "map.lock_range",
                .menu = "View",
                .name = "Lock the colour range",
                .shortcuts = {ctrl(ImGuiKey_L)},
                .run = [this] { view_.range_locked = !view_.range_locked; },
                .ticked = [this] { return view_.range_locked; },
                .help = "Keeps the range of the colours while head, parameters or view change"});
}

void App::add_panel_actions() {
  constexpr std::array keys{ImGuiKey_1, ImGuiKey_2, ImGuiKey_3, ImGuiKey_4};
  constexpr std::array presets{LayoutPreset::explore, LayoutPreset::teach, LayoutPreset::compare, LayoutPreset::train};
  constexpr std::array helps{"Everything at once", "Larger type and a wider left column, for a projector",
                             "A taller row of maps, for two heads", "A wide panel of training"};
  for (std::size_t i = 0; i < presets.size(); ++i) {
    actions_.add({.id = "layout." + std::string(name_of(presets[i])),
                  .menu = "View/Layout",
                  .name = capitalised(name_of(presets[i])),
                  .shortcuts = {ctrl(keys[i])},
                  .run = [this, preset = presets[i]] { set_layout(preset); },
                  .ticked = [this, preset = presets[i]] { return settings_.preset == preset; },
                  .help = helps[i],
                  .after_line = i == 0});
  }
  actions_.add({.id = "layout.reset",
                .menu = "View/Layout",
                .name = "Reset",
                .run = [this] { set_layout(settings_.preset); },
                .help = "All panels back to where this layout has them",
                .after_line = true});
  for (const PanelEntry& entry : panels_) {
    const std::string id = entry.id;
    std::vector<ImGuiKeyChord> shortcuts;
    if (id == "log") shortcuts = {ctrl_shift(ImGuiKey_L)};
    actions_.add({.id = "panel." + id,
                  .menu = "View/Panels",
                  .name = title_of(entry),
                  .shortcuts = std::move(shortcuts),
                  .run =
                      [this, id] {
                        PanelEntry& toggled = *panel(id);
                        toggled.open = !toggled.open;
                        if (toggled.open) panel_to_focus_ = toggled.window;
                        ImGui::MarkIniSettingsDirty();
                      },
                  .ticked = [this, id] { return is_open(id); },
                  .help = "Shows or hides this panel"});
  }
}

void App::add_head_actions() {
  const auto step = [this](const char* id, const char* name, ImGuiKey key, Index heads, Index layers, bool after_line) {
    actions_.add({.id = id,
                  .menu = "Head",
                  .name = name,
                  .shortcuts = {ctrl(key)},
                  .run = [this, heads, layers] { step_head(heads, layers); },
                  .enabled = [this] { return has_source(); },
                  .help = "Stops at the first and the last",
                  .after_line = after_line});
  };
  step("head.next", "Next head", ImGuiKey_RightArrow, 1, 0, false);
  step("head.previous", "Previous head", ImGuiKey_LeftArrow, -1, 0, false);
  step("head.next_layer", "Next layer", ImGuiKey_DownArrow, 0, 1, true);
  step("head.previous_layer", "Previous layer", ImGuiKey_UpArrow, 0, -1, false);
  actions_.add({.id = "head.put_b",
                .menu = "Head",
                .name = "Put into slot B",
                .shortcuts = {ctrl(ImGuiKey_B)},
                .run = [this] { put_into_b(); },
                .enabled = [this] { return has_source(); },
                .help = "Keeps this head, to compare the next one with it",
                .after_line = true});
  actions_.add({.id = "head.swap_b",
                .menu = "Head",
                .name = "Swap A and B",
                .run = [this] { swap_a_and_b(); },
                .enabled = [this] { return slot_b_ != nullptr; },
                .help = "The head in slot B becomes the one that all panels show"});
  actions_.add({.id = "head.clear_b",
                .menu = "Head",
                .name = "Clear slot B",
                .run = [this] { clear_b_wanted_ = true; },
                .enabled = [this] { return slot_b_ != nullptr; },
                .help = "Ends the comparison"});
  actions_.add({.id = "run.all_rows",
                .menu = "Run",
                .name = "Exact attention of all rows",
                .run =
                    [this] {
                      AnalysisRequest request = session_.wanted();
                      request.all_rows = !request.all_rows;
                      session_.want(request);
                    },
                .enabled = [this] { return has_source(); },
                .ticked = [this] { return session_.wanted().all_rows; },
                .help = "However long it takes: beyond 32768 tokens only some rows are compared otherwise"});
  actions_.add(
      {.id = "run.again",
       .menu = "Run",
       .name = "Compute again",
       .shortcuts = {ImGuiKey_F5},
       .run = [this] { session_.want(session_.wanted()); },
       .enabled = [this] { return has_source() && !session_.busy() && (session_.stale() || !session_.result().analysis); },
       .help = "After a cancel or an error"});
  actions_.add({.id = "run.cancel",
                .menu = "Run",
                .name = "Cancel",
                .shortcuts = {ctrl(ImGuiKey_Period)},
                .run = [this] { session_.cancel(); },
                .enabled = [this] { return session_.busy(); },
                .help = "Stops the work; the last result stays"});
  describe_devices();
}

void App::add_help_actions() {
  actions_.add({.id = "help.keys",
                .menu = "Help",
                .name = "Keys and mouse",
                .shortcuts = {ImGuiKey_F1},
                .run = [this] { shortcuts_.open(); },
                .help = "All shortcuts"});
  actions_.add({.id = "help.about",
                .menu = "Help",
                .name = "About",
                .run = [this] { about_wanted_ = true; },
                .help = "Versions, renderer and kernels"});
}

void App::step_head(Index heads, Index layers) {
  AnalysisRequest request = session_.wanted();
  const auto& all = session_.source()->layers();
  auto at = std::ranges::find(all, request.layer, &convbasis::LayerInfo::layer);
  if (at == all.end()) return;
  const auto place = std::clamp<Index>((at - all.begin()) + layers, 0, static_cast<Index>(all.size()) - 1);
  const auto& layer = all[static_cast<std::size_t>(place)];
  request.layer = layer.layer;
  request.head = std::clamp<Index>(request.head + heads, 0, layer.heads - 1);
  if (request != session_.wanted()) session_.want(request);
}

void App::go_to_step(const std::optional<UndoStep>& step) {
  if (!step) return;
  if (step->request != session_.wanted()) session_.want(step->request);
  apply(step->view, view_);
  view_wanted_ = step->view;
}

void App::set_layout(LayoutPreset preset) {
  settings_.preset = preset;
  for (PanelEntry& entry : panels_) entry.open = entry.id != "log";
  layout_wanted_ = true;
  look_changed_ = true;
  frames_due_ = 3;
  ImGui::MarkIniSettingsDirty();
}

void App::set_ui_scale(double scale) {
  // Steps up and down again end where they began.
  settings_.ui_scale = std::abs(scale - 1.0) < 0.02 ? 1.0 : std::clamp(scale, least_ui_scale, largest_ui_scale);
  look_changed_ = true;
  ImGui::MarkIniSettingsDirty();
}

void App::set_theme(Theme theme) {
  settings_.dark = theme == Theme::dark;
  look_changed_ = true;
  ImGui::MarkIniSettingsDirty();
}

}  // namespace convscope
