// The ladder of the head that is shown, without a window.
#include "state/head_ladder.h"

#include "data/planted.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace convscope {
namespace {

using namespace std::chrono_literals;
using Analysis = convbasis::HeadAnalysis<float>;

std::shared_ptr<const Analysis> analysis_of(convbasis::Index n) {
  const auto planted = convbasis::make_planted<float>({.n = n, .d = 16, .k = 3, .seed = 5});
  return std::make_shared<const Analysis>(convbasis::analyze_head<float>(planted.head, {.k = 3}));
}

AnalysisRequest request_of(const Analysis& analysis) {
  AnalysisRequest request;
  request.source = 1;
  request.n = analysis.n;
  request.k = 3;
  request.band = 8;
  request.columns = 2;
  return request;
}

class HeadLadderTest : public testing::Test {
 protected:
  bool becomes_settled() {
    const auto end = std::chrono::steady_clock::now() + 60s;
    do {
      ladder_.poll();
      if (!ladder_.pending()) return true;
      std::this_thread::sleep_for(1ms);
    } while (std::chrono::steady_clock::now() < end);
    return false;
  }

  std::atomic<int> wakes_ = 0;
  HeadLadder ladder_{[this] { ++wakes_; }};
};

TEST_F(HeadLadderTest, IsThatOfTheEngine) {
  const auto analysis = analysis_of(200);
  ladder_.want(analysis, request_of(*analysis));
  ladder_.show(true);
  ASSERT_TRUE(becomes_settled());
  EXPECT_GT(wakes_, 0);
  const auto expected = convbasis::make_ladder<float>(analysis->head(), *analysis->exact, {.band = 8, .columns = 2, .k = 3});
  ASSERT_TRUE(ladder_.ladder());
  ASSERT_EQ(ladder_.ladder()->rungs.size(), expected.rungs.size());
  for (std::size_t r = 0; r < expected.rungs.size(); ++r) {
    EXPECT_EQ(ladder_.ladder()->rungs[r].key, expected.rungs[r].key);
    EXPECT_EQ(ladder_.ladder()->rungs[r].error, expected.rungs[r].error);
    EXPECT_FALSE(rung_label(expected.rungs[r]).empty());
    EXPECT_NE(rung_help(expected.rungs[r].key), expected.rungs[r].key) << "every rung has a sentence";
  }
}

TEST_F(HeadLadderTest, NothingIsMadeWhileNobodyLooks) {
  const auto analysis = analysis_of(60);
  ladder_.want(analysis, request_of(*analysis));
  ladder_.poll();
  EXPECT_FALSE(ladder_.busy());
  EXPECT_FALSE(ladder_.pending());
  EXPECT_FALSE(ladder_.ladder());
}

TEST_F(HeadLadderTest, OnlyWhatItDependsOnMakesItAnew) {
  const auto analysis = analysis_of(60);
  AnalysisRequest request = request_of(*analysis);
  ladder_.want(analysis, request);
  ladder_.show(true);
  ASSERT_TRUE(becomes_settled());
  const auto first = ladder_.ladder();
  request.delta = 3.0;
  request.T = 2;
  ladder_.want(analysis, request);
  ASSERT_TRUE(becomes_settled());
  EXPECT_EQ(ladder_.ladder(), first);
  request.band = 9;
  ladder_.want(analysis, request);
  EXPECT_TRUE(ladder_.stale());
  EXPECT_EQ(ladder_.ladder(), first) << "stays until the next is there";
  ASSERT_TRUE(becomes_settled());
  EXPECT_EQ(ladder_.ladder()->options.band, 9);
}

TEST_F(HeadLadderTest, SaysWhyThereIsNone) {
  const auto analysis = analysis_of(60);
  AnalysisRequest request = request_of(*analysis);
  request.band = 61;
  ladder_.want(analysis, request);
  ladder_.show(true);
  ASSERT_TRUE(becomes_settled());
  EXPECT_NE(ladder_.failure().find("band is 61"), std::string::npos) << ladder_.failure();
}

}  // namespace
}  // namespace convscope
