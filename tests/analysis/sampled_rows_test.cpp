// The direct sums of a few rows, against dense attention.
#include "analysis/sampled_rows.h"

#include "core/errors.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace convbasis {
namespace {

using namespace testing_inputs;
using ::testing::HasSubstr;

std::vector<Index> all_rows(Index n) {
  std::vector<Index> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), Index{0});
  return rows;
}

/// The errors by their definition, over the chosen rows.
struct Errors {
  double relative, worst;
};

template <Real T>
Errors errors(const HeadTensors<T>& head, const Matrix<T>& output, const std::vector<Index>& rows) {
  const reference::Dense exact =
      reference::softmax(reference::scores(head.view())).probability * head.value.template cast<double>();
  double difference = 0.0, size = 0.0, worst = 0.0;
  for (const Index i : rows) {
    const double row = (output.row(i).template cast<double>() - exact.row(i)).norm();
    difference += row * row;
    size += exact.row(i).squaredNorm();
    worst = std::max(worst, row / exact.row(i).norm());
  }
  return {std::sqrt(difference / size), worst};
}

/// Takes `columns` columns at a time.
template <Real T>
SampledRows<T> check(const HeadTensors<T>& head, const Matrix<T>& output, const std::vector<Index>& rows, Index columns,
                     const RunContext& context = {}) {
  SampledRows<T> sampled(view(head.query), view(head.key), head.scale, rows, context);
  for (Index first = 0; first < output.cols(); first += columns) {
    const Index count = std::min(columns, output.cols() - first);
    const auto part = [&](const Matrix<T>& whole) {
      return MatrixView<T>(whole.data() + first, whole.rows(), count, Eigen::OuterStride<>(whole.cols()));
    };
    sampled.add(part(head.value), part(output), context);
  }
  return sampled;
}

template <Real T>
void agrees_with_dense() {
  // Around the tile of 256 keys as well as small.
  const Index n = *rc::gen::oneOf(rc::gen::inRange<Index>(1, 40), rc::gen::inRange<Index>(250, 530));
  const Index d = *rc::gen::inRange<Index>(1, 20);
  const Index width = *rc::gen::inRange<Index>(1, 40);
  const Index columns = *rc::gen::inRange<Index>(1, width + 1);
  const auto seed = *rc::gen::inRange<std::uint64_t>(0, 1000);
  const HeadTensors<T> head = gaussian_head<T>(n, d, width, seed);
  Rng rng(seed + 1);
  const Matrix<T> output = head.value + gaussian<T>(n, width, rng);
  std::vector<Index> rows = choose_rows(n, *rc::gen::inRange<Index>(1, 30), {});
  const SampledRows<T> sampled = check(head, output, rows, columns);
  const Errors expected = errors(head, output, rows);
  // Both sum the same numbers in double; n terms in another order.
  const double tolerance = 1e-14 * static_cast<double>(n + 16);
  RC_ASSERT(std::abs(sampled.relative_error() - expected.relative) <= tolerance * (1.0 + expected.relative));
  RC_ASSERT(std::abs(sampled.worst_row_error() - expected.worst) <= 10.0 * tolerance * (1.0 + expected.worst));
}

RC_GTEST_PROP(SampledRowsProperty, AgreeWithDenseAttentionInFloat, ()) { agrees_with_dense<float>(); }
RC_GTEST_PROP(SampledRowsProperty, AgreeWithDenseAttentionInDouble, ()) { agrees_with_dense<double>(); }

TEST(SampledRows, ManyKeysAndAnyNumberOfThreads) {
  const HeadTensors<float> head = gaussian_head<float>(5003, 3, 9, 4);
  const std::vector<Index> rows{0, 1, 255, 256, 1023, 1024, 3000, 5001, 5002};
  const SampledRows<float> one = check(head, head.value, rows, 9, {.threads = 1});
  const SampledRows<float> four = check(head, head.value, rows, 9, {.threads = 4});
  EXPECT_EQ(one.relative_error(), four.relative_error());
  EXPECT_EQ(one.worst_row_error(), four.worst_row_error());
  const Errors expected = errors(head, head.value, rows);
  EXPECT_NEAR(one.relative_error(), expected.relative, 1e-10 * expected.relative);
  EXPECT_NEAR(one.worst_row_error(), expected.worst, 1e-10 * expected.worst);
}

TEST(SampledRows, TheExactOutputHasNoError) {
  const HeadTensors<double> head = gaussian_head<double>(300, 8, 5, 7);
  const Matrix<double> exact = reference::softmax(reference::scores(head.view())).probability * head.value;
  const SampledRows<double> sampled = check(head, exact, all_rows(300), 2);
  EXPECT_LE(sampled.relative_error(), 1e-14);  // rounding of the sums
  EXPECT_LE(sampled.worst_row_error(), 1e-13);
}

