#include "gui/support/driver.h"

#include <GLFW/glfw3.h>

#include <algorithm>
#include <cfloat>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>

namespace convscope {

using namespace std::chrono_literals;

namespace {

constexpr auto patience = 120s;
constexpr const char* menu_bar = "//##MainMenuBar";

/// A slash in a label would be taken for the next part of the path.
std::string escaped(const char* label) {
  std::string text;
  for (; *label != '\0'; ++label) {
    if (*label == '/') text += '\\';
    text += *label;
  }
  return text;
}

}  // namespace

void ThroughWindow::open(WindowOptions options, int wide, int high, std::filesystem::path settings) {
  AppOptions all;
  all.window = std::move(options);
  all.width = wide;
  all.height = high;
  all.settings_file = std::move(settings);
  open_app(std::move(all));
}

void ThroughWindow::open_app(AppOptions options) {
  close();
  options.visible = false;
  app_ = std::make_unique<App>(options);
  engine_ = ImGuiTestEngine_CreateContext();
  ImGuiTestEngineIO& io = ImGuiTestEngine_GetIO(engine_);
  io.ConfigSavedSettings = false;
  io.ConfigRunSpeed = ImGuiTestRunSpeed_Fast;
  io.ConfigMouseDrawCursor = false;
  io.ConfigLogToTTY = false;
  // A loaded machine is slow, not broken: drive() has a limit of its own.
  io.ConfigWatchdogWarning = FLT_MAX;
  io.ConfigWatchdogKillTest = FLT_MAX;
  menus_.clear();
  ImGuiTestEngine_Start(engine_, ImGui::GetCurrentContext());
  drive([this](Hand& hand) { settle(hand); });
}

void ThroughWindow::close() {
  if (!app_) return;
  ImGuiTestEngine_Stop(engine_);
  app_.reset();  // with it goes Dear ImGui, which the engine wants to outlive
  ImGuiTestEngine_DestroyContext(std::exchange(engine_, nullptr));
}

void ThroughWindow::drive(const std::function<void(Hand&)>& steps) {
  const char* name = testing::UnitTest::GetInstance()->current_test_info()->name();
  ImGuiTest* test = ImGuiTestEngine_RegisterTest(engine_, "window", name, __FILE__, __LINE__);
  test->TestFunc = [&steps](ImGuiTestContext* hand) { steps(*hand); };
  ImGuiTestEngine_QueueTest(engine_, test);
  const auto deadline = std::chrono::steady_clock::now() + 2 * patience;
  while (!ImGuiTestEngine_IsTestQueueEmpty(engine_) || ImGuiTestEngine_GetIO(engine_).IsRunningTests) {
    if (std::exchange(picture_wanted_, false)) {
      picture_ = app_->grab();
    } else {
      app_->frame();
    }
    ImGuiTestEngine_PostSwap(engine_);
    if (waiting_) std::this_thread::sleep_for(5ms);
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "the steps did not come to an end";
      ImGuiTestEngine_TryAbortEngine(engine_);
      break;
    }
  }
  if (test->Output.Status != ImGuiTestStatus_Success) {
    ImGuiTextBuffer log;
    test->Output.Log.ExtractLinesForVerboseLevels(ImGuiTestVerboseLevel_Error, ImGuiTestVerboseLevel_Debug, &log);
    ADD_FAILURE() << log.c_str();
  }
  ImGuiTestEngine_UnregisterTest(engine_, test);
}

void ThroughWindow::settle(Hand& hand) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  waiting_ = true;
  hand.Yield(2);  // wishes of this frame are taken up by the next
  while (!app_->settled() && !hand.IsError()) {
    hand.Yield();
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "the window did not come to rest";
      break;
    }
  }
  waiting_ = false;
  hand.Yield(2);  // axes that fit their curves
}

Picture ThroughWindow::look(Hand& hand) {
  picture_ = {};
  picture_wanted_ = true;
  while (picture_.rgb.empty() && !hand.IsError()) hand.Yield();
  return std::move(picture_);
}

void ThroughWindow::keep_picture(Hand& hand, const std::string& name) {
  const Picture picture = look(hand);
  if (const char* folder = std::getenv("CONVSCOPE_TEST_PICTURES"))
    write_png(std::filesystem::path(folder) / (name + ".png"), picture);
}

void ThroughWindow::collect_entries(Hand& hand, const std::string& menu, std::vector<std::string>& entries) {
  hand.MenuAction(ImGuiTestAction_Open, (std::string(menu_bar) + "/" + menu).c_str());
  ImGuiTestItemList items;
  hand.GatherItems(&items, "//$FOCUSED", 1);
  for (const ImGuiTestItemInfo& item : items) {
    if (hand.IsError()) return;
    const std::string label = escaped(item.DebugLabel);
    if (label.empty() || (item.ItemFlags & ImGuiItemFlags_Disabled) != 0) continue;
    if ((item.StatusFlags & ImGuiItemStatusFlags_Openable) != 0) {
      collect_entries(hand, menu + "/" + label, entries);
    } else {
      entries.push_back(menu + "/" + label);
    }
  }
}

void ThroughWindow::find_menus(Hand& hand) {
  // The engine does not list what is in a menu bar, so the mouse passes over it.
  const ImGuiWindow* bar = hand.GetWindowByRef(menu_bar);
  constexpr float step = 16.0F;  // no menu's name is narrower
  for (float x = bar->Pos.x + 4.0F; x < bar->Pos.x + bar->Size.x / 2.0F; x += step) {
    hand.MouseMoveToPos({x, bar->Pos.y + bar->Size.y / 2.0F});
    hand.Yield();
    const ImGuiID id = ImGui::GetCurrentContext()->HoveredIdPreviousFrame;
    const char* label = id == 0 ? "" : ImGuiTestEngine_FindItemDebugLabel(ImGui::GetCurrentContext(), id);
    const std::string menu = escaped(label == nullptr ? "" : label);
    if (!menu.empty() && std::ranges::find(menus_, menu) == menus_.end()) menus_.push_back(menu);
  }
}

std::vector<std::string> ThroughWindow::menu_entries(Hand& hand) {
  hand.PopupCloseAll();
  if (menus_.empty()) find_menus(hand);
  std::vector<std::string> entries;
  for (const std::string& menu : menus_) collect_entries(hand, menu, entries);
  hand.PopupCloseAll();
  return entries;
}

void ThroughWindow::choose(Hand& hand, const std::string& entry) {
  hand.MenuClick((std::string(menu_bar) + "/" + entry).c_str());
  hand.PopupCloseAll();
  hand.Yield(2);
}

void ThroughWindow::drop(const std::vector<std::string>& paths) {
  auto* window = static_cast<GLFWwindow*>(ImGui::GetMainViewport()->PlatformHandle);
  const GLFWdropfun callback = glfwSetDropCallback(window, nullptr);
  glfwSetDropCallback(window, callback);
  ASSERT_TRUE(callback);
  std::vector<const char*> names;
  for (const std::string& path : paths) names.push_back(path.c_str());
  callback(window, static_cast<int>(names.size()), names.data());
}

std::vector<std::string> ThroughWindow::panels() {
  std::vector<std::string> names;
  for (const ImGuiWindow* window : ImGui::GetCurrentContext()->Windows) {
    if (window->WasActive && window->DockNode && !window->DockNodeAsHost) names.emplace_back(window->Name);
  }
  return names;
}

}  // namespace convscope
