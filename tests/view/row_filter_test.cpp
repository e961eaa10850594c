// The filter of a table: what it lets through, and what it says about text that means nothing.

#include "view/row_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

namespace convscope {
namespace {

constexpr std::array<FilterName, 4> names{{{"layer", 0}, {"head", 1}, {"error", 2}, {"err", 2}}};
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

bool passes(std::string_view text, double layer, double head, double error) {
  const ParsedFilter parsed = parse_filter(text, names);
  EXPECT_EQ(parsed.problem, "") << text;
  return parsed.filter.matches(std::array<double, 3>{layer, head, error});
}

std::string problem_of(std::string_view text) {
  const ParsedFilter parsed = parse_filter(text, names);
  EXPECT_TRUE(parsed.filter.empty()) << text;
  return parsed.problem;
}

TEST(RowFilter, NoWordsLetEverythingThrough) {
  for (const char* text : {"", "  ", " , and & "}) {
    EXPECT_TRUE(parse_filter(text, names).filter.empty());
    EXPECT_TRUE(passes(text, nan, 1, 2));
  }
}

TEST(RowFilter, EveryComparison) {
  struct Case {
    const char* text;
    bool below, at, above;
  };
  for (const Case& expected :
       {Case{"error<0.5", true, false, false}, Case{"error <= 0.5", true, true, false}, Case{"ERROR>0.5", false, false, true},
        Case{"err >=50%", false, true, true}, Case{"error=.5", false, true, false}, Case{"error == 5e-1", false, true, false},
        Case{"error != 50 %", true, false, true}, Case{"error 0.5", false, true, false}}) {
    EXPECT_EQ(passes(expected.text, 0, 0, 0.25), expected.below) << expected.text;
    EXPECT_EQ(passes(expected.text, 0, 0, 0.5), expected.at) << expected.text;
    EXPECT_EQ(passes(expected.text, 0, 0, 0.75), expected.above) << expected.text;
    EXPECT_FALSE(passes(expected.text, 0, 0, nan)) << expected.text << ": what is not known is not let through";
  }
}

TEST(RowFilter, RangesIncludeBothEnds) {
  for (const double layer : {2.0, 3.0, 4.0, 5.0, 6.0}) EXPECT_EQ(passes("layer 3-5", layer, 0, 0), layer >= 3 && layer <= 5);
  EXPECT_TRUE(passes("error > -1", 0, 0, 0)) << "a sign is no range";
}

TEST(RowFilter, AllConditionsMustHold) {
  for (const char* text : {"layer 3 error<0.2", "layer=3, error<20%", "Layer 3 AND error < 0.2", "error<0.2 & layer 3"}) {
    EXPECT_TRUE(passes(text, 3, 0, 0.1)) << text;
    EXPECT_FALSE(passes(text, 4, 0, 0.1)) << text;
    EXPECT_FALSE(passes(text, 3, 0, 0.2)) << text;
  }
}

TEST(RowFilter, AnInfiniteValueIsLargerThanAnyNumber) {
  EXPECT_TRUE(passes("error > 1e300", 0, 0, INFINITY));
  EXPECT_FALSE(passes("error < 1e300", 0, 0, INFINITY));
}

TEST(RowFilter, SaysWhatIsWrongAndWhatWouldBeRight) {
  using testing::HasSubstr;
  EXPECT_EQ(problem_of("colour < 2"), "no column is called \"colour\"; there is layer, head or error");
  EXPECT_THAT(problem_of("<2"), HasSubstr("\"<2\""));
  EXPECT_EQ(problem_of("error <"), "after \"error\" the text ends; a comparison and a number belong there, as in error < 0.2");
  EXPECT_THAT(problem_of("error is small"), HasSubstr("there is \"is small\""));
  EXPECT_THAT(problem_of("layer"), HasSubstr("layer < 0.2"));
  EXPECT_THAT(problem_of("layer 3-"), HasSubstr("layer 3-5"));
  EXPECT_THAT(problem_of("error < nan"), HasSubstr("\"nan\""));
  EXPECT_THAT(problem_of("error < 1e999"), HasSubstr("number"));
  EXPECT_THAT(problem_of("layer 3 \xCE\xB5\xCE\xB5\xCE\xB5\xCE\xB5\xCE\xB5\xCE\xB5\xCE\xB5 < 1"), HasSubstr("no column"));
}

}  // namespace
}  // namespace convscope
