/// \file
/// Works the real window, hidden, through Dear ImGui Test Engine: by the names of its items, with mouse and keyboard.
#pragma once

#include "gui/support/looking.h"
#include "window/app.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <imgui_te_context.h>
#include <imgui_te_engine.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace convscope {

/// The hand of the user: moves the mouse, clicks, types. Each of its verbs takes frames.
using Hand = ImGuiTestContext;

/// One window a test. The steps of drive() run on a thread of their own, by turns with the window's and never beside it: they may
/// read and steer the App, but OpenGL belongs to the window's thread, so pictures come from look().
class ThroughWindow : public testing::Test {
 protected:
  static constexpr int width = 1280;
  static constexpr int height = 800;

  void SetUp() override { open({}); }
  void TearDown() override { close(); }

  /// Opens a window in place of the one there is, and waits until all that is on screen is complete.
  void open(WindowOptions options, int wide = width, int high = height, std::filesystem::path settings = {});
  void open_app(AppOptions options);
  void close();

  /// Runs the steps. What Dear ImGui Test Engine complains about (an item that is not there, say) fails the test.
  void drive(const std::function<void(Hand&)>& steps);

  // Inside steps.
  /// Waits until nothing is being computed and all that is on screen is complete.
  void settle(Hand& hand);
  Picture look(Hand& hand);
  /// For a human: the window as a PNG in the folder that the environment variable CONVSCOPE_TEST_PICTURES names, if it does.
  void keep_picture(Hand& hand, const std::string& name);
  /// All entries of the menu bar, as "View/Larger" or "File/Recent/model.safetensors"; entries that cannot be chosen are left
  /// out.
  std::vector<std::string> menu_entries(Hand& hand);
  /// Chooses the entry, named as above, with the mouse.
  static void choose(Hand& hand, const std::string& entry);
  /// Calls what the window set as its drop callback, as GLFW does.
  static void drop(const std::vector<std::string>& paths);
  /// The names of all panels: windows that are docked, seen or behind another tab.
  static std::vector<std::string> panels();

  Session& session() { return app_->session(); }
  const convbasis::HeadAnalysis<float>& analysis() { return *session().result().analysis; }

  std::unique_ptr<App> app_;

 private:
  void find_menus(Hand& hand);
  void collect_entries(Hand& hand, const std::string& menu, std::vector<std::string>& entries);

  ImGuiTestEngine* engine_ = nullptr;
  std::vector<std::string> menus_;  ///< names in the menu bar, once they were asked for
  bool waiting_ = false;            ///< for work in the background: it gets the processor
  bool picture_wanted_ = false;     ///< the next frame goes into picture_
  Picture picture_;
};

}  // namespace convscope
