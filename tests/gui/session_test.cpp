// The session without a window: wishes go in, results come out of the background.

#include "state/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace convscope {
namespace {

using namespace std::chrono_literals;

class SessionTest : public testing::Test {
 protected:
  /// Polls as the window does, until `done`; fails the test after a generous while.
  template <class Condition>
  void poll_until(const Condition& done) {
    const auto deadline = std::chrono::steady_clock::now() + 120s;
    while (true) {
      session_.poll();
      if (done()) return;
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the session did not get there";
      std::this_thread::sleep_for(1ms);
    }
  }
  void settle() {
    poll_until([this] { return !session_.busy() && !session_.awaits_poll(); });
  }
  void open_planted(Index n = 256) {
    session_.plant({.n = n, .d = 16, .k = 4, .T = 4, .seed = 7});
    settle();
    ASSERT_TRUE(session_.result().analysis) << (session_.failure() ? session_.failure()->text : "");
  }

  std::atomic<int> wakes_{0};
  Session session_{[this] { ++wakes_; }};
};

TEST_F(SessionTest, StartsEmptyAndIdle) {
  settle();
  EXPECT_FALSE(session_.source());
  EXPECT_FALSE(session_.result().analysis);
  EXPECT_FALSE(session_.failure());
}

TEST_F(SessionTest, AnalysesAPlantedInput) {
  open_planted();
  const AnalysisResult& result = session_.result();
  EXPECT_EQ(result.request, session_.wanted());
  EXPECT_FALSE(session_.stale());
  const auto starts = result.analysis->recovery.basis.starts();
  const auto planted = session_.source()->planted_starts();
  EXPECT_THAT(std::vector<Index>(starts.begin(), starts.end()), testing::ElementsAreArray(planted.begin(), planted.end()));
  // Float32 rounding of outputs; the product's promise for planted inputs.
  EXPECT_LE(result.analysis->error.relative_error, 1e-5);
  EXPECT_GE(wakes_.load(), 2);  // opened, analysed
}

TEST_F(SessionTest, AnotherKKeepsTheExactPart) {
  open_planted();
  const AnalysisResult before = session_.result();
  AnalysisRequest wish = session_.wanted();
  wish.k = 2;
  session_.want(wish);
  session_.poll();
  EXPECT_TRUE(session_.stale());
  EXPECT_EQ(session_.result().analysis, before.analysis);  // the old one stays while the new one is made
  settle();
  const AnalysisResult& after = session_.result();
  EXPECT_EQ(after.analysis->recovery.basis.count(), 2);
  EXPECT_GT(after.analysis->error.relative_error, before.analysis->error.relative_error);
  EXPECT_EQ(after.exact_id, before.exact_id);
  EXPECT_NE(after.approximation_id, before.approximation_id);
  EXPECT_EQ(after.analysis->exact->output, before.analysis->exact->output);
}

TEST_F(SessionTest, ManyTokensComeInParts) {
  session_.plant({.n = 6000, .d = 16, .k = 3});
  std::vector<bool> assessed;
  std::uint64_t exact_id = 0;
  poll_until([&] {
    if (session_.result().analysis && assessed.empty()) exact_id = session_.result().exact_id;
    if (session_.result().analysis) assessed.push_back(session_.result().analysis->assessed());
    return session_.result().last;
  });
  EXPECT_TRUE(assessed.back());
  EXPECT_TRUE(session_.result().analysis->exact->complete());
  EXPECT_EQ(session_.result().exact_id, exact_id) << "the tiles made meanwhile stay good";
  EXPECT_LE(session_.result().analysis->error.relative_error, 1e-5);
}

TEST_F(SessionTest, VeryManyTokensAreLookedAtInSomeRows) {
  session_.plant({.n = 40000, .d = 8, .k = 3});
  poll_until([&] { return session_.result().last; });
  const auto& analysis = *session_.result().analysis;
  EXPECT_EQ(analysis.n, 40000);
  EXPECT_TRUE(analysis.assessed());
  EXPECT_FALSE(analysis.exact->complete());
  EXPECT_LE(analysis.error.relative_error, 1e-5);
  EXPECT_EQ(analysis.tensors.get(), session_.source()->share(0, 0, 40000).get()) << "no copy";
}

TEST_F(SessionTest, StartsChosenByHandAreKeptUntilAParameterIsTurned) {
  open_planted();
  AnalysisRequest wish = session_.wanted();
  wish.starts = {90, 0, 30, 30, 100000};
  session_.want(wish);
  settle();
  EXPECT_THAT(session_.wanted().starts, testing::ElementsAre(0, 30, 90));
  EXPECT_EQ(session_.result().analysis->recovery.basis.count(), 3);
  EXPECT_EQ(session_.result().analysis->recovery.basis.start(1), 30);
  wish = session_.wanted();
  wish.k += 1;
  session_.want(wish);
  settle();
  EXPECT_TRUE(session_.wanted().starts.empty());
}

TEST_F(SessionTest, AnSvdOfTooManyTokensIsRefusedAndFeaturesComeInParts) {
  open_planted(5000);
  const auto before = session_.result().analysis;
  AnalysisRequest wish = session_.wanted();
  wish.method = Method::rank;
  session_.want(wish);
  settle();
  ASSERT_TRUE(session_.failure());
  EXPECT_EQ(session_.failure()->kind, Failure::Kind::argument);
  EXPECT_THAT(session_.failure()->text, testing::HasSubstr("at most 4096 tokens; this head has 5000"));
  EXPECT_EQ(session_.result().analysis, before);
  wish.rank_kind = convbasis::RankKind::features;
  session_.want(wish);
  settle();
  EXPECT_FALSE(session_.failure());
  ASSERT_TRUE(session_.result().analysis->rank);
  EXPECT_EQ(session_.result().analysis->rank->rank, 153);  // C(16 + 2, 2)
  EXPECT_TRUE(session_.result().analysis->assessed());
  wish.rank_kind = convbasis::RankKind::svd;
  wish.n = 300;
  wish.k = 7;
  session_.want(wish);
  settle();
  ASSERT_TRUE(session_.result().analysis->rank);
  EXPECT_EQ(session_.result().analysis->rank->factors.left.cols(), 7);
}

TEST_F(SessionTest, AnotherNGivesAnotherExactPart) {
  open_planted();
  const std::uint64_t exact_before = session_.result().exact_id;
  AnalysisRequest wish = session_.wanted();
  wish.n = 100;
  session_.want(wish);
  settle();
  EXPECT_EQ(session_.result().analysis->exact->output.rows(), 100);
  EXPECT_NE(session_.result().exact_id, exact_before);
}

TEST_F(SessionTest, DraggingDoesNotQueue) {
  open_planted(1024);
  const std::uint64_t before = session_.result().approximation_id;
  AnalysisRequest wish = session_.wanted();
  constexpr int drags = 200;
  for (int step = 0; step < drags; ++step) {
    wish.k = 1 + step % 16;
    wish.eps = 1e-4 * (step + 1);
    session_.want(wish);
    session_.poll();
  }
  settle();
  EXPECT_EQ(session_.result().request, wish);
  // Far fewer were computed than asked for: newer wishes replaced them or stopped them.
  EXPECT_LT(session_.result().approximation_id - before, drags / 4);
}

TEST_F(SessionTest, TurningBackToWhatIsShownNeedsNoWork) {
  open_planted();
  const AnalysisResult before = session_.result();
  AnalysisRequest wish = session_.wanted();
  session_.want(wish);
  settle();
  EXPECT_EQ(session_.result().approximation_id, before.approximation_id);
  EXPECT_FALSE(session_.stale());
}

TEST_F(SessionTest, CancelKeepsTheOldResult) {
  open_planted(1024);
  const auto before = session_.result().analysis;
  AnalysisRequest wish = session_.wanted();
  wish.n = 1000;
  session_.want(wish);
  session_.poll();
  session_.cancel();
  settle();
  if (session_.result().analysis == before) {
    EXPECT_TRUE(session_.stale());
    EXPECT_FALSE(session_.failure());
  } else {
    EXPECT_EQ(session_.result().request.n, 1000);  // it had finished before it could be stopped
  }
  session_.want(wish);  // the same wish again starts it again
  settle();
  EXPECT_EQ(session_.result().request.n, 1000);
}

TEST_F(SessionTest, WrongFilesAreExplainedAndChangeNothing) {
  open_planted();
  const AnalysisResult before = session_.result();
  const auto folder = std::filesystem::path(testing::TempDir()) / "convscope_session_test";
  std::filesystem::create_directories(folder);
  const auto garbage = folder / "garbage.safetensors";
  std::ofstream(garbage) << "this is no tensor file";
  for (const auto& path : {folder / "missing.npy", folder, garbage}) {
    session_.open({path});
    settle();
    ASSERT_TRUE(session_.failure()) << path;
    EXPECT_EQ(session_.failure()->kind, Failure::Kind::file);
    EXPECT_THAT(session_.failure()->text, testing::HasSubstr(path.filename().string()));
    EXPECT_EQ(session_.source()->id(), before.source->id());
    EXPECT_EQ(session_.result().analysis, before.analysis);
    EXPECT_FALSE(session_.stale());
  }
  session_.dismiss();
  EXPECT_FALSE(session_.failure());
  std::filesystem::remove_all(folder);
}

TEST_F(SessionTest, ImpossiblePlantedInputIsAnArgumentError) {
  session_.plant({.n = 16, .d = 8, .k = 40});
  settle();
  ASSERT_TRUE(session_.failure());
  EXPECT_EQ(session_.failure()->kind, Failure::Kind::argument);
  EXPECT_FALSE(session_.source());
}

TEST_F(SessionTest, ANewerSourceReplacesTheOneBeingOpened) {
  session_.plant({.n = 64, .d = 8, .k = 2, .T = 4});
  session_.plant({.n = 128, .d = 8, .k = 3, .T = 4});
  settle();
  EXPECT_EQ(session_.source()->layers().front().size, 128);
  EXPECT_EQ(session_.result().source, session_.source());
}

TEST_F(SessionTest, EndsWhileWorkIsUnderWay) {
  session_.plant({.n = 4096, .d = 64, .k = 4});
  poll_until([this] { return session_.source() != nullptr; });
  session_.poll();  // the analysis runs now; the destructor stops it
}

TEST_F(SessionTest, RemembersErrorsOfHeadsUntilTheParametersChange) {
  open_planted();
  EXPECT_THAT(session_.head_errors(), testing::ElementsAre(testing::Key(std::pair<Index, Index>{0, 0})));
  AnalysisRequest wish = session_.wanted();
  wish.k = 3;
  session_.want(wish);
  EXPECT_TRUE(session_.head_errors().empty());
}

}  // namespace
}  // namespace convscope
