// Masks against their definitions, one entry at a time.
#include "lowrank/masks.h"

#include "core/errors.h"
#include "lowrank/masks_of_tests.h"
#include "support/expect_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

/// sum_i |S_i xor S_{i-1}| of a dense mask.
Index changes_of(const Matrix<double>& ones) {
  Index count = 0;
  for (Index i = 0; i < ones.rows(); ++i) {
    for (Index j = 0; j < ones.cols(); ++j) count += ones(i, j) != (i > 0 ? ones(i - 1, j) : 0.0) ? 1 : 0;
  }
  return count;
}

TEST(IntervalMask, NamedMasksAreWhatTheySay) {
  for (const Index n : {0, 1, 2, 7, 16, 33}) {
    const Matrix<double> causal = dense(IntervalMask::causal(n));
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) EXPECT_EQ(causal(i, j), j <= i ? 1.0 : 0.0);
    }
    for (const Index width : {1, 2, 5, 16, 40}) {
      const Matrix<double> window = dense(IntervalMask::sliding_window(n, width));
      for (Index i = 0; i < n; ++i) {
        for (Index j = 0; j < n; ++j) EXPECT_EQ(window(i, j), j <= i && i - j < width ? 1.0 : 0.0);
      }
      for (const Index shift : {Index{0}, width / 2, width - 1}) {
        const Matrix<double> groups = dense(IntervalMask::shifted_groups(n, width, shift));
        const auto group = [&](Index t) { return std::floor(static_cast<double>(t - shift) / static_cast<double>(width)); };
        for (Index i = 0; i < n; ++i) {
          for (Index j = 0; j < n; ++j) EXPECT_EQ(groups(i, j), j <= i && group(i) == group(j) ? 1.0 : 0.0);
        }
      }
    }
  }
}

TEST(IntervalMask, TellsWhetherItSlides) {
  EXPECT_TRUE(IntervalMask::causal(5).is_sliding());
  EXPECT_TRUE(IntervalMask::sliding_window(5, 2).is_sliding());
  EXPECT_TRUE(IntervalMask::shifted_groups(9, 4, 2).is_sliding());
  EXPECT_FALSE(IntervalMask({{0, 1}, {1, 2}, {0, 2}}).is_sliding());
  EXPECT_FALSE(IntervalMask({{0, 3}, {0, 2}, {0, 3}}).is_sliding());
}

RC_GTEST_PROP(MaskProperty, ContinuousRowsAndTheirChangesAreTheSameMask, ()) {
  Rng rng(static_cast<std::uint64_t>(*rc::gen::inRange(0, 100000)));
  const IntervalMask mask = random_intervals(*rc::gen::inRange<Index>(1, 40), rng);
  const RowChangeMask changes(mask);
  const Matrix<double> ones = dense(mask);
  RC_ASSERT(dense(changes) == ones);
  RC_ASSERT(mask.changes() == changes_of(ones));
  RC_ASSERT(changes.changes() == changes_of(ones));
  RC_ASSERT(static_cast<double>(mask.ones()) == ones.sum());
}

RC_GTEST_PROP(MaskProperty, RowChangesAreTogglesOfTheRowBefore, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 30);
  Rng rng(static_cast<std::uint64_t>(*rc::gen::inRange(0, 100000)));
  const auto toggles = random_changes(n, 4, rng);
  const RowChangeMask mask(toggles);
  Matrix<double> expected = Matrix<double>::Zero(n, n);
  for (Index i = 0; i < n; ++i) {
    if (i > 0) expected.row(i) = expected.row(i - 1);
    for (const Index j : toggles[static_cast<std::size_t>(i)]) expected(i, j) = 1.0 - expected(i, j);
  }
  RC_ASSERT(dense(mask) == expected);
  RC_ASSERT(mask.changes() == changes_of(expected));
}

RC_GTEST_PROP(MaskProperty, DistinctLinesHaveTheirSets, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 30);
  Rng rng(static_cast<std::uint64_t>(*rc::gen::inRange(0, 100000)));
  const auto [sets, set_of] = random_sets(n, *rc::gen::inRange<Index>(1, 6), rng);
  const DistinctRowsMask rows(sets, set_of);
  const DistinctColumnsMask columns(sets, set_of);
  for (Index i = 0; i < n; ++i) {
    const auto& set = sets[static_cast<std::size_t>(set_of[static_cast<std::size_t>(i)])];
    for (Index j = 0; j < n; ++j) {
      const bool member = std::ranges::find(set, j) != set.end();
      RC_ASSERT(contains(rows, i, j) == member);
      RC_ASSERT(contains(columns, j, i) == member);
    }
  }
}

TEST(Masks, BadOnesAreErrors) {
  const auto message = [](const auto& make) { return message_of<InvalidArgument>(make); };
  EXPECT_THAT(message([] { IntervalMask({{0, 1}, {2, 1}}); }), HasSubstr("row 1 of the mask is [2, 1)"));
  EXPECT_THAT(message([] { IntervalMask({{0, 1}, {0, 3}}); }), HasSubstr("within [0, 2)"));
  EXPECT_THAT(message([] { IntervalMask({{-1, 1}}); }), HasSubstr("row 0"));
  EXPECT_THAT(message([] { IntervalMask::causal(-1); }), HasSubstr("-1 rows"));
  EXPECT_THAT(message([] { IntervalMask::sliding_window(4, 0); }), HasSubstr("at least 1"));
  EXPECT_THAT(message([] { IntervalMask::shifted_groups(4, 0, 0); }), HasSubstr("size must be at least 1"));
  EXPECT_THAT(message([] { IntervalMask::shifted_groups(4, 2, 2); }), HasSubstr("shift below it"));
  EXPECT_THAT(message([] { IntervalMask::shifted_groups(4, 2, -1); }), HasSubstr("shift below it"));
  EXPECT_THAT(message([] { RowChangeMask({{0}, {2}}); }), HasSubstr("changes of row 1"));
  EXPECT_THAT(message([] { RowChangeMask({{0}, {1, 1}}); }), HasSubstr("without repeats"));
  EXPECT_THAT(message([] { RowChangeMask({{1, 0}, {}}); }), HasSubstr("ascending"));
  EXPECT_THAT(message([] { DistinctRowsMask({{0, 5}}, {0, 0}); }), HasSubstr("set 0"));
  EXPECT_THAT(message([] { DistinctRowsMask({{0}}, {0, 1}); }), HasSubstr("line 1 of the mask has set 1; there are 1"));
  EXPECT_THAT(message([] { DistinctColumnsMask({{0}}, {0, -1}); }), HasSubstr("set -1"));
}

}  // namespace
}  // namespace convbasis
