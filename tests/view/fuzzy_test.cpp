// Finding commands by some of their letters.

#include "view/fuzzy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace convscope {
namespace {

TEST(Fuzzy, FindsLettersInTheirOrder) {
  EXPECT_GT(fuzzy_score("vsl", "View: Scale: Logarithmic"), 0);
  EXPECT_GT(fuzzy_score("VSL", "view: scale: logarithmic"), 0);
  EXPECT_GT(fuzzy_score("scale log", "View: Scale: Logarithmic"), 0);
  EXPECT_EQ(fuzzy_score("lsv", "View: Scale: L"), 0);
  EXPECT_EQ(fuzzy_score("aa", "a"), 0);
  EXPECT_EQ(fuzzy_score("x", ""), 0);
  EXPECT_EQ(fuzzy_score("", ""), 1);
  EXPECT_EQ(fuzzy_score("  ", "anything"), 1);
}

TEST(Fuzzy, PrefersWholeWordsAndBeginnings) {
  EXPECT_GT(fuzzy_score("open", "Open"), fuzzy_score("open", "Option: pen"));
  EXPECT_GT(fuzzy_score("log", "View: Log"), fuzzy_score("log", "View: Catalogue"));
  EXPECT_GT(fuzzy_score("log", "View: Log"), fuzzy_score("log", "large orange g"));
  // The best of several ways to find the letters counts, not the first.
  EXPECT_EQ(fuzzy_score("og", "Lo Log"), fuzzy_score("og", "Lx Log"));
}

TEST(Fuzzy, BestFirstAndEqualOnesInOrder) {
  const std::vector<std::string> texts{"Export: Map", "View: Fit map", "Help", "Map"};
  EXPECT_THAT(fuzzy_matches("map", texts), testing::ElementsAre(3, 0, 1));
  EXPECT_THAT(fuzzy_matches("", texts), testing::ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(fuzzy_matches("zzz", texts), testing::IsEmpty());
}

}  // namespace
}  // namespace convscope
