// Parameters are typed and dragged.

#include "gui/support/driver.h"
#include "panels/map_colours.h"

#include <GLFW/glfw3.h>

namespace convscope {
namespace {

class Parameters : public ThroughWindow {
 protected:
  ImVec4 slider(ParametersPanel::Row row) { return app_->parameters().slider_rectangle(row); }

  /// Until a change counts as a step that can be undone.
  static void rest(Hand& hand) {
    for (const double end = glfwGetTime() + 1.0; glfwGetTime() < end;) hand.Yield();
  }

  /// From one share of the slider's width to another, in steps.
  void drag(Hand& hand, ParametersPanel::Row row, float from, float to) {
    hand.WindowFocus("//###parameters");
    const ImVec4 area = slider(row);
    const auto at = [&](float share) { return ImVec2(area.x + share * (area.z - area.x), (area.y + area.w) / 2.0F); };
    hand.MouseMoveToPos(at(from));
    hand.MouseDown();
    constexpr int steps = 12;
    for (int i = 1; i <= steps; ++i) {
      hand.MouseMoveToPos(at(from + (to - from) * static_cast<float>(i) / static_cast<float>(steps)));
    }
    hand.MouseUp();
  }
};

TEST_F(Parameters, TypedNumbersAreTakenAsTheyAre) {
  drive([&](Hand& hand) {
    hand.ItemInputValue("//###parameters/##k/##number", "5");
    settle(hand);
    EXPECT_EQ(session().wanted().k, 5);
    EXPECT_EQ(analysis().options.k, 5);
    hand.ItemInputValue("//###parameters/##eps/##number", "0.0125");
    hand.ItemInputValue("//###parameters/##delta/##number", "0.75");
    settle(hand);
    EXPECT_EQ(analysis().options.eps, 0.0125);
    EXPECT_EQ(analysis().options.delta, 0.75);
    hand.ItemInputValue("//###parameters/##T/##number", "3");
    hand.ItemInputValue("//###parameters/##n/##number", "60");
    settle(hand);
    EXPECT_EQ(analysis().options.T, 3);
    EXPECT_EQ(analysis().n, 60);
    EXPECT_FALSE(session().stale());
  });
}

TEST_F(Parameters, TypedNonsenseChangesNothing) {
  drive([&](Hand& hand) {
    const AnalysisRequest before = session().wanted();
    hand.ItemInputValue("//###parameters/##k/##number", "three");
    hand.ItemInputValue("//###parameters/##eps/##number", "");
    settle(hand);
    EXPECT_EQ(session().wanted().k, before.k);
    EXPECT_FALSE(session().failure());
    // Out of range: the nearest that is possible.
    hand.ItemInputValue("//###parameters/##k/##number", "-7");
    settle(hand);
    EXPECT_EQ(session().wanted().k, 1);
    hand.ItemInputValue("//###parameters/##n/##number", "999999999");
    settle(hand);
    EXPECT_EQ(session().wanted().n, session().source()->layer(session().wanted().layer).size);
  });
}

TEST_F(Parameters, EverySliderCanBeDragged) {
  drive([&](Hand& hand) {
    drag(hand, ParametersPanel::n, 0.99F, 0.5F);
    const convbasis::Index n = session().wanted().n;
    EXPECT_LT(n, session().source()->layer(session().wanted().layer).size);
    drag(hand, ParametersPanel::k, 0.1F, 0.4F);
    const convbasis::Index k = session().wanted().k;
    EXPECT_GT(k, 1);
    drag(hand, ParametersPanel::T, 0.1F, 0.6F);
    EXPECT_GT(session().wanted().T, 1);
    drag(hand, ParametersPanel::delta, 0.1F, 0.7F);
    EXPECT_GT(session().wanted().delta, 0.0);
    drag(hand, ParametersPanel::eps, 0.9F, 0.02F);
    EXPECT_LT(session().wanted().eps, 1e-3);
    settle(hand);
    EXPECT_EQ(session().result().request, session().wanted());
    EXPECT_EQ(analysis().n, n);
    EXPECT_EQ(analysis().options.k, k);
  });
}

TEST_F(Parameters, AFitIsChosenAndTurned) {
  drive([&](Hand& hand) {
    hand.WindowFocus("//###parameters");
    hand.ItemClick("//###parameters/fit");
    settle(hand);
    ASSERT_TRUE(analysis().fit);
    EXPECT_EQ(session().result().request.method, Method::fit);
    hand.ItemInputValue("//###parameters/##k/##number", "0");  // rank one
    hand.ItemInputValue("//###parameters/##w/##number", "7");
    hand.ItemInputValue("//###parameters/##c/##number", "3");
    settle(hand);
    EXPECT_EQ(analysis().fit->k(), 0);
    EXPECT_EQ(analysis().fit->exact.band, 7);
    EXPECT_EQ(analysis().fit->exact.columns.size(), 3U);
    EXPECT_LT(analysis().error.relative_error, 1.0);
    look(hand);
    drag(hand, ParametersPanel::band, 0.1F, 0.6F);
    EXPECT_GT(session().wanted().band, 7);
    // Back again: k must be at least 1 there.
    hand.ItemClick("//###parameters/recover");
    settle(hand);
    EXPECT_FALSE(analysis().fit);
    EXPECT_EQ(analysis().options.k, 1);
  });
}

TEST_F(Parameters, LowRankIsChosenTurnedAndUndone) {
  drive([&](Hand& hand) {
    const AnalysisRequest before = session().wanted();
    rest(hand);
    const auto recovered = session().result().analysis;
    hand.WindowFocus("//###parameters");
    hand.ItemClick("//###parameters/rank");
    settle(hand);
    ASSERT_TRUE(analysis().rank);
    EXPECT_EQ(session().result().request.method, Method::rank);
    EXPECT_NE(session().result().analysis, recovered);
    EXPECT_EQ(describe_approximation(analysis()), "k = " + std::to_string(before.k) + " (SVD)");
    const double wide = analysis().error.relative_error;
    hand.ItemInputValue("//###parameters/##r/##number", "2");
    settle(hand);
    EXPECT_EQ(analysis().rank->rank, 2);
    EXPECT_GT(analysis().error.relative_error, wide) << "other numbers, so another map";
    look(hand);
    rest(hand);
    hand.ItemClick("//###parameters/features");
    settle(hand);
    ASSERT_TRUE(analysis().rank->features);
    EXPECT_EQ(describe_approximation(analysis()), "degree 2");
    hand.ItemInputValue("//###parameters/##g/##number", "1");
    settle(hand);
    EXPECT_EQ(analysis().rank->rank, analysis().head().width() + 1);
    look(hand);
    rest(hand);
    for (int step = 0; step < 8 && !(session().wanted() == before); ++step) {
      hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_Z);
      settle(hand);
    }
    EXPECT_EQ(session().wanted(), before);
    EXPECT_FALSE(analysis().rank);
  });
}

TEST_F(Parameters, FeaturesThatDoNotFitAreRefusedAndTheLastMapStays) {
  drive([&](Hand& hand) {
    AnalysisRequest wish = session().wanted();
    wish.method = Method::rank;
    wish.rank_kind = convbasis::RankKind::features;
    session().want(wish);
    settle(hand);
    ASSERT_TRUE(analysis().rank);
    wish.degree = 16;
    session().want(wish);
    settle(hand);
    ASSERT_TRUE(session().failure());
    EXPECT_THAT(session().failure()->text, testing::HasSubstr("degree 16 in width"));
    EXPECT_EQ(analysis().rank->options.degree, 2);
    EXPECT_TRUE(session().stale());
    look(hand);
  });
}

TEST_F(Parameters, TheLadderIsMadeWhenItIsLookedAt) {
  drive([&](Hand& hand) {
    EXPECT_FALSE(app_->ladder().ladder());
    app_->errors().show(ResidualErrorsPanel::Tab::ladder);
    settle(hand);
    ASSERT_TRUE(app_->ladder().ladder());
    const auto* top = app_->ladder().ladder()->find(convbasis::rung::lag_vectors);
    ASSERT_NE(top, nullptr);
    EXPECT_EQ(top->k, session().wanted().k);
    // Its own fields set what the fit has, too.
    AnalysisRequest wish = session().wanted();
    wish.band = 5;
    session().want(wish);
    settle(hand);
    EXPECT_FALSE(app_->ladder().stale());
    EXPECT_EQ(app_->ladder().ladder()->options.band, 5);
    look(hand);
    // What only Recover reads changes nothing.
    const auto ladder = app_->ladder().ladder();
    wish.delta = 2.0;
    session().want(wish);
    settle(hand);
    EXPECT_EQ(app_->ladder().ladder(), ladder);
  });
}

TEST_F(Parameters, OnlyTheNewestWishIsAnswered) {
  drive([&](Hand& hand) {
    const ImVec4 area = slider(ParametersPanel::k);
    hand.MouseMoveToPos({area.x + 8.0F, (area.y + area.w) / 2.0F});
    hand.MouseDown();
    std::uint64_t newest = session().result().approximation_id;
    for (float x = area.x + 8.0F; x < area.z - 4.0F; x += 2.0F) {
      hand.MouseMoveToPos({x, (area.y + area.w) / 2.0F});
      EXPECT_GE(session().result().approximation_id, newest) << "an older result came after a newer one";
      newest = session().result().approximation_id;
    }
    hand.MouseUp();
    settle(hand);
    EXPECT_EQ(session().result().request.k, session().wanted().k);
  });
}

TEST_F(Parameters, DraggingIsUndoneAsAWhole) {
  drive([&](Hand& hand) {
    settle(hand);
    rest(hand);
    const convbasis::Index before = session().wanted().k;
    drag(hand, ParametersPanel::k, 0.1F, 0.5F);
    const convbasis::Index after = session().wanted().k;
    ASSERT_NE(after, before);
    settle(hand);
    rest(hand);
    hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_Z);
    settle(hand);
    EXPECT_EQ(session().result().request.k, before);
    hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_Y);
    settle(hand);
    EXPECT_EQ(session().result().request.k, after);
  });
}

}  // namespace
}  // namespace convscope
