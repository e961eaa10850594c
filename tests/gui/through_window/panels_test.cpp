// Every panel has something to show: in both themes, at twice the size, and wherever the user has put it.

#include "gui/support/driver.h"

namespace convscope {
namespace {

class Panels : public ThroughWindow {
 protected:
  /// Brings one panel after the other to the front and looks at it.
  void expect_contents(Hand& hand) {
    const std::vector<std::string> names = panels();
    EXPECT_GE(names.size(), 7U);
    for (const std::string& name : names) {
      hand.WindowFocus(("//" + name).c_str());
      settle(hand);
      const Picture picture = look(hand);
      const ImVec4 area = rectangle(name.c_str());
      EXPECT_GT(area.z - area.x, 40.0F) << name;
      EXPECT_GT(area.w - area.y, 40.0F) << name;
      // The ground, its border and the smoothed edges of some letters.
      EXPECT_GT(distinct_colours(picture, area), 12U) << name << " shows nothing";
    }
    EXPECT_FALSE(session().failure()) << session().failure()->text;
  }

  /// The same place, but for the rounding of shares of the window to pixels.
  static void expect_near(ImVec4 place, ImVec4 expected) {
    constexpr float tolerance = 2.0F;
    EXPECT_NEAR(place.x, expected.x, tolerance);
    EXPECT_NEAR(place.y, expected.y, tolerance);
    EXPECT_NEAR(place.z, expected.z, tolerance);
    EXPECT_NEAR(place.w, expected.w, tolerance);
  }

  static float brightness(const Picture& picture) {
    double sum = 0.0;
    for (const std::uint8_t byte : picture.rgb) sum += byte;
    return static_cast<float>(sum / static_cast<double>(picture.rgb.size()));
  }
};

TEST_F(Panels, EachShowsSomething) {
  drive([&](Hand& hand) { expect_contents(hand); });
}

TEST_F(Panels, EachShowsSomethingAtTwiceTheSize) {
  WindowOptions options;
  options.ui_scale = 2.0;
  open(options, 1600, 1000);
  drive([&](Hand& hand) { expect_contents(hand); });
}

TEST_F(Panels, EachShowsSomethingInASmallWindow) {
  WindowOptions options;
  options.theme = Theme::light;
  open(options, 1000, 600);
  drive([&](Hand& hand) { expect_contents(hand); });
}

TEST_F(Panels, ThemeIsChosenInAMenu) {
  drive([&](Hand& hand) {
    choose(hand, "View/Light");
    settle(hand);
    const float light = brightness(look(hand));
    choose(hand, "View/Dark");
    settle(hand);
    const float dark = brightness(look(hand));
    EXPECT_GT(light, 150.0F);
    EXPECT_LT(dark, 100.0F);
  });
}

TEST_F(Panels, KeysChangeTheSizeOfEverything) {
  drive([&](Hand& hand) {
    const float before = ImGui::GetFontSize();
    for (int i = 0; i < 7; ++i) hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_Equal);
    hand.Yield(2);
    EXPECT_NEAR(ImGui::GetFontSize() / before, 1.95F, 0.1F);
    settle(hand);
    EXPECT_FALSE(session().failure());
    hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_Minus);
    hand.Yield(2);
    EXPECT_NEAR(ImGui::GetFontSize() / before, 1.77F, 0.1F);
    hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_0);
    hand.Yield(2);
    EXPECT_EQ(ImGui::GetFontSize(), before);
  });
}

TEST_F(Panels, EachLayoutShowsThemAll) {
  drive([&](Hand& hand) {
    for (const char* layout : {"View/Layout/Teach", "View/Layout/Compare", "View/Layout/Train", "View/Layout/Explore"}) {
      SCOPED_TRACE(layout);
      choose(hand, layout);
      settle(hand);
      expect_contents(hand);
    }
  });
}

TEST_F(Panels, EachCanBeHiddenAndShown) {
  drive([&](Hand& hand) {
    for (const Action& action : std::vector<Action>(app_->actions().all())) {
      if (action.menu != "View/Panels" || hand.IsError()) continue;
      const std::string id = action.id.substr(action.id.find('.') + 1);
      const bool open = app_->is_open(id);
      const std::size_t shown = panels().size();
      choose(hand, action.menu + "/" + action.name);
      hand.Yield(2);
      EXPECT_EQ(app_->is_open(id), !open) << id;
      EXPECT_NE(panels().size(), shown) << id;
      choose(hand, action.menu + "/" + action.name);
      hand.Yield(2);
      EXPECT_EQ(app_->is_open(id), open) << id;
      EXPECT_EQ(panels().size(), shown) << id;
    }
    settle(hand);
    expect_contents(hand);
  });
}

TEST_F(Panels, ResetBringsTornOffPanelsBack) {
  drive([&](Hand& hand) {
    choose(hand, "View/Layout/Reset");
    settle(hand);
    const ImVec4 source = rectangle("###source");
    const ImVec4 residual = rectangle("###residual");
    for (const char* name : {"Source###source", "Residual###residual"}) {
      ImGuiWindow* window = hand.GetWindowByRef((std::string("//") + name).c_str());
      ASSERT_TRUE(window);
      hand.DockNodeHideTabBar(window->DockNode, false);
      hand.UndockWindow(name);
      EXPECT_TRUE(hand.WindowIsUndockedOrStandalone(window)) << name;
    }
    hand.WindowMove("//Source###source", ImVec2(500, 300));
    settle(hand);
    EXPECT_NE(rectangle("###source").x, source.x);
    choose(hand, "View/Layout/Reset");
    settle(hand);
    expect_near(rectangle("###source"), source);
    expect_near(rectangle("###residual"), residual);
    EXPECT_FALSE(session().failure());
  });
}

}  // namespace
}  // namespace convscope