TEST(SampledRows, ScoresOfAnySizeAndZeroValues) {
  HeadTensors<double> head = gaussian_head<double>(60, 4, 3, 8);
  head.query *= 1e4;
  const Matrix<double> exact = reference::softmax(reference::scores(head.view())).probability * head.value;
  // Scores near 1e5 carry an absolute rounding of 1e-11, which exp makes relative.
  EXPECT_LE(check(head, exact, all_rows(60), 3).worst_row_error(), 1e-9);
  head.value.setZero();
  EXPECT_EQ(check(head, head.value, all_rows(60), 3).relative_error(), 0.0);
}

TEST(SampledRows, NanIsSeenInSampledRowsAndOnlyThere) {
  HeadTensors<float> head = gaussian_head<float>(50, 4, 3, 9);
  Matrix<float> output = head.value;
  output(20, 1) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(std::isnan(check(head, output, {0, 19, 21, 49}, 3).worst_row_error()));
  EXPECT_TRUE(std::isnan(check(head, output, {0, 20, 49}, 3).relative_error()));
  EXPECT_TRUE(std::isnan(check(head, output, {0, 20, 49}, 3).worst_row_error()));
  head.value(30, 0) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(check(head, head.value, {0, 40}, 1).relative_error())) << "row 40 sees token 30";
}

TEST(SampledRows, ErrorsAndCancel) {
  const HeadTensors<double> head = gaussian_head<double>(30, 4, 3, 10);
  const auto rows_of = [&](std::vector<Index> rows) {
    return message_of<InvalidArgument>([&] { SampledRows<double>(view(head.query), view(head.key), 1.0, rows); });
  };
  EXPECT_THAT(rows_of({3, 2}), HasSubstr("ascending and in [0, 30)"));
  EXPECT_THAT(rows_of({-1, 2}), HasSubstr("[0, 30)"));
  EXPECT_THAT(rows_of({0, 30}), HasSubstr("[0, 30)"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { SampledRows<double>(view(head.query), view(head.value), 1.0, {}); }),
              HasSubstr("query is 30 x 4 and key 30 x 3"));
  SampledRows<double> sampled(view(head.query), view(head.key), head.scale, {0, 5});
  EXPECT_THAT(message_of<InvalidArgument>([&] { sampled.add(view(head.value), view(head.query)); }),
              HasSubstr("value is 30 x 3 and output 30 x 4"));
  std::stop_source stop;
  stop.request_stop();
  const RunContext stopped{.stop = stop.get_token()};
  EXPECT_THROW(SampledRows<double>(view(head.query), view(head.key), 1.0, {0}, stopped), Cancelled);
  EXPECT_THROW(sampled.add(view(head.value), view(head.value), stopped), Cancelled);
}

RC_GTEST_PROP(ChooseRows, AreAscendingInRangeAndAsManyAsAsked, ()) {
  const Index size = *rc::gen::inRange<Index>(1, 300);
  const Index count = *rc::gen::inRange<Index>(2, 100);
  Rng rng(*rc::gen::inRange<std::uint64_t>(0, 1000));
  const std::vector<Index> starts = random_starts(size, *rc::gen::inRange<Index>(1, std::min<Index>(size, 30) + 1), rng);
  const std::vector<Index> rows = choose_rows(size, count, starts);
  RC_ASSERT(static_cast<Index>(rows.size()) == std::min(size, count));
  RC_ASSERT(rows.front() == 0 && rows.back() == size - 1);
  RC_ASSERT(std::adjacent_find(rows.begin(), rows.end(), std::greater_equal<>()) == rows.end());
}

TEST(ChooseRows, LookBesideStartsAndEverywhereElse) {
  const std::vector<Index> starts{0, 1000, 5000, 77777};
  const std::vector<Index> rows = choose_rows(100'000, 64, starts);
  for (const Index row : {0, 1, 999, 1000, 1001, 4999, 5000, 5001, 77776, 77777, 77778, 99'999}) {
    EXPECT_TRUE(std::binary_search(rows.begin(), rows.end(), row)) << row;
  }
  Index gap = 0;
  for (std::size_t x = 1; x < rows.size(); ++x) gap = std::max(gap, rows[x] - rows[x - 1]);
  EXPECT_LE(gap, 100'000 / 50);  // 52 rows are left to spread evenly
}

}  // namespace
}  // namespace convbasis
