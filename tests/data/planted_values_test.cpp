// Values made block by block: any blocks agree, and the numbers are what the header says.
#include "data/planted_values.h"

#include "core/errors.h"
#include "data/planted.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

namespace convbasis {
namespace {

using ::testing::HasSubstr;

template <Real T>
Matrix<T> block(std::uint64_t seed, Index row, Index column, Index rows, Index columns, const RunContext& context = {}) {
  Matrix<T> result(rows, columns);
  make_values<T>(seed, row, column, mutable_view(result), context);
  return result;
}

TEST(PlantedValues, AreThoseOfTheDefinition) {
  // Computed apart from the engine, in whole numbers of any length.
  const double unit = std::sqrt(3.0) * std::pow(2.0, -52);
  const auto value = [](std::uint64_t seed, Index i, Index j) { return block<double>(seed, i, j, 1, 1)(0, 0); };
  EXPECT_DOUBLE_EQ(value(1, 0, 0), unit * 3316356330981164.0);
  EXPECT_DOUBLE_EQ(value(1, 0, 1), unit * -508328217694818.0);
  EXPECT_DOUBLE_EQ(value(1, 1, 0), unit * 4003607802288361.0);
  EXPECT_DOUBLE_EQ(value(7, 999999, 3071), unit * 389624480202465.0);
}

RC_GTEST_PROP(PlantedValuesProperty, BlocksAreCutFromOneMatrix, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint64_t>();
  const Index rows = *rc::gen::inRange<Index>(1, 40);
  const Index columns = *rc::gen::inRange<Index>(1, 40);
  const Index row = *rc::gen::inRange<Index>(0, rows);
  const Index column = *rc::gen::inRange<Index>(0, columns);
  const Matrix<double> whole = block<double>(seed, 0, 0, rows, columns);
  RC_ASSERT(
      (block<double>(seed, row, column, rows - row, columns - column) == whole.bottomRightCorner(rows - row, columns - column)));
  RC_ASSERT((block<float>(seed, row, column, rows - row, columns - column) ==
             whole.bottomRightCorner(rows - row, columns - column).cast<float>()));
}

TEST(PlantedValues, NeitherThreadsNorGapsMatter) {
  const Matrix<float> one = block<float>(5, 3, 1, 5000, 3, {.threads = 1});
  EXPECT_EQ(one, block<float>(5, 3, 1, 5000, 3, {.threads = 4}));
  Matrix<float> wide = Matrix<float>::Constant(5000, 5, -7.0F);
  make_values<float>(5, 3, 1, {wide.data() + 1, 5000, 3, Eigen::OuterStride<>(5)});
  EXPECT_EQ(wide.middleCols(1, 3), one);
  EXPECT_TRUE((wide.col(0).array() == -7.0F).all() && (wide.col(4).array() == -7.0F).all());
}

TEST(PlantedValues, AreEvenlyDistributedAndUnrelated) {
  const Matrix<double> values = block<double>(3, 0, 0, 4000, 64);
  const auto count = static_cast<double>(values.size());
  const double deviation = 1.0 / std::sqrt(count);
  EXPECT_LE(values.cwiseAbs().maxCoeff(), std::sqrt(3.0));
  EXPECT_GE(values.maxCoeff(), 0.999 * std::sqrt(3.0));
  // Five standard errors each: of the mean 1, of the square sqrt(0.8), of the fourth power sqrt(5.76), of a product 1.
  EXPECT_LE(std::abs(values.mean()), 5.0 * deviation);
  EXPECT_LE(std::abs(values.array().square().mean() - 1.0), 5.0 * std::sqrt(0.8) * deviation);
  EXPECT_LE(std::abs(values.array().pow(4).mean() - 1.8), 5.0 * 2.4 * deviation);
  const auto product = [&](const auto& a, const auto& b) {
    return std::abs(a.cwiseProduct(b).sum()) / std::sqrt(static_cast<double>(a.size()));
  };
  EXPECT_LE(product(values.leftCols(63), values.rightCols(63)), 5.0);
  EXPECT_LE(product(values.topRows(3999), values.bottomRows(3999)), 5.0);
  EXPECT_LE(product(values.topLeftCorner(3999, 63), values.bottomRightCorner(3999, 63)), 5.0);
  EXPECT_LE(product(values, block<double>(4, 0, 0, 4000, 64)), 5.0);
}

TEST(PlantedValues, ErrorsAndCancel) {
  Matrix<float> values(2, 2);
  try {
    make_values<float>(1, (Index{1} << 32) - 1, 0, mutable_view(values));
    ADD_FAILURE() << "no error";
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("row 4294967295, column 0 of size 2 x 2"));
  }
  EXPECT_THROW(make_values<float>(1, -1, 0, mutable_view(values)), InvalidArgument);
  EXPECT_THROW(make_values<float>(1, 0, Index{1} << 32, mutable_view(values)), InvalidArgument);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(make_values<float>(1, 0, 0, mutable_view(values), {.stop = stop.get_token()}), Cancelled);
}

/// Q and K must not depend on whether V is made with them, on threads, or on how rows are cut into blocks.
TEST(PlantedScores, AreThoseOfThePlantedInput) {
  for (const double noise : {0.0, 1e-3}) {
    const PlantedOptions options{.n = 1300, .d = 10, .value_width = 3, .k = 5, .noise = noise, .seed = 8};
    const Planted<double> whole = make_planted<double>(options, {.threads = 1});
    for (const int threads : {1, 4}) {
      const Planted<double> scores = make_planted_scores<double>(options, {.threads = threads});
      EXPECT_EQ(scores.head.query, whole.head.query);
      EXPECT_EQ(scores.head.key, whole.head.key);
      EXPECT_EQ(scores.head.scale, whole.head.scale);
      EXPECT_EQ(scores.starts, whole.starts);
      EXPECT_EQ(scores.delta, whole.delta);
      EXPECT_EQ(scores.noise, whole.noise);
      EXPECT_EQ(scores.head.value.size(), 0);
    }
  }
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(make_planted_scores<float>({}, {.stop = stop.get_token()}), Cancelled);
  EXPECT_THROW(make_planted_scores<float>({.d = 3}), InvalidArgument);
}

}  // namespace
}  // namespace convbasis
