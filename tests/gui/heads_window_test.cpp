// The panel of heads in the real window, hidden: it fills itself when it is seen, and only then. With CONVSCOPE_TEST_PICTURES set
// to a folder, pictures of it are left there, of the model in CONVSCOPE_TEST_FILE where that is set.

#include "window/app.h"

#include <imgui_internal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

namespace convscope {
namespace {

using namespace std::chrono_literals;

class HeadsWindowTest : public testing::Test {
 protected:
  void open(int width = 1280, int height = 800, WindowOptions options = {}) {
    app_.reset();  // one at a time
    app_ = std::make_unique<App>(
        AppOptions{.window = std::move(options), .width = width, .height = height, .visible = false, .settings_file = {}});
    settle();
    if (const char* file = std::getenv("CONVSCOPE_TEST_FILE"); file != nullptr) {
      app_->session().open({file});
      settle();
    }
  }
  void settle() {
    const auto deadline = std::chrono::steady_clock::now() + 600s;
    do {
      app_->frame();
      app_->step(0.02);
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the window did not come to rest";
    } while (!app_->settled());
    app_->frame();
    app_->frame();
  }
  /// With few tokens, so that a survey takes no time that matters.
  void open_small() {
    open();
    AnalysisRequest wish = app_->session().wanted();
    wish.n = 160;
    app_->session().want(wish);
    heads().set_tokens(wish.n);
    settle();
  }
  void show_panel() {
    ImGui::SetWindowFocus("Heads###heads");
    app_->frame();
    app_->frame();
  }
  static ImGuiWindow* panel() { return ImGui::FindWindowByName("Heads###heads"); }
  void move_mouse(float x, float y) {
    ImGui::GetIO().AddMousePosEvent(x, y);
    app_->frame();
  }
  void click(float x, float y) {
    move_mouse(x, y);
    for (const bool down : {true, false}) {
      ImGui::GetIO().AddMouseButtonEvent(ImGuiMouseButton_Left, down);
      app_->frame();
    }
  }
  void picture(const std::string& name) {
    const char* folder = std::getenv("CONVSCOPE_TEST_PICTURES");
    if (folder != nullptr) write_png(std::filesystem::path(folder) / (name + ".png"), app_->grab());
  }
  HeadsPanel& heads() { return app_->heads(); }
  std::size_t known() { return heads().survey().heads().size(); }
  Index total() { return heads().survey().progress().total; }

