// Palette, list of keys, sessions: by keys and by dropping the file, as a user does.

#include "gui/support/driver.h"

#include "state/session_file.h"

#include <filesystem>
#include <fstream>

namespace convscope {
namespace {

class Shell : public ThroughWindow {
 protected:
  void SetUp() override {
    ThroughWindow::SetUp();
    folder_ = std::filesystem::path(testing::TempDir()) / "convscope_window_shell";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    ThroughWindow::TearDown();
    std::filesystem::remove_all(folder_);
  }

  static bool is_shown(const char* name) {
    const ImGuiWindow* window = ImGui::FindWindowByName(name);
    return window && window->WasActive && !window->Hidden;
  }

  std::filesystem::path folder_;
};

TEST_F(Shell, PaletteRunsWhatWasTyped) {
  drive([&](Hand& hand) {
    ASSERT_TRUE(app_->settings().dark);
    hand.KeyPress(ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_P);
    hand.Yield(2);
    ASSERT_TRUE(is_shown(CommandPalette::window_name));
    const Picture picture = look(hand);
    EXPECT_GT(distinct_colours(picture, rectangle(CommandPalette::window_name)), 12U);
    hand.KeyChars("light");
    hand.Yield(2);
    hand.KeyPress(ImGuiKey_Enter);
    hand.Yield(2);
    EXPECT_FALSE(app_->settings().dark);
    EXPECT_FALSE(is_shown(CommandPalette::window_name));
  });
}

TEST_F(Shell, PaletteRunsActionsByTheirNames) {
  drive([&](Hand& hand) {
    for (const char* id : {"view.fit", "layout.teach", "map.lock_range"}) {
      const Action* action = app_->actions().find(id);
      ASSERT_TRUE(action) << id;
      const bool was_ticked = action->ticked && action->ticked();
      hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_P);
      hand.Yield(2);
      hand.KeyChars(action->name.c_str());
      hand.Yield(2);
      hand.KeyPress(ImGuiKey_Enter);
      hand.Yield(2);
      if (action->ticked) {
        EXPECT_NE(action->ticked(), was_ticked) << id;
      }
    }
    settle(hand);
    EXPECT_FALSE(session().failure());
  });
}

TEST_F(Shell, F1ListsTheKeysAndEscapeEndsIt) {
  drive([&](Hand& hand) {
    hand.KeyPress(ImGuiKey_F1);
    hand.Yield(3);
    ASSERT_TRUE(is_shown(ShortcutList::window_name));
    EXPECT_GT(distinct_colours(look(hand), rectangle(ShortcutList::window_name)), 20U);
    hand.KeyPress(ImGuiKey_Escape);
    hand.Yield(3);
    EXPECT_FALSE(is_shown(ShortcutList::window_name));
  });
}

TEST_F(Shell, SessionComesBackAfterEverythingWasChanged) {
  drive([&](Hand& hand) {
    hand.ItemInputValue("//###parameters/##k/##number", "5");
    hand.ItemInputValue("//###parameters/##n/##number", "128");
    settle(hand);
    app_->view().window = {20.0, 10.0, 40.0};
    app_->view().pinned = CellIndex{50, 30};
    app_->view().scale = ScaleKind::linear;
    app_->view().colour_map = ColourMap::magma;
    choose(hand, "View/Light");
    choose(hand, "View/Layout/Teach");
    settle(hand);
    const SavedSession before = app_->saved_session();
    const std::string path = (folder_ / "round.convscope.json").string();
    app_->save_session_as(path);

    choose(hand, "File/Open example");
    settle(hand);
    hand.ItemInputValue("//###parameters/##k/##number", "2");
    choose(hand, "View/Dark");
    choose(hand, "View/Layout/Explore");
    choose(hand, "View/Colours/Grey");
    choose(hand, "View/Scale/Log");
    choose(hand, "View/Whole map");
    app_->view().pinned.reset();
    settle(hand);
    ASSERT_NE(app_->saved_session().request.k, before.request.k);

    drop({path});
    settle(hand);
    ASSERT_FALSE(session().failure()) << session().failure()->text;
    SavedSession after = app_->saved_session();
    after.request.source = before.request.source;  // a number of one run
    EXPECT_EQ(after.request, before.request);
    EXPECT_EQ(after.view, before.view);
    EXPECT_EQ(after.pinned, before.pinned);
    EXPECT_EQ(after.dark, before.dark);
    EXPECT_EQ(after.preset, before.preset);
    EXPECT_EQ(after.panels, before.panels);
    EXPECT_FALSE(session().stale());
    EXPECT_EQ(analysis().options.k, 5);
    EXPECT_EQ(analysis().n, 128);
  });
}

TEST_F(Shell, BrokenSessionIsExplainedAndChangesNothing) {
  const auto path = folder_ / "broken.convscope.json";
  std::ofstream(path) << "{\"version\": 1, \"request\": {\"k\": \"many\"";
  drive([&](Hand& hand) {
    const AnalysisRequest before = session().wanted();
    drop({path.string()});
    settle(hand);
    ASSERT_TRUE(session().failure());
    EXPECT_THAT(session().failure()->text, testing::HasSubstr("broken.convscope.json"));
    EXPECT_EQ(session().wanted(), before);
  });
}

}  // namespace
}  // namespace convscope
