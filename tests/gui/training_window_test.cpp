// The Training panel in the hidden window: its pages in every size, and that a frame is drawn only for a reason.
#include "gui/window_fixture.h"

#include "training/curves.h"

#include <array>
#include <chrono>
#include <string>
#include <thread>

namespace convscope {
namespace {

class TrainingWindow : public WindowTest {
 protected:
  /// Brings the panel to the front, in the layout that gives it room.
  void show_training(LayoutPreset preset = LayoutPreset::train) {
    app_->set_layout(preset);
    app_->bring_to_front("training");
    frames(5);
    settle();
  }
  static TrainingRequest small_request() {
    TrainingRequest request;
    request.problem.n = 96;
    request.problem.d = 8;
    request.steps = 30;
    return request;
  }
  std::size_t colours() { return distinct_colours(app_->grab(), rectangle(training_window)); }
};

TEST_F(TrainingWindow, CurvesAndMapsComeWithARun) {
  app_->training().set_request(small_request());
  show_training();
  ASSERT_TRUE(is_shown(training_window));
  const std::size_t before = colours();
  keep_picture("training-empty");
  app_->training_runner().run(app_->training().request());
  settle();
  EXPECT_GT(colours(), before + 20) << "no curves";
  EXPECT_EQ(app_->training_runner().view().result.steps(), 30);
  keep_picture("training");
  EXPECT_FALSE(session().failure());
}

TEST_F(TrainingWindow, NumbersAreThoseOfTheEngine) {
  TrainingRequest request = small_request();
  request.recover_every = 4;
  app_->training().set_request(request);
  show_training();
  app_->training_runner().run(app_->training().request());
  settle();
  const auto problem =
      std::make_shared<const convbasis::OneLayerProblem<double>>(convbasis::plant_one_layer<double>(request.problem));
  for (const TrainingRun& run : app_->training_runner().view().result.runs) {
    const auto steps = convbasis::train<double>(problem, request.options(run.backward), request.steps);
    ASSERT_EQ(run.steps.size(), steps.size());
    for (std::size_t step = 0; step < steps.size(); ++step) {
      EXPECT_EQ(run.steps[step].loss, steps[step].loss);
      EXPECT_EQ(run.steps[step].gradient_error, steps[step].gradient_error);
    }
  }
}

TEST_F(TrainingWindow, NothingIsDrawnOnceTheRunIsOver) {
  app_->training().set_request(small_request());
  show_training();
  app_->training_runner().run(app_->training().request());
  settle();
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));  // tooltips and blinking after the last event
  for (int i = 0; i < 30; ++i) app_->step(0.1);
  const std::size_t before = app_->frames_drawn();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (std::chrono::steady_clock::now() < end) app_->step(0.2);
  EXPECT_LE(app_->frames_drawn() - before, 2U);
}

TEST_F(TrainingWindow, HeadPageComparesTheOpenHead) {
  show_training();
  app_->training().show(TrainingPanel::Page::head);
  frames(3);
  settle();
  const auto& comparison = app_->head_gradients().comparison();
  ASSERT_TRUE(comparison) << app_->head_gradients().failure();
  EXPECT_EQ(comparison->ways.size(), convbasis::all_backwards.size());
  EXPECT_NE(verdict(*comparison).find("wrong"), std::string::npos) << "a trained head is no conv basis: " << verdict(*comparison);
  keep_picture("training-head");
  app_->training().show(TrainingPanel::Page::one_layer);
  frames(3);
  AnalysisRequest other = session().wanted();
  other.head = 1;
  session().want(other);
  settle();
  EXPECT_EQ(app_->head_gradients().comparison(), comparison) << "nobody looks at it";
}

TEST_F(TrainingWindow, PlantedHeadHasTheRightGradients) {
  WindowOptions options;
  options.planted = convbasis::PlantedOptions{.n = 512, .d = 32, .k = 4, .seed = 3};
  open(options);
  show_training();
  app_->training().show(TrainingPanel::Page::head);
  frames(3);
  settle();
  ASSERT_TRUE(app_->head_gradients().comparison()) << app_->head_gradients().failure();
  EXPECT_NE(verdict(*app_->head_gradients().comparison()).find("is a conv basis"), std::string::npos)
      << verdict(*app_->head_gradients().comparison());
  keep_picture("training-head-planted");
}

TEST_F(TrainingWindow, ReadsInTheNarrowPlaceOfTheUsualLayout) {
  app_->training().set_request(small_request());
  show_training(LayoutPreset::explore);
  ASSERT_TRUE(is_shown(training_window));
  app_->training_runner().run(app_->training().request());
  settle();
  EXPECT_GT(colours(), 20U);
  keep_picture("training-narrow");
  app_->training().show(TrainingPanel::Page::head);
  frames(3);
  settle();
  keep_picture("training-narrow-head");
}

TEST_F(TrainingWindow, SessionKeepsTheSetup) {
  TrainingRequest request = small_request();
  request.problem.seed = 11;
  request.optimiser = convbasis::Optimiser::adam;
  request.wanted = {true, false, true};
  app_->training().set_request(request);
  const auto path = std::filesystem::path(testing::TempDir()) / "training.convscope.json";
  app_->save_session_as(path);
  app_->training().set_request({});
  app_->open({path});
  settle();
  EXPECT_TRUE(app_->training().request() == request);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace convscope
