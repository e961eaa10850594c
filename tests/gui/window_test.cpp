// The real window, hidden: opens the example, is dragged and clicked by events, and is looked at pixel by pixel.

#include "gui/window_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace convscope {
namespace {

using namespace std::chrono_literals;

TEST_F(WindowTest, OpensTheExampleAndShowsIt) {
  ASSERT_FALSE(session().failure()) << session().failure()->text;
  ASSERT_TRUE(session().result().analysis);
  EXPECT_FALSE(session().stale());
  const Picture picture = app_->grab();
  ASSERT_EQ(picture.width, width);
  ASSERT_EQ(picture.height, height);
  // A map has hundreds of colours of its table; an empty panel with text has some dozens, from smoothed letters.
  EXPECT_GT(distinct_colours(picture, rectangle("###exact")), 200U);
  EXPECT_GT(distinct_colours(picture, rectangle("###approximation")), 200U);
  EXPECT_GT(distinct_colours(picture, rectangle("###residual")), 100U);
}

TEST_F(WindowTest, SavesAPictureThatIsNotBlank) {
  const auto path = std::filesystem::path(testing::TempDir()) / "convscope_window_test.png";
  const Picture picture = app_->grab();
  write_png(path, picture);
  std::ifstream stream(path, std::ios::binary);
  std::string head(8, '\0');
  stream.read(head.data(), 8);
  EXPECT_EQ(head, "\x89PNG\r\n\x1a\n");
  EXPECT_GT(std::filesystem::file_size(path), 20000U);
  std::filesystem::remove(path);
}

TEST_F(WindowTest, AnotherKChangesResultAndPicture) {
  const auto before = session().result();
  const Picture old_picture = app_->grab();
  AnalysisRequest wish = session().wanted();
  wish.k = 2;
  session().want(wish);
  settle();
  EXPECT_EQ(analysis().recovery.basis.count(), 2);
  EXPECT_NE(analysis().recovery.basis.count(), before.analysis->recovery.basis.count());
  EXPECT_NE(analysis().error.relative_error, before.analysis->error.relative_error);
  EXPECT_EQ(session().result().exact_id, before.exact_id);
  const Picture new_picture = app_->grab();
  EXPECT_NE(new_picture.rgb, old_picture.rgb);
}

TEST_F(WindowTest, DraggingTheSliderChangesK) {
  const Index before = session().wanted().k;
  const ImVec4 slider = app_->parameters().slider_rectangle(ParametersPanel::k);
  ASSERT_GT(slider.z - slider.x, 30.0F) << "the slider is too narrow to use";
  const float middle = (slider.y + slider.w) / 2.0F;
  move_mouse(slider.x + 10.0F, middle);
  press_mouse(true);
  for (float x = slider.x + 10.0F; x < slider.z - 2.0F; x += 4.0F) move_mouse(x, middle);
  press_mouse(false);
  const Index after = session().wanted().k;
  EXPECT_GT(after, before);
  EXPECT_GT(after, 100);  // the right end is 256
  settle();
  EXPECT_EQ(session().result().request.k, after);
  EXPECT_EQ(analysis().options.k, after);
}

TEST_F(WindowTest, DraggingToTheEndReachesAllTokens) {
  AnalysisRequest wish = session().wanted();
  const Index tokens = session().source()->layer(wish.layer).size;
  wish.n = tokens / 2;
  session().want(wish);
  settle();
  const ImVec4 slider = app_->parameters().slider_rectangle(ParametersPanel::n);
  move_mouse((slider.x + slider.z) / 2.0F, (slider.y + slider.w) / 2.0F);
  press_mouse(true);
  move_mouse(slider.z + 50.0F, slider.y);
  press_mouse(false);
  EXPECT_EQ(session().wanted().n, tokens);
  settle();
  EXPECT_EQ(analysis().n, tokens);
}

TEST_F(WindowTest, ErrorAgainstKIsDrawnAndAClickSetsK) {
  const ErrorCurveView curve = app_->error_curve().view();
  ASSERT_TRUE(curve.complete);  // settle() waited for it
  ASSERT_GT(curve.points.size(), 8U);
  // The curve passes through the result that is shown.
  for (const KError& point : curve.points) {
    if (point.k != session().result().request.k) continue;
    EXPECT_NEAR(point.error, analysis().error.relative_error, 1e-5);
  }
  app_->errors().show(ResidualErrorsPanel::Tab::against_k);
  app_->frame();
  app_->frame();
  const ImVec4 plot = app_->errors().curve_rectangle();
  ASSERT_GT(plot.z - plot.x, 60.0F);
  EXPECT_GT(distinct_colours(app_->grab(), plot), 10U);
  const Index before = session().wanted().k;
  move_mouse(plot.x + 0.8F * (plot.z - plot.x), (plot.y + plot.w) / 2.0F);
  press_mouse(true);
  press_mouse(false);
  const Index after = session().wanted().k;
  EXPECT_GT(after, before);
  EXPECT_LE(after, curve.largest);
  settle();
  EXPECT_EQ(session().result().request.k, after);
  EXPECT_TRUE(app_->error_curve().view().complete);  // only k changed
}

TEST_F(WindowTest, EveryTabOfTheResidualPanelDraws) {
  using Tab = ResidualErrorsPanel::Tab;
  const Picture rows = app_->grab();
  for (const Tab tab : {Tab::histogram, Tab::against_k, Tab::numbers}) {
    app_->errors().show(tab);
    app_->frame();
    app_->frame();
    const Picture picture = app_->grab();
    EXPECT_NE(picture.rgb, rows.rgb);
    EXPECT_GT(distinct_colours(picture, rectangle("###errors")), 10U);
  }
}

TEST_F(WindowTest, TypingANumberSetsItExactly) {
  const ImVec4 slider = app_->parameters().slider_rectangle(ParametersPanel::eps);
  move_mouse((slider.x + slider.z) / 2.0F, (slider.y + slider.w) / 2.0F);
  for (const bool down : {true, false, true, false}) press_mouse(down);
  app_->frame();
  ImGui::GetIO().AddInputCharactersUTF8("0.0125");
  app_->frame();
  ImGui::GetIO().AddKeyEvent(ImGuiKey_Enter, true);
  app_->frame();
  ImGui::GetIO().AddKeyEvent(ImGuiKey_Enter, false);
  app_->frame();
  EXPECT_EQ(session().wanted().eps, 0.0125);
  settle();
  EXPECT_EQ(analysis().options.eps, 0.0125);
}

TEST_F(WindowTest, ClickInTheHeadGridOpensAHead) {
  const auto& layers = session().source()->layers();
  ASSERT_GT(layers.front().heads, 1) << "the example has several heads";
  const ImVec4 panel = rectangle("###source");
  bool opened = false;
  // Rows of the grid lie somewhere in the lower half of the panel, below its buttons; its cells span the width.
  for (float y = panel.y + 170.0F; y < panel.w && !opened; y += 6.0F) {
    move_mouse(panel.z - 30.0F, y);
    press_mouse(true);
    press_mouse(false);
    opened = session().wanted().head == layers.front().heads - 1;
  }
  ASSERT_TRUE(opened);
  settle();
  EXPECT_EQ(session().result().request.head, layers.front().heads - 1);
  EXPECT_FALSE(session().stale());
}

TEST_F(WindowTest, PointingAtTheMapReadsACell) {
  const ImVec4 map = rectangle("###exact");
  bool found = false;
  // Below the diagonal, somewhere in the lower left of the panel; where exactly the map lies is its own business.
  for (float y = map.y + 80.0F; y < map.w && !found; y += 10.0F) {
    move_mouse(map.x + (map.z - map.x) * 0.3F, y);
    app_->frame();
    found = app_->view().hovered && app_->view().cell;
  }
  ASSERT_TRUE(found);
  const auto cell = *app_->view().hovered;
  EXPECT_GE(cell.row, cell.column);
  EXPECT_EQ(app_->view().cell->exact_probability, convbasis::map_cell(analysis(), cell.row, cell.column).exact_probability);
}

TEST_F(WindowTest, WrongFileIsExplainedAndTheResultStays) {
  const auto before = session().result().analysis;
  session().open({"/nonexistent/tensors.safetensors"});
  settle();
  ASSERT_TRUE(session().failure());
  EXPECT_THAT(session().failure()->text, testing::HasSubstr("tensors.safetensors"));
  EXPECT_EQ(session().result().analysis, before);
  const ImGuiWindow* strip = ImGui::FindWindowByName("##message");
  ASSERT_TRUE(strip);
  EXPECT_TRUE(strip->Active);
  session().dismiss();
  settle();
  EXPECT_FALSE(strip->Active);
}

TEST_F(WindowTest, IdleMeansIdle) {
  for (int i = 0; i < 5; ++i) app_->step(0.0);
  const std::size_t before = app_->frames_drawn();
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (std::chrono::steady_clock::now() < end) app_->step(0.5);
  // Nothing happens, so next to nothing is drawn; a display at 60 Hz would have had 300 frames.
  EXPECT_LE(app_->frames_drawn() - before, 5U);
}

TEST_F(WindowTest, LightThemeAndLargeTypeDrawToo) {
  WindowOptions options;
  options.theme = Theme::light;
  options.ui_scale = 2.0;
  open(options);
  EXPECT_FALSE(session().failure());
  const Picture picture = app_->grab();
  const ImVec4 source = rectangle("###source");
  const std::uint8_t* panel = picture.pixel(static_cast<int>(source.x) + 3, static_cast<int>(source.w) - 3);
  EXPECT_GT(panel[0], 200);
}

TEST_F(WindowTest, EmptyWindowSaysWhatToDo) {
  WindowOptions options;
  options.files = {"/nonexistent/tensors.safetensors"};
  open(options);
  EXPECT_TRUE(session().failure());
  EXPECT_FALSE(session().source());
  const Picture picture = app_->grab();
  EXPECT_GT(distinct_colours(picture, rectangle("###exact")), 10U);  // letters
}

TEST_F(WindowTest, LayoutIsKeptFromRunToRun) {
  const auto path = std::filesystem::path(testing::TempDir()) / "convscope_window_test_settings" / "layout.ini";
  std::filesystem::remove_all(path.parent_path());
  app_.reset();
  const auto open_with_settings = [&] {
    app_ = std::make_unique<App>(
        AppOptions{.window = {}, .width = width, .height = height, .visible = false, .settings_file = path});
    frames(3);
  };
  open_with_settings();
  app_.reset();
  ASSERT_TRUE(std::filesystem::exists(path));
  const LoadedSettings saved = load_settings(path);
  EXPECT_EQ(saved.warning, "");
  EXPECT_THAT(saved.settings.layout, testing::HasSubstr("[Docking][Data]"));
  open_with_settings();
  EXPECT_FALSE(session().failure());
  EXPECT_GT(rectangle("###exact").z, rectangle("###source").z);
  app_.reset();
  std::filesystem::remove_all(path.parent_path());
}

}  // namespace
}  // namespace convscope
