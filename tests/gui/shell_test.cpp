// The shell of the window: actions, palette, undo by key, layouts, messages, sessions.

#include "data/npy_writer.h"
#include "gui/window_fixture.h"
#include "state/user_file.h"

#include <gmock/gmock.h>

#include <fstream>

namespace convscope {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class ShellTest : public WindowTest {
 protected:
  void TearDown() override {
    app_.reset();
    fs::remove_all(folder_);
  }
  void want_k(Index k) {
    AnalysisRequest wish = session().wanted();
    wish.k = k;
    session().want(wish);
    settle();
  }
  /// Until a change counts as a step.
  void rest() {
    const auto end = std::chrono::steady_clock::now() + 1s;
    while (std::chrono::steady_clock::now() < end) app_->step(0.1);
  }

  fs::path folder_ = fs::path(testing::TempDir()) /
                     (std::string("convscope_shell_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::path settings_ = folder_ / "layout.ini";
};

TEST_F(ShellTest, EveryActionIsNamedExplainedAndRuns) {
  ASSERT_GT(app_->actions().all().size(), 40U);
  for (const Action& action : std::vector<Action>(app_->actions().all())) {
    EXPECT_THAT(action.id, testing::MatchesRegex("[a-z0-9_.]+")) << action.name;
    EXPECT_FALSE(action.menu.empty()) << action.id;
    EXPECT_FALSE(action.help.empty()) << action.id;
    ASSERT_TRUE(action.run) << action.id;
    if (action.id == "file.quit") continue;
    app_->actions().run(action.id);
    app_->frame();
    press_keys({ImGuiKey_Escape});  // what asks something is told never mind
    EXPECT_FALSE(session().failure()) << action.id << ": " << session().failure()->text;
  }
  settle();
  EXPECT_EQ(ImGui::GetTopMostPopupModal(), nullptr);
}

TEST_F(ShellTest, TwoActionsCannotShareANameOrAKey) {
  Action action{.id = "view.fit", .menu = "View", .name = "x", .run = [] {}};
  EXPECT_THROW(app_->actions().add(action), std::logic_error);
  action.id = "view.other";
  action.shortcuts = {ImGuiMod_Ctrl | ImGuiKey_F};
  EXPECT_THROW(app_->actions().add(action), std::logic_error);
}

TEST_F(ShellTest, PaletteFindsAndRunsACommand) {
  press_keys({ImGuiMod_Ctrl, ImGuiKey_P});
  ASSERT_TRUE(is_shown(CommandPalette::window_name));
  type("light");
  keep_picture("palette");
  press_keys({ImGuiKey_Enter});
  EXPECT_FALSE(app_->settings().dark);
  EXPECT_FALSE(is_shown(CommandPalette::window_name));
  press_keys({ImGuiMod_Ctrl, ImGuiMod_Shift, ImGuiKey_P});
  type("scale");
  press_keys({ImGuiKey_DownArrow});
  keep_picture("palette_light");
  const ScaleKind before = app_->view().scale;
  press_keys({ImGuiKey_UpArrow});
  press_keys({ImGuiKey_Enter});
  EXPECT_EQ(app_->view().scale, ScaleKind::linear) << "the first that fits";
  EXPECT_NE(before, ScaleKind::linear);
}

TEST_F(ShellTest, EscapeLeavesThePalette) {
  press_keys({ImGuiMod_Ctrl, ImGuiKey_P});
  press_keys({ImGuiKey_Escape});
  EXPECT_FALSE(is_shown(CommandPalette::window_name));
}

TEST_F(ShellTest, F1ListsTheKeys) {
  press_keys({ImGuiKey_F1});
  ASSERT_TRUE(is_shown(ShortcutList::window_name));
  keep_picture("keys");
  const ImVec4 list = rectangle(ShortcutList::window_name);
  EXPECT_GE(list.x, 0.0F);
  EXPECT_LE(list.z, static_cast<float>(width));
  EXPECT_LE(list.w, static_cast<float>(height));
  press_keys({ImGuiKey_Escape});
  EXPECT_FALSE(is_shown(ShortcutList::window_name));
}

TEST_F(ShellTest, UndoAndRedoByKey) {
  const Index first = session().wanted().k;
  rest();
  want_k(3);
  rest();
  press_keys({ImGuiMod_Ctrl, ImGuiKey_Z});
  EXPECT_EQ(session().wanted().k, first);
  settle();
  EXPECT_EQ(session().result().request.k, first);
  press_keys({ImGuiMod_Ctrl, ImGuiKey_Y});
  EXPECT_EQ(session().wanted().k, 3);
  press_keys({ImGuiMod_Ctrl, ImGuiKey_Z});
  press_keys({ImGuiMod_Ctrl, ImGuiMod_Shift, ImGuiKey_Z});
  EXPECT_EQ(session().wanted().k, 3);
}

TEST_F(ShellTest, UndoBringsBackTheViewOfAnotherSize) {
  app_->view().go_to({700, 100});
  app_->view().window = {650.0, 50.0, 100.0};
  frames(2);
  const CellWindow looked_at = app_->view().window;
  ASSERT_EQ(looked_at.extent, 100.0);
  rest();
  AnalysisRequest wish = session().wanted();
  wish.n = 256;
  session().want(wish);
  settle();
  rest();
  EXPECT_EQ(app_->view().window.extent, 256.0);
  EXPECT_TRUE(app_->actions().run("edit.undo"));
  settle();
  EXPECT_EQ(session().result().request.n, 1024);
  EXPECT_EQ(app_->view().window, looked_at);
}

TEST_F(ShellTest, GoToMovesTheMapAndPins) {
  app_->view().window = {0.0, 0.0, 50.0};
  press_keys({ImGuiMod_Ctrl, ImGuiKey_G});
  ASSERT_TRUE(is_shown(GoToDialog::window_name));
  press_keys({ImGuiMod_Ctrl, ImGuiKey_A});
  type("900");
  keep_picture("go_to");
  press_keys({ImGuiKey_Enter});
  EXPECT_FALSE(is_shown(GoToDialog::window_name));
  ASSERT_TRUE(app_->view().pinned);
  EXPECT_EQ(app_->view().pinned->row, 900);
  EXPECT_GE(app_->view().window.row + app_->view().window.extent, 900.0);
  // What does not exist is not gone to.
  press_keys({ImGuiMod_Ctrl, ImGuiKey_G});
  press_keys({ImGuiMod_Ctrl, ImGuiKey_A});
  type("1024");
  press_keys({ImGuiKey_Enter});
  EXPECT_TRUE(is_shown(GoToDialog::window_name));
  keep_picture("go_to_wrong");
  press_keys({ImGuiKey_Escape});
  EXPECT_EQ(app_->view().pinned->row, 900);
}

TEST_F(ShellTest, HeadsByKey) {
  const auto& layers = session().source()->layers();
  press_keys({ImGuiMod_Ctrl, ImGuiKey_LeftArrow});
  EXPECT_EQ(session().wanted().head, 0) << "stops at the first";
  press_keys({ImGuiMod_Ctrl, ImGuiKey_RightArrow});
  EXPECT_EQ(session().wanted().head, 1);
  press_keys({ImGuiMod_Ctrl, ImGuiKey_DownArrow});
  EXPECT_EQ(session().wanted().layer, layers[1].layer);
  EXPECT_EQ(session().wanted().head, 1);
  press_keys({ImGuiMod_Ctrl, ImGuiKey_UpArrow});
  EXPECT_EQ(session().wanted().layer, layers[0].layer);
}

TEST_F(ShellTest, LayoutsDiffer) {
  const ImVec4 map = rectangle("###exact");
  app_->set_layout(LayoutPreset::compare);
  settle();
  keep_picture("compare");
  EXPECT_GT(rectangle("###exact").w, map.w + 50.0F);
  app_->set_layout(LayoutPreset::teach);
  settle();
  keep_picture("teach");
  EXPECT_GT(rectangle("###exact").x, map.x + 50.0F);
  EXPECT_FLOAT_EQ(ImGui::GetStyle().FontScaleMain, 1.4F);
  app_->actions().run("panel.basis");
  frames(3);
  EXPECT_FALSE(is_shown(basis_window));
  app_->set_layout(LayoutPreset::explore);
  settle();
  EXPECT_TRUE(is_shown(basis_window));
  EXPECT_NEAR(rectangle("###exact").x, map.x, 2.0F);
  EXPECT_NEAR(rectangle("###exact").w, map.w, 2.0F);
}

TEST_F(ShellTest, LogComesAsATabAndGoesAgain) {
  EXPECT_FALSE(is_shown(log_window));
  app_->messages().log(Severity::warning, "something to look at, with a text that is long enough to say where and why");
  app_->messages().log(Severity::error, "something that went wrong");
  press_keys({ImGuiMod_Ctrl, ImGuiMod_Shift, ImGuiKey_L});
  frames(3);
  EXPECT_TRUE(is_shown(log_window));
  const ImGuiWindow* log = ImGui::FindWindowByName(log_window);
  ASSERT_TRUE(log->DockNode);
  EXPECT_FALSE(log->DockNode->IsHiddenTabBar()) << "two panels in one place need their tabs";
  keep_picture("log");
  app_->actions().run("panel.log");
  app_->actions().run("panel.heads");
  frames(3);
  EXPECT_FALSE(is_shown(log_window));
  EXPECT_TRUE(ImGui::FindWindowByName(errors_window)->DockNode->IsHiddenTabBar());
  EXPECT_TRUE(is_shown(errors_window));
}

TEST_F(ShellTest, ToastFadesAndThenNothingIsDrawn) {
  app_->messages().toast(Severity::note, "Session saved: example.convscope.json", glfwGetTime());
  app_->messages().toast(Severity::warning, "A longer message that has to be wrapped because it does not fit into one line of it",
                         glfwGetTime());
  app_->frame();
  keep_picture("toasts");
  app_->actions().run("view.light");
  app_->frame();
  keep_picture("toasts_light");
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(toast_seconds + fade_seconds + 1.5);
  const std::size_t before = app_->frames_drawn();
  while (std::chrono::steady_clock::now() < end) app_->step(0.5);
  EXPECT_TRUE(app_->messages().toasts().empty());
  EXPECT_GT(app_->frames_drawn() - before, 2U) << "it has to be seen fading";
  EXPECT_LT(app_->frames_drawn() - before, 60U);
  const std::size_t after = app_->frames_drawn();
  const auto idle_end = std::chrono::steady_clock::now() + 2s;
  while (std::chrono::steady_clock::now() < idle_end) app_->step(0.5);
  EXPECT_LE(app_->frames_drawn() - after, 2U);
}

TEST_F(ShellTest, FailureIsABannerAndInTheLog) {
  session().open({"/nonexistent/a.npy"});
  settle();
  ASSERT_EQ(app_->messages().banners().size(), 1U);
  EXPECT_EQ(app_->messages().banners().front().severity, Severity::error);
  EXPECT_THAT(app_->messages().all().back().text, testing::HasSubstr("a.npy"));
  keep_picture("banner");
}

TEST_F(ShellTest, SessionGoesThereAndBack) {
  const fs::path path = folder_ / "deep" / "mine.convscope.json";
  AnalysisRequest wish = session().wanted();
  wish.layer = session().source()->layers()[3].layer;
  wish.head = 5;
  wish.n = 300;
  wish.k = 11;
  wish.eps = 0.125;
  session().want(wish);
  settle();
  app_->view().scale = ScaleKind::symlog;
  app_->view().colour_map = ColourMap::magma;
  app_->view().window = {100.0, 20.0, 64.0};
  app_->view().pinned = CellIndex{120, 30};
  frames(2);
  const CellWindow window = app_->view().window;
  app_->set_layout(LayoutPreset::compare);
  app_->actions().run("view.light");
  app_->save_session_as(path);
  EXPECT_THAT(app_->messages().toasts().back().text, testing::HasSubstr("mine.convscope.json"));

  WindowOptions options;
  options.files = {path};
  open(options);
  ASSERT_FALSE(session().failure()) << session().failure()->text;
  wish.source = session().wanted().source;
  EXPECT_EQ(session().wanted(), wish);
  EXPECT_EQ(session().result().request, wish);
  EXPECT_EQ(app_->view().scale, ScaleKind::symlog);
  EXPECT_EQ(app_->view().colour_map, ColourMap::magma);
  EXPECT_EQ(app_->view().window, window);
  EXPECT_EQ(app_->view().pinned, (CellIndex{120, 30}));
  EXPECT_EQ(app_->settings().preset, LayoutPreset::compare);
  EXPECT_FALSE(app_->settings().dark);
}

TEST_F(ShellTest, PlantedSessionGoesThereAndBack) {
  const fs::path path = folder_ / "planted.convscope.json";
  session().plant({.n = 200, .d = 16, .k = 3, .T = 4, .seed = 9});
  settle();
  const auto starts = session().source()->planted_starts();
  const std::vector<Index> planted(starts.begin(), starts.end());
  app_->save_session_as(path);
  open({});
  app_->open({path});
  settle();
  ASSERT_FALSE(session().failure());
  EXPECT_THAT(session().source()->planted_starts(), testing::ElementsAreArray(planted));
}

TEST_F(ShellTest, WrongSessionIsExplainedAndTheResultStays) {
  const fs::path path = folder_ / "wrong.convscope.json";
  write_user_file(path, R"({"convscope_session": 1, "source": {"example": true}, "request": {"n": "many"}})");
  const auto before = session().result().analysis;
  app_->open({path});
  settle();
  ASSERT_TRUE(session().failure());
  EXPECT_THAT(session().failure()->text, testing::HasSubstr("request.n is \"many\""));
  EXPECT_EQ(session().result().analysis, before);
}

TEST_F(ShellTest, SavingDoesNotReplaceASessionOfAnotherSource) {
  const fs::path path = folder_ / "mine.convscope.json";
  app_->save_session_as(path);
  const auto saved = read_user_file(path, 1U << 20U);
  session().plant({.n = 64, .d = 8, .k = 2, .T = 4});
  settle();
  app_->actions().run("file.save_session");  // asks for a name
  app_->frame();
  press_keys({ImGuiKey_Escape});
  EXPECT_EQ(read_user_file(path, 1U << 20U), saved);
  // Nor does one whose files are gone.
  const fs::path other = folder_ / "other.convscope.json";
  write_user_file(other, R"({"convscope_session": 1, "source": {"files": ["gone.npy"]}})");
  const auto unopened = read_user_file(other, 1U << 20U);
  app_->open({other});
  settle();
  EXPECT_TRUE(session().failure());
  app_->actions().run("file.save_session");
  app_->frame();
  press_keys({ImGuiKey_Escape});
  EXPECT_EQ(read_user_file(other, 1U << 20U), unopened);
}

TEST_F(ShellTest, BeginsWhereTheLastRunEnded) {
  open({}, settings_);
  AnalysisRequest wish = session().wanted();
  wish.head = 4;
  wish.k = 5;
  session().want(wish);
  settle();
  open({}, settings_);
  EXPECT_EQ(session().wanted().head, 4);
  EXPECT_EQ(session().wanted().k, 5);
  // Unless the user would rather not.
  app_->actions().run("file.restore");
  open({}, settings_);
  EXPECT_EQ(session().wanted().head, 0);
}

TEST_F(ShellTest, BrokenLastSessionIsKeptAsideAndSaid) {
  write_user_file(last_session_path(settings_), "{\"convscope_session\": 1,");
  open({}, settings_);
  EXPECT_TRUE(session().result().analysis) << "the example in its place";
  ASSERT_EQ(app_->messages().banners().size(), 1U);
  EXPECT_THAT(app_->messages().banners().front().text, testing::HasSubstr(".broken"));
  EXPECT_TRUE(fs::exists(last_session_path(settings_).string() + ".broken"));
  keep_picture("broken_session");
}

TEST_F(ShellTest, RemembersWhatWasOpened) {
  for (const char* name : {"layers.0.q.npy", "layers.0.k.npy", "layers.0.v.npy"}) {
    fs::create_directories(folder_);
    const convbasis::Matrix<float> matrix = convbasis::Matrix<float>::Random(32, 8);
    convbasis::write_npy(folder_ / name, convbasis::view(matrix));
  }
  open({}, settings_);
  EXPECT_TRUE(app_->settings().recent.empty()) << "the example has a menu item of its own";
  const FileGroup files{folder_ / "layers.0.q.npy", folder_ / "layers.0.k.npy", folder_ / "layers.0.v.npy"};
  app_->open(files);
  settle();
  ASSERT_FALSE(session().failure()) << session().failure()->text;
  ASSERT_EQ(app_->settings().recent.size(), 1U);
  app_.reset();
  EXPECT_EQ(load_settings(settings_).settings.recent, std::vector<FileGroup>{files});
}

TEST_F(ShellTest, FontsHaveWhatWeWrite) {
  constexpr std::u32string_view needed = U"abcXYZ0189äöüß εδσλκατ ∈≤≥×−·…₀₁₂ₖᵢⱼₙ \u1EF8 Σ√∞≈≠→←± ⁰¹²³⁴⁻ᵣ ᵀ";
  app_->messages().toast(Severity::note, "fonts: u₁ … uₖ, aᵢⱼ, Ỹ − Y, ε ≤ δ / (5 T), λ ∈ {σ}, Vᵀ, 10⁻³ × 2 ← →", glfwGetTime());
  app_->frame();
  keep_picture("fonts");
  for (ImFont* font : {ui::text_font(), ui::mono_font(), ui::bold_font()}) {
    for (const char32_t letter : needed) {
      EXPECT_TRUE(font->IsGlyphInFont(static_cast<ImWchar>(letter))) << "U+" << std::hex << static_cast<unsigned>(letter);
    }
  }
}

TEST_F(ShellTest, SlotBKeepsAHeadAndShowsTheDifference) {
  EXPECT_FALSE(app_->slot_b());
  const AnalysisRequest first = session().wanted();
  ASSERT_TRUE(app_->actions().run("head.put_b"));
  settle();
  ASSERT_TRUE(app_->slot_b());
  EXPECT_EQ(app_->slot_b()->wanted(), first);
  ASSERT_TRUE(app_->actions().run("head.next"));
  settle();
  EXPECT_EQ(session().wanted().head, first.head + 1);
  EXPECT_EQ(app_->slot_b()->wanted().head, first.head);
  ASSERT_TRUE(app_->slot_b()->result().analysis);
  const Picture picture = app_->grab();
  EXPECT_GT(distinct_colours(picture, rectangle("###exact_b")), 200U);
  EXPECT_GT(distinct_colours(picture, rectangle("###difference")), 100U);
  keep_picture("slot-b");
  ASSERT_TRUE(app_->actions().run("head.swap_b"));
  settle();
  EXPECT_EQ(session().wanted().head, first.head);
  EXPECT_EQ(app_->slot_b()->wanted().head, first.head + 1);
  ASSERT_TRUE(app_->actions().run("head.clear_b"));
  settle();
  EXPECT_FALSE(app_->slot_b());
}

TEST_F(ShellTest, AllRowsAreComputedWhenAskedFor) {
  session().plant({.n = 40000, .d = 8, .k = 2});
  settle();
  EXPECT_FALSE(analysis().exact->complete());
  ASSERT_TRUE(app_->actions().run("run.all_rows"));
  settle();
  EXPECT_TRUE(analysis().exact->complete());
}

}  // namespace
}  // namespace convscope
