// Chosen rows against dense softmax, and against the attention of all rows.
#include "attention/exact_rows.h"

#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

template <class T>
class ExactRows : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactRows, Precisions);

template <Real T>
void expect_rows(const HeadTensors<T>& head, const std::vector<Index>& rows, const RunContext& context = {}) {
  const reference::Softmax exact = reference::softmax(reference::scores(head.view()));
  const reference::Dense value = head.value.template cast<double>();
  const auto count = static_cast<Index>(rows.size());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Matrix<T> output = Matrix<T>::Constant(count, head.value.cols(), static_cast<T>(nan));
  std::vector<double> lse(rows.size(), nan);
  exact_rows<T>(head.view(), rows, mutable_view(output), lse, context);
  std::vector<double> lse_alone(rows.size(), nan);
  Matrix<T> nothing(0, 0);
  exact_rows<T>(head.view(), rows, mutable_view(nothing), lse_alone, context);
  EXPECT_EQ(lse, lse_alone);
  const double tolerance = score_tolerance(head.view());
  for (Index x = 0; x < count; ++x) {
    const Index row = rows[static_cast<std::size_t>(x)];
    ASSERT_NEAR(lse[static_cast<std::size_t>(x)], exact.lse[static_cast<std::size_t>(row)], tolerance) << "row " << row;
    const double error = (output.row(x).template cast<double>() - exact.probability.row(row) * value).cwiseAbs().maxCoeff();
    // A wrong score moves numerator and denominator.
    ASSERT_LE(error, 2.0 * tolerance * value.cwiseAbs().maxCoeff()) << "row " << row;
  }
}

TYPED_TEST(ExactRows, AreSoftmaxTimesValueForEverySize) {
  Rng rng(1);
  Index width = 1;
  for (const Index n : {1, 2, 17, 255, 256, 257, 300, 511, 513, 1000, 1531}) {
    const auto head = gaussian_head<TypeParam>(n, width, 1 + width % 19, static_cast<std::uint64_t>(n));
    std::vector<Index> some{0, n - 1};
    std::uniform_int_distribution<Index> any(0, n - 1);
    for (int x = 0; x < 40; ++x) some.push_back(any(rng));
    std::ranges::sort(some);
    expect_rows(head, some);
    expect_rows<TypeParam>(head, {n / 2});
    width = width * 3 % 67;
  }
}

TYPED_TEST(ExactRows, LargeScoresNeedTheMaximumOfEachRow) {
  HeadTensors<TypeParam> head = gaussian_head<TypeParam>(700, 8, 5, 3);
  head.scale = 60.0;
  expect_rows<TypeParam>(head, {0, 1, 5, 255, 256, 400, 699});
  head.query.setZero();  // all scores equal
  expect_rows<TypeParam>(head, {0, 300, 699});
}

TYPED_TEST(ExactRows, DoNotDependOnTheNumberOfThreads) {
  const auto head = gaussian_head<TypeParam>(900, 16, 7, 4);
  const std::vector<Index> rows{3, 300, 301, 899};
  Matrix<TypeParam> one(4, 7);
  Matrix<TypeParam> four(4, 7);
  std::vector<double> lse_one(4);
  std::vector<double> lse_four(4);
  exact_rows<TypeParam>(head.view(), rows, mutable_view(one), lse_one, {.threads = 1});
  exact_rows<TypeParam>(head.view(), rows, mutable_view(four), lse_four, {.threads = 4});
  EXPECT_EQ(one, four);
  EXPECT_EQ(lse_one, lse_four);
}

TYPED_TEST(ExactRows, NoRowsAreNoWork) { expect_rows<TypeParam>(gaussian_head<TypeParam>(10, 2, 2, 5), {}); }

TYPED_TEST(ExactRows, BadArgumentsAreErrors) {
  const auto head = gaussian_head<TypeParam>(10, 2, 3, 6);
  Matrix<TypeParam> output(2, 3);
  std::vector<double> lse(2);
  const auto run = [&](const std::vector<Index>& rows) { exact_rows<TypeParam>(head.view(), rows, mutable_view(output), lse); };
  EXPECT_THAT(message_of<InvalidArgument>([&] { run({4, 3}); }), HasSubstr("ascending"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { run({-1, 3}); }), HasSubstr("[0, 10)"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { run({3, 10}); }), HasSubstr("[0, 10)"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { run({1, 2, 3}); }), HasSubstr("3 rows"));
}

TYPED_TEST(ExactRows, StopOnRequest) {
  const auto head = gaussian_head<TypeParam>(600, 2, 3, 6);
  std::stop_source source;
  source.request_stop();
  Matrix<TypeParam> output(1, 3);
  std::vector<double> lse(1);
  const std::vector<Index> rows{599};
  EXPECT_THROW(exact_rows<TypeParam>(head.view(), rows, mutable_view(output), lse, {.stop = source.get_token()}), Cancelled);
}

}  // namespace
}  // namespace convbasis