  std::unique_ptr<App> app_;
};

TEST_F(HeadsWindowTest, ComputesNothingWhileItIsHidden) {
  open();
  const auto end = std::chrono::steady_clock::now() + 500ms;
  while (std::chrono::steady_clock::now() < end) app_->step(0.1);
  EXPECT_EQ(known(), 0U);
  EXPECT_GT(total(), 1);
  EXPECT_FALSE(heads().survey().progress().running);
}

TEST_F(HeadsWindowTest, FillsItselfWhenItIsSeen) {
  open_small();
  show_panel();
  settle();
  EXPECT_EQ(static_cast<Index>(known()), total());
  for (const auto& [place, head] : heads().survey().heads()) {
    EXPECT_EQ(head.failure, "");
    ASSERT_TRUE(head.ladder) << head.ladder_failure;
    EXPECT_EQ(head.ladder->options.band, app_->session().wanted().band);
  }
  // The numbers are those of the analysis on screen, when both look at the same tokens.
  const AnalysisResult& result = app_->session().result();
  const auto& same = heads().survey().heads().at({result.request.layer, result.request.head});
  ASSERT_EQ(same.summary->n, result.request.n);
  EXPECT_NEAR(same.summary->error, result.analysis->error.relative_error, 1e-4);
  EXPECT_THAT(heads().csv(), testing::HasSubstr("error_at_k"));
}

TEST_F(HeadsWindowTest, TheSourcePanelKnowsItsErrors) {
  open_small();
  EXPECT_TRUE(heads().errors_for(app_->session().wanted()).empty());
  show_panel();
  settle();
  AnalysisRequest wish = app_->session().wanted();
  const auto errors = heads().errors_for(wish);
  ASSERT_EQ(static_cast<Index>(errors.size()), total());
  for (const auto& [place, head] : heads().survey().heads()) EXPECT_EQ(errors.at(place), head.summary->error);
  wish.n = 150;
  EXPECT_TRUE(heads().errors_for(wish).empty()) << "of other tokens nothing is known";
  wish = app_->session().wanted();
  wish.delta *= 2.0;
  EXPECT_TRUE(heads().errors_for(wish).empty());
}

TEST_F(HeadsWindowTest, AnotherKIsFollowed) {
  open_small();
  show_panel();
  settle();
  AnalysisRequest wish = app_->session().wanted();
  wish.k = 13;
  app_->session().want(wish);
  settle();
  for (const auto& [place, head] : heads().survey().heads()) {
    EXPECT_FALSE(head.stale);
    EXPECT_EQ(head.summary->options.recover.k, 13);
    EXPECT_FALSE(head.ladder_stale);
    EXPECT_EQ(head.ladder->options.k, 13);
  }
}

TEST_F(HeadsWindowTest, LaddersAreOnlyMadeWhenWanted) {
  open_small();
  heads().make_ladders(false);
  show_panel();
  settle();
  for (const auto& [place, head] : heads().survey().heads()) EXPECT_FALSE(head.ladder);
  EXPECT_TRUE(heads().survey().progress().complete());
  heads().make_ladders(true);
  settle();
  for (const auto& [place, head] : heads().survey().heads()) EXPECT_TRUE(head.ladder);
}

TEST_F(HeadsWindowTest, HiddenAgainItWaits) {
  open();
  show_panel();
  const auto patience = std::chrono::steady_clock::now() + 60s;
  while (known() < 3 && std::chrono::steady_clock::now() < patience) app_->step(0.01);
  ASSERT_GE(known(), 3U);
  ImGui::SetWindowFocus("Residual: error by row###errors");
  const auto go_on = [&] {
    const auto end = std::chrono::steady_clock::now() + 300ms;
    while (std::chrono::steady_clock::now() < end) {
      app_->frame();
      app_->step(0.02);
    }
    const SurveyProgress progress = heads().survey().progress();
    return progress.done + progress.ladders_done;
  };
  const Index then = go_on();  // the head under way is finished, and what is ready arrives
  ASSERT_LT(then, 2 * total()) << "the test wants a model that takes longer";
  EXPECT_EQ(go_on(), then);
}

TEST_F(HeadsWindowTest, AClickOpensAHead) {
  open_small();
  show_panel();
  settle();
  const ImGuiWindow* window = panel();
  const AnalysisRequest before = app_->session().wanted();
  bool opened = false;
  for (float y = window->Pos.y + window->Size.y * 0.4F; y < window->Pos.y + window->Size.y && !opened; y += 12.0F) {
    click(window->Pos.x + window->Size.x * 0.2F, y);
    const AnalysisRequest now = app_->session().wanted();
    opened = now.layer != before.layer || now.head != before.head;
  }
  ASSERT_TRUE(opened);
  settle();
  EXPECT_EQ(app_->session().result().request, app_->session().wanted());
}

TEST_F(HeadsWindowTest, EveryViewIsDrawnInBothThemes) {
  for (const Theme theme : {Theme::dark, Theme::light}) {
    const std::string name = theme == Theme::dark ? "dark" : "light";
    WindowOptions options;
    options.theme = theme;
    open(1600, 1000, options);
    if (std::getenv("CONVSCOPE_TEST_PICTURES") == nullptr) heads().set_tokens(160);
    show_panel();
    settle();
    picture("heads-maps-" + name);
    for (const HeadsShow show :
         {HeadsShow::error, HeadsShow::k_for_target, HeadsShow::lag_vectors, HeadsShow::rung, HeadsShow::entropy}) {
      heads().show(show);
      settle();
      picture(std::string("heads-") + name_of(show) + "-" + name);
    }
    heads().show(HeadsPanel::View::table);
    settle();
    picture("heads-table-" + name);
    heads().set_filter("sink > 50% error<");
    settle();
    picture("heads-filter-problem-" + name);
    heads().set_filter("sink > 50% error<1");
    settle();
    picture("heads-filter-" + name);
    // The panel by itself, large.
    ImGui::DockContextQueueUndockWindow(ImGui::GetCurrentContext(), panel());
    app_->frame();
    ImGui::SetWindowPos("Heads###heads", {100.0F, 60.0F});
    ImGui::SetWindowSize("Heads###heads", {1100.0F, 800.0F});
    settle();
    picture("heads-large-table-" + name);
    heads().show(HeadsPanel::View::overview);
    heads().show(HeadsShow::maps);
    settle();
    move_mouse(600.0F, 400.0F);
    settle();
    picture("heads-large-maps-" + name);
    heads().set_filter("");
    heads().show(HeadsShow::error);
    settle();
    picture("heads-large-error-" + name);
    EXPECT_FALSE(app_->session().failure());
  }
}

TEST_F(HeadsWindowTest, SmallScreensAndLargeTypeAreDrawnToo) {
  for (const double scale : {1.0, 2.0}) {
    WindowOptions options;
    options.ui_scale = scale;
    open(1280, 720, options);
    heads().set_tokens(160);
    show_panel();
    settle();
    picture("heads-small-" + std::to_string(static_cast<int>(scale)));
    heads().show(HeadsShow::band);
    settle();
    picture("heads-small-band-" + std::to_string(static_cast<int>(scale)));
    heads().show(HeadsPanel::View::table);
    settle();
    picture("heads-small-table-" + std::to_string(static_cast<int>(scale)));
    // As narrow as the column at the left.
    ImGui::DockContextQueueUndockWindow(ImGui::GetCurrentContext(), panel());
    app_->frame();
    ImGui::SetWindowPos("Heads###heads", {20.0F, 20.0F});
    ImGui::SetWindowSize("Heads###heads", {static_cast<float>(300.0 * scale), 500.0F});
    heads().show(HeadsPanel::View::overview);
    heads().show(HeadsShow::maps);
    settle();
    picture("heads-narrow-" + std::to_string(static_cast<int>(scale)));
    EXPECT_FALSE(app_->session().failure());
  }
}

}  // namespace
}  // namespace convscope
