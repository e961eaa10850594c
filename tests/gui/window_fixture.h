/// \file
/// The real window, hidden, for tests that drive it by events and look at it.
#pragma once

#include "window/app.h"

#include <imgui_internal.h>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <set>
#include <string>
#include <utility>

namespace convscope {

class WindowTest : public testing::Test {
 protected:
  static constexpr int width = 1280;
  static constexpr int height = 800;

  void SetUp() override { open({}); }

  void open(WindowOptions options, std::filesystem::path settings_file = {}) {
    app_.reset();  // one at a time
    app_ = std::make_unique<App>(AppOptions{.window = std::move(options),
                                            .width = width,
                                            .height = height,
                                            .visible = false,
                                            .settings_file = std::move(settings_file)});
    settle();
  }

  void settle() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    app_->frame();
    app_->frame();
    do {
      // Only frames that are due: others would take their time from the work that is waited for.
      app_->step(0.05);
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the window did not come to rest";
    } while (!app_->settled());
    app_->frame();
    app_->frame();
  }
  void frames(int count) {
    for (int i = 0; i < count; ++i) app_->frame();
  }

  Session& session() { return app_->session(); }
  const convbasis::HeadAnalysis<float>& analysis() { return *session().result().analysis; }

  /// Where ImGui put a panel.
  static ImVec4 rectangle(const char* name) {
    const ImGuiWindow* window = ImGui::FindWindowByName(name);
    return window ? ImVec4(window->Pos.x, window->Pos.y, window->Pos.x + window->Size.x, window->Pos.y + window->Size.y)
                  : ImVec4();
  }
  static bool is_shown(const char* name) {
    const ImGuiWindow* window = ImGui::FindWindowByName(name);
    return window && window->Active && !window->Hidden;
  }

  void move_mouse(float x, float y) {
    ImGui::GetIO().AddMousePosEvent(x, y);
    app_->frame();
  }
  void press_mouse(bool down) {
    ImGui::GetIO().AddMouseButtonEvent(ImGuiMouseButton_Left, down);
    app_->frame();
  }
  /// Presses the keys together, the last one last, and lets them go.
  void press_keys(std::initializer_list<ImGuiKey> keys) {
    for (const bool down : {true, false}) {
      for (const ImGuiKey key : keys) ImGui::GetIO().AddKeyEvent(key, down);
      frames(2);
    }
  }
  void type(const char* text) {
    ImGui::GetIO().AddInputCharactersUTF8(text);
    frames(2);
  }

  /// For a human: the window as a PNG in the folder that the environment variable CONVSCOPE_TEST_PICTURES names, if it does.
  void keep_picture(const std::string& name) {
    if (const char* folder = std::getenv("CONVSCOPE_TEST_PICTURES")) {
      write_png(std::filesystem::path(folder) / (name + ".png"), app_->grab());
    }
  }

  std::unique_ptr<App> app_;
};

inline std::size_t distinct_colours(const Picture& picture, ImVec4 area) {
  std::set<std::uint32_t> colours;
  for (int y = static_cast<int>(area.y); y < static_cast<int>(area.w); ++y) {
    for (int x = static_cast<int>(area.x); x < static_cast<int>(area.z); ++x) {
      const std::uint8_t* p = picture.pixel(x, y);
      colours.insert(std::uint32_t{p[0]} << 16U | std::uint32_t{p[1]} << 8U | p[2]);
    }
  }
  return colours.size();
}

}  // namespace convscope
