// Every entry of every menu can be chosen, whatever entries there are.

#include "gui/support/driver.h"

#include <algorithm>

namespace convscope {
namespace {

/// Dialogs of the system cannot be worked from here, and after Quit there is nothing left to look at.
bool can_be_tried(const std::string& entry) {
  return !entry.ends_with("…") && !entry.ends_with("/Save session") && !entry.ends_with("/Quit");
}

using Menus = ThroughWindow;

TEST_F(Menus, HoldTheUsualEntries) {
  drive([&](Hand& hand) {
    const std::vector<std::string> entries = menu_entries(hand);
    EXPECT_THAT(entries, testing::Contains("File/Open example"));
    EXPECT_THAT(entries, testing::Contains("File/Quit"));
    EXPECT_THAT(entries, testing::Contains("View/Layout/Reset"));
    EXPECT_GE(entries.size(), 40U);
  });
}

TEST_F(Menus, EveryEntryCanBeChosen) {
  drive([&](Hand& hand) {
    for (const std::string& entry : menu_entries(hand)) {
      if (!can_be_tried(entry) || hand.IsError()) continue;
      hand.MenuClick(("//##MainMenuBar/" + entry).c_str());
      settle(hand);
      hand.PopupCloseAll();
      hand.Yield();
      EXPECT_FALSE(session().failure()) << entry << ": " << session().failure()->text;
      EXPECT_FALSE(app_->closed()) << entry;
      ASSERT_TRUE(session().source()) << entry;
      if (session().failure()) session().dismiss();
    }
    settle(hand);
    EXPECT_FALSE(session().stale());
  });
}

TEST_F(Menus, QuitClosesTheWindow) {
  drive([&](Hand& hand) {
    ASSERT_FALSE(app_->closed());
    choose(hand, "File/Quit");
    EXPECT_TRUE(app_->closed());
  });
}

TEST_F(Menus, KeysDoWhatTheirEntriesDo) {
  drive([&](Hand& hand) {
    app_->view().window = {10.0, 5.0, 20.0};
    hand.Yield(2);
    hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_F);
    hand.Yield(2);
    EXPECT_EQ(app_->view().window, fit_window(analysis().n));
  });
}

}  // namespace
}  // namespace convscope
