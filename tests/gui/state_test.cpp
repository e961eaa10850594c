// The plain functions behind the panels: clamping, slider scales, thinned curves, texts, settings.

#include "core/errors.h"
#include "state/analysis_request.h"
#include "state/lag_curve.h"
#include "state/settings.h"
#include "state/slider_scale.h"
#include "state/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace convscope {
namespace {

namespace fs = std::filesystem;

TEST(Request, IsCutToTheSource) {
  AnalysisRequest wild;
  wild.n = 5000;
  wild.k = 9000;
  wild.T = 0;
  wild.delta = -1.0;
  wild.eps = std::numeric_limits<double>::quiet_NaN();
  const AnalysisRequest cut = clamped(wild, 1024);
  EXPECT_EQ(cut.n, 1024);
  EXPECT_EQ(cut.k, 1024);
  EXPECT_EQ(cut.T, 1);
  EXPECT_EQ(cut.delta, 0.0);
  EXPECT_EQ(cut.eps, convbasis::RecoverOptions{}.eps);
  EXPECT_EQ(cut, clamped(cut, 1024));
}

RC_GTEST_PROP(Request, CutsToValidOptions, (Index n, Index k, Index T, double delta, double eps, Index raw_tokens)) {
  AnalysisRequest request;
  request.n = n;
  request.k = k;
  request.T = T;
  request.delta = delta;
  request.eps = eps;
  const Index tokens = 1 + (raw_tokens & 0xffff);
  const AnalysisRequest cut = clamped(request, tokens);
  RC_ASSERT(cut.n >= 1 && cut.n <= tokens);
  convbasis::require_valid(cut.options(), cut.n);  // throws when it is not
}

TEST(Request, OfLowRankIsCutToWhatThatTakes) {
  AnalysisRequest wild;
  wild.n = 5000;
  wild.method = Method::rank;
  wild.k = 0;
  wild.degree = 99;
  EXPECT_EQ(clamped(wild, 3000).k, 1);
  EXPECT_EQ(clamped(wild, 3000).degree, convbasis::max_exp_degree);
  wild.k = 2000;
  wild.degree = -1;
  EXPECT_EQ(clamped(wild, 3000).k, convbasis::svd_rank_limit);
  EXPECT_EQ(clamped(wild, 3000).degree, 0);
  wild.rank_kind = convbasis::RankKind::features;
  EXPECT_EQ(clamped(wild, 3000).k, 2000) << "says nothing, so it is kept for another method";
}

TEST(Request, HasAnErrorCurveWhereKIsWhatGrows) {
  AnalysisRequest request;
  EXPECT_TRUE(request.has_error_curve());
  request.method = Method::fit;
  EXPECT_FALSE(request.has_error_curve());
  request.method = Method::rank;
  EXPECT_TRUE(request.has_error_curve());
  request.rank_kind = convbasis::RankKind::features;
  EXPECT_FALSE(request.has_error_curve());
}

TEST(LagCurve, ThinsEvenlyWithoutLosingAPeak) {
  std::vector<float> values(1000, 0.0F);
  values[437] = 5.0F;
  values[438] = -7.0F;
  const LagCurve curve = thin_evenly(values, 50);
  EXPECT_LE(curve.lag.size(), 60U);
  EXPECT_TRUE(std::ranges::is_sorted(curve.lag));
  EXPECT_EQ(*std::ranges::max_element(curve.value), 5.0);
  EXPECT_EQ(*std::ranges::min_element(curve.value), -7.0);
  EXPECT_EQ(thin_evenly(std::span(values).first(40), 50).lag.size(), 40U) << "short ones stay whole";
  EXPECT_TRUE(thin_evenly({}, 50).lag.empty());
}

TEST(Request, OnlyHeadAndNTouchTheExactPart) {
  AnalysisRequest a;
  AnalysisRequest b = a;
  b.k = a.k + 1;
  b.eps = a.eps * 2;
  b.search = convbasis::Search::scan;
  EXPECT_TRUE(same_exact_part(a, b));
  b.n = a.n + 1;
  EXPECT_FALSE(same_exact_part(a, b));
}

TEST(SliderScale, GoesThereAndBack) {
  const std::vector<SliderScale> scales{{1.0, 1024.0, 0.0}, {1.0, 256.0, 1.0}, {0.0, 1.0, 1e-5}, {0.0, 100.0, 1e-2}};
  for (const SliderScale& scale : scales) {
    for (double position = 0.0; position <= 1.0; position += 0.125) {
      // A few roundings of log and pow.
      EXPECT_NEAR(scale.position_of(scale.value_at(position)), position, 1e-12);
    }
    EXPECT_EQ(scale.value_at(0.0), scale.low);
    EXPECT_NEAR(scale.value_at(1.0), scale.high, 1e-12 * scale.high);
    EXPECT_EQ(scale.value_at(-3.0), scale.low);
    EXPECT_EQ(scale.position_of(2.0 * scale.high), 1.0);
  }
}

TEST(SliderScale, OfOneNumberStandsStill) { EXPECT_EQ((SliderScale{1.0, 1.0, 0.0}).position_of(1.0), 0.0); }

TEST(LagCurve, KeepsShortVectorsWhole) {
  const std::vector<float> values{1.0F, 0.5F, -0.25F};
  const LagCurve curve = thin_curve(values, 2000);
  EXPECT_THAT(curve.lag, testing::ElementsAre(0.0, 1.0, 2.0));
  EXPECT_THAT(curve.value, testing::ElementsAre(1.0, 0.5, -0.25));
}

TEST(LagCurve, ThinsWithoutLosingAPeak) {
  std::vector<float> values(100000);
  for (std::size_t lag = 0; lag < values.size(); ++lag) values[lag] = std::sin(0.001F * static_cast<float>(lag));
  values[77777] = 9.0F;
  values[55555] = -9.0F;
  const LagCurve curve = thin_curve(values, 1000);
  EXPECT_LE(curve.lag.size(), 1010U);
  EXPECT_TRUE(std::ranges::is_sorted(curve.lag));
  const auto at = [&](double lag) {
    return curve.value.at(static_cast<std::size_t>(std::ranges::find(curve.lag, lag) - curve.lag.begin()));
  };
  EXPECT_EQ(at(77777.0), 9.0);
  EXPECT_EQ(at(55555.0), -9.0);
}

TEST(LagCurve, RangeLeavesOutWhatCannotBeDrawn) {
  const std::vector<LagCurve> curves{{{0.0, 1.0, 2.0}, {1e-30, 0.5, std::numeric_limits<double>::infinity()}}, {{0.0}, {0.125}}};
  EXPECT_EQ(range_of(curves, 1e-12), (Range{0.125, 0.5}));
  EXPECT_EQ(range_of({}, 0.0), Range{});
}

TEST(Text, WritesTimes) {
  EXPECT_EQ(seconds_text(0.414), "0.41 s");
  EXPECT_EQ(seconds_text(0.0123), "12 ms");
  EXPECT_EQ(seconds_text(0.00123), "1.2 ms");
  EXPECT_EQ(seconds_text(0.000037), "37 us");
}

TEST(Text, WritesTokensOnOneLine) {
  EXPECT_EQ(token_text("\xC4\xA0the"), " the");
  EXPECT_EQ(token_text("\xE2\x96\x81of"), " of");
  EXPECT_EQ(token_text("a\n\tb"), "a\\n\\tb");
  // Cut by characters: each of these takes two bytes.
  EXPECT_EQ(token_text("\xC3\xA4\xC3\xB6\xC3\xBC", 2), "\xC3\xA4\xC3\xB6\xE2\x80\xA6");
}

class SettingsFile : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }

  fs::path folder_ =
      fs::path(testing::TempDir()) / (std::string("convscope_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::path path_ = folder_ / "deep" / "layout.ini";
};

TEST_F(SettingsFile, ComesBackAsItWasSaved) {
  save_settings(path_, {.dark = false, .ui_scale = 1.25, .layout = "[Window][Source###source]\nPos=1,2\n"});
  const LoadedSettings loaded = load_settings(path_);
  EXPECT_EQ(loaded.warning, "");
  EXPECT_FALSE(loaded.settings.dark);
  EXPECT_EQ(loaded.settings.ui_scale, 1.25);
  EXPECT_EQ(loaded.settings.layout, "[Window][Source###source]\nPos=1,2\n");
}

TEST_F(SettingsFile, AllOfItComesBack) {
  Settings settings{.dark = true, .ui_scale = 0.75, .layout = "[Docking][Data]\nDockSpace ID=0x1\n"};
  settings.preset = LayoutPreset::teach;
  settings.hidden = {"log", "runtime"};
  settings.recent = {{"/data/a b.safetensors"}, {"/q.npy", "/k.npy", "/v.npy"}};
  settings.width = 1234;
  settings.height = 777;
  settings.restore_session = false;
  save_settings(path_, settings);
  const LoadedSettings loaded = load_settings(path_);
  EXPECT_EQ(loaded.warning, "");
  EXPECT_EQ(loaded.settings.layout, settings.layout);
  EXPECT_EQ(loaded.settings.preset, LayoutPreset::teach);
  EXPECT_EQ(loaded.settings.hidden, settings.hidden);
  EXPECT_EQ(loaded.settings.recent, settings.recent);
  EXPECT_EQ(loaded.settings.width, 1234);
  EXPECT_EQ(loaded.settings.height, 777);
  EXPECT_FALSE(loaded.settings.restore_session);
}

TEST_F(SettingsFile, FirstVersionIsStillRead) {
  const auto settings = parse_settings("; convscope settings 1 light 1.50\n[Docking][Data]\n\n; end of settings\n");
  ASSERT_TRUE(settings);
  EXPECT_FALSE(settings->dark);
  EXPECT_EQ(settings->ui_scale, 1.5);
  EXPECT_EQ(settings->layout, "[Docking][Data]\n");
  EXPECT_TRUE(settings->recent.empty());
}

TEST_F(SettingsFile, LinesOfALaterVersionArePassedOverButWrongOnesAreNot) {
  const auto parse = [](const std::string& line) {
    return parse_settings("; convscope settings 2 dark 1.00\n; " + line + "\n\n; end of settings\n");
  };
  EXPECT_TRUE(parse("colour of the future mauve"));
  for (const char* line : {"preset none", "window 3 3", "window 100", "restore perhaps", "recent relative/path", "recent "}) {
    EXPECT_FALSE(parse(line)) << line;
  }
}

TEST(RecentFiles, NewestFirstOnceAndNotTooMany) {
  std::vector<FileGroup> recent;
  for (int i = 0; i < 30; ++i) remember_files(recent, {"/data/" + std::to_string(i)});
  EXPECT_EQ(recent.size(), most_recent_files);
  EXPECT_EQ(recent.front(), FileGroup{"/data/29"});
  remember_files(recent, {"/data/./25"});
  EXPECT_EQ(recent.front(), FileGroup{"/data/25"});
  EXPECT_EQ(recent.size(), most_recent_files);
  remember_files(recent, {"/two\nlines"});
  remember_files(recent, {});
  EXPECT_EQ(recent.front(), FileGroup{"/data/25"});
  remember_files(recent, {"here.npy"});
  EXPECT_TRUE(recent.front().front().is_absolute());
}

TEST_F(SettingsFile, MissingOneGivesTheDefaultsInSilence) {
  const LoadedSettings loaded = load_settings(path_);
  EXPECT_EQ(loaded.warning, "");
  EXPECT_TRUE(loaded.settings.dark);
}

TEST_F(SettingsFile, BrokenOneIsKeptAsideWithAWarning) {
  save_settings(path_, {.dark = false, .ui_scale = 2.0, .layout = "[Docking][Data]\n"});
  const std::string whole = settings_text({.dark = false, .ui_scale = 2.0, .layout = "[Docking][Data]\n"});
  const std::vector<std::string> broken{"", whole.substr(0, whole.size() / 2), std::string(100, '\xFF'),
                                        settings_text({.dark = true, .ui_scale = 90.0, .layout = ""}),
                                        "; convscope settings 1 \n; end of settings\n"};
  for (const std::string& text : broken) {
    write(text);
    const LoadedSettings loaded = load_settings(path_);
    EXPECT_THAT(loaded.warning, testing::HasSubstr("layout.ini.broken")) << text;
    EXPECT_TRUE(loaded.settings.dark);
    EXPECT_EQ(loaded.settings.layout, "");
    EXPECT_FALSE(fs::exists(path_));
    EXPECT_TRUE(fs::exists(path_.string() + ".broken"));
  }
}

TEST_F(SettingsFile, CannotBeSavedWhereAFileIsInTheWay) {
  std::ofstream(folder_ / "deep") << "in the way";
  EXPECT_THROW(save_settings(path_, {}), convbasis::FileError);
}

}  // namespace
}  // namespace convscope
