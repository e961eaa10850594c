// The panel of heads and the runtime panel, worked by the mouse.

#include "gui/support/driver.h"

namespace convscope {
namespace {

using HeadsAndRuntime = ThroughWindow;

TEST_F(HeadsAndRuntime, ClickInTheGridOpensThatHead) {
  drive([&](Hand& hand) {
    hand.ItemInputValue("//###parameters/##n/##number", "96");  // a survey of it takes no time that matters
    settle(hand);
    app_->heads().set_tokens(96);
    hand.WindowFocus("//Heads###heads");
    settle(hand);
    const AnalysisRequest before = session().wanted();
    hand.SetRef(hand.WindowInfo("//Heads###heads/overview").Window);
    const ImRect grid = hand.ItemInfo("grid").RectClipped;
    ASSERT_GT(grid.GetWidth(), 20.0F);
    ASSERT_GT(grid.GetHeight(), 20.0F);
    bool opened = false;
    // Which cells there are is the panel's business; among some places there is a head that is not the open one.
    for (float x = 0.35F; x < 1.0F && !opened; x += 0.2F) {
      for (float y = 0.35F; y < 1.0F && !opened; y += 0.3F) {
        hand.MouseMoveToPos({grid.Min.x + x * grid.GetWidth(), grid.Min.y + y * grid.GetHeight()});
        hand.MouseClick();
        hand.Yield(3);
        opened = session().wanted().head != before.head || session().wanted().layer != before.layer;
      }
    }
    ASSERT_TRUE(opened);
    settle(hand);
    EXPECT_EQ(session().result().request, session().wanted());
    EXPECT_FALSE(session().failure());
  });
}

TEST_F(HeadsAndRuntime, SurveyCanBePausedAndContinued) {
  drive([&](Hand& hand) {
    hand.WindowFocus("//Heads###heads");
    hand.Yield(3);
    for (const char* button : {"//Heads###heads/**/Pause", "//Heads###heads/**/Continue"}) {
      if (hand.ItemExists(button)) hand.ItemClick(button);
      hand.Yield(3);
    }
    EXPECT_FALSE(session().failure());
  });
}

TEST_F(HeadsAndRuntime, RuntimePanelSaysWhatItDoes) {
  drive([&](Hand& hand) {
    hand.WindowFocus("//Runtime###runtime");
    settle(hand);
    EXPECT_GT(distinct_colours(look(hand), rectangle("###runtime")), 12U);
    EXPECT_FALSE(app_->measuring()) << "tests of the window measure nothing";
  });
}

}  // namespace
}  // namespace convscope
