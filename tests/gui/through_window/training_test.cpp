// The Training panel, worked by mouse and keyboard.

#include "gui/support/driver.h"

namespace convscope {
namespace {

constexpr const char* panel = "//Training###training";

class Training : public ThroughWindow {
 protected:
  static std::string item(const char* name) { return std::string(panel) + "/**/" + name; }
  /// Chooses the layout that has room for the form, and types a small problem with a run that no test waits for.
  void begin(Hand& hand) {
    choose(hand, "View/Layout/Train");
    hand.WindowFocus(panel);
    settle(hand);
    hand.ItemInputValue(item("##n").c_str(), "96");
    hand.ItemInputValue(item("##d").c_str(), "8");
    hand.ItemInputValue(item("##steps").c_str(), "10000");
    hand.Yield(2);
  }
  int steps() { return app_->training_runner().view().result.steps(); }
  void wait_beyond(Hand& hand, int least) {
    for (int frame = 0; steps() <= least && frame < 3000 && !hand.IsError(); ++frame) hand.Yield();
    EXPECT_GT(steps(), least);
  }
};

TEST_F(Training, CurvesGrowWhileItRunsAndStopStops) {
  drive([&](Hand& hand) {
    begin(hand);
    EXPECT_EQ(app_->training().request().problem.n, 96);
    EXPECT_EQ(app_->training().request().steps, 10000);
    const std::size_t empty = distinct_colours(look(hand), rectangle(panel + 2));
    hand.ItemClick(item("Run").c_str());
    wait_beyond(hand, 5);
    const int before = steps();
    wait_beyond(hand, before + 5);
    EXPECT_GT(distinct_colours(look(hand), rectangle(panel + 2)), empty) << "no curves";
    hand.ItemClick(item("Stop").c_str());
    EXPECT_FALSE(app_->training_runner().busy());
    hand.SleepNoSkip(0.3F, 0.05F);
    const int stopped = steps();
    EXPECT_LT(stopped, 10000);
    hand.SleepNoSkip(0.3F, 0.05F);
    EXPECT_EQ(steps(), stopped);
    hand.ItemClick(item("Step").c_str());
    settle(hand);
    EXPECT_EQ(steps(), stopped + 1);
    hand.ItemClick(item("Reset").c_str());
    hand.Yield(2);
    EXPECT_EQ(steps(), 0);
    EXPECT_FALSE(session().failure());
  });
}

TEST_F(Training, AnotherSetupIsMarkedAndBeginsAnew) {
  drive([&](Hand& hand) {
    begin(hand);
    hand.ItemInputValue(item("##steps").c_str(), "10");
    hand.ItemClick(item("Run").c_str());
    settle(hand);
    ASSERT_EQ(steps(), 10);
    hand.ItemInputValue(item("##every").c_str(), "5");
    hand.ItemClick(item("adam").c_str());
    settle(hand);
    EXPECT_EQ(steps(), 10) << "what is finished stays until Run";
    EXPECT_FALSE(same_experiment(app_->training_runner().view().result.request, app_->training().request()));
    hand.ItemClick(item("Run").c_str());
    settle(hand);
    const TrainingView& view = app_->training_runner().view();
    EXPECT_EQ(view.result.request.recover_every, 5);
    EXPECT_EQ(view.result.request.optimiser, convbasis::Optimiser::adam);
    EXPECT_TRUE(view.result.runs.back().steps[5].recovered);
    EXPECT_FALSE(view.result.runs.back().steps[6].recovered);
    ASSERT_TRUE(view.earlier);
    EXPECT_EQ(view.earlier->steps(), 10);
  });
}

TEST_F(Training, EveryViewAndPageShowsSomething) {
  drive([&](Hand& hand) {
    begin(hand);
    hand.ItemInputValue(item("##steps").c_str(), "10");
    hand.ItemClick(item("Run").c_str());
    settle(hand);
    for (const char* view : {"gradient error", "gradients", "time", "loss"}) {
      hand.ItemClick(item(view).c_str());
      settle(hand);
      EXPECT_GT(distinct_colours(look(hand), rectangle(panel + 2)), 40U) << view;
    }
    hand.ItemClick(item("this head").c_str());
    settle(hand);
    ASSERT_TRUE(app_->head_gradients().comparison()) << app_->head_gradients().failure();
    for (const char* part : {"dK", "dV", "dQ"}) {
      hand.ItemClick(item(part).c_str());
      settle(hand);
      EXPECT_GT(distinct_colours(look(hand), rectangle(panel + 2)), 60U) << part;
    }
    EXPECT_FALSE(session().failure());
  });
}

TEST_F(Training, TimesAreMeasuredOnDemand) {
  drive([&](Hand& hand) {
    begin(hand);
    hand.ItemClick(item("time").c_str());
    hand.ItemClick(item("Measure").c_str());
    for (int frame = 0; app_->training_times().view().points.empty() && frame < 6000 && !hand.IsError(); ++frame) hand.Yield();
    EXPECT_FALSE(app_->training_times().view().points.empty());
    if (hand.ItemExists(item("Stop measuring").c_str())) hand.ItemClick(item("Stop measuring").c_str());
    settle(hand);
    EXPECT_FALSE(app_->training_times().pending());
  });
}

}  // namespace
}  // namespace convscope
