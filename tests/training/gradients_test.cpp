// Gradients of one head by three ways, side by side.
#include "training/gradients.h"

#include "data/planted.h"
#include "support/expect_error.h"
#include "support/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

struct Input {
  Planted<double> planted;
  RecoverOptions options;
  Matrix<double> gradient;
};

Input planted_input(Index n = 150) {
  Input input{make_planted<double>({.n = n, .d = 8, .k = 3}), {}, random_output_gradient<double>(n, 8, 5)};
  input.options = {.k = 3, .T = 8, .delta = input.planted.delta, .eps = 0.0};
  return input;
}

TEST(CompareGradients, OnPlantedDataTheEstimateIsExact) {
  const Input input = planted_input();
  const auto result = compare_gradients<double>(input.planted.head.view(), input.options, view(input.gradient), all_backwards);
  ASSERT_EQ(result.ways.size(), 3U);
  EXPECT_EQ(result.k_found, 3);
  EXPECT_EQ(result.starts, input.planted.starts);
  EXPECT_EQ(result.output_gradient, input.gradient);
  for (std::size_t way = 0; way < 3; ++way) {
    EXPECT_EQ(result.ways[way].backward, all_backwards[way]);
    EXPECT_GT(result.ways[way].forward_seconds, 0.0);
    EXPECT_GT(result.ways[way].backward_seconds, 0.0);
    EXPECT_LE(result.ways[way].value_error, 1e-11);  // P~ is P up to rounding
  }
  EXPECT_EQ(result.ways[0].query_error, 0.0);
  EXPECT_EQ(result.ways[0].key_error, 0.0);
  EXPECT_LE(result.ways[1].query_error, 1e-8);  // the limit
  EXPECT_LE(result.ways[1].key_error, 1e-8);
  // The conv forward reads the keys at starts alone: its gradient is another one, by construction.
  EXPECT_GE(result.ways[2].key_error, 0.1);
  for (Index j = 0; j < 150; ++j) {
    const bool starts = std::ranges::find(result.starts, j) != result.starts.end();
    EXPECT_EQ(result.ways[2].key.row(j).norm() > 0.0, starts) << "column " << j;
  }
}

TEST(CompareGradients, OnARandomHeadNeitherIs) {
  const HeadTensors<double> head = gaussian_head<double>(120, 8, 6, 3);
  const Matrix<double> gradient = random_output_gradient<double>(120, 6, 1);
  const auto result = compare_gradients<double>(head.view(), {.k = 4}, view(gradient), all_backwards);
  EXPECT_GE(result.ways[1].query_error, 0.1);
  EXPECT_GE(result.ways[2].query_error, 0.1);
}

TEST(CompareGradients, WantedWaysOnceAndInOrder) {
  const Input input = planted_input();
  const auto run = [&](std::vector<Backward> wanted) {
    return compare_gradients<double>(input.planted.head.view(), input.options, view(input.gradient), wanted);
  };
  const auto all = run({all_backwards.begin(), all_backwards.end()});
  const auto turned = run({Backward::conv, Backward::exact, Backward::conv});
  ASSERT_EQ(turned.ways.size(), 2U);
  EXPECT_EQ(turned.ways[0].query, all.ways[0].query);
  EXPECT_EQ(turned.ways[1].query, all.ways[2].query);
  EXPECT_EQ(turned.ways[1].query_error, all.ways[2].query_error);
  const auto alone = run({Backward::estimate});
  ASSERT_EQ(alone.ways.size(), 1U);
  EXPECT_EQ(alone.ways[0].key, all.ways[1].key);
  EXPECT_TRUE(std::isnan(alone.ways[0].query_error)) << "there is nothing to compare with";
  EXPECT_EQ(run({Backward::exact}).k_found, 0);
}

TEST(CompareGradients, DoesNotDependOnTheNumberOfThreads) {
  const Input input = planted_input(400);
  const auto run = [&](int threads) {
    return compare_gradients<double>(input.planted.head.view(), input.options, view(input.gradient), all_backwards,
                                     {.threads = threads});
  };
  const auto one = run(1);
  const auto many = run(5);
  for (std::size_t way = 0; way < 3; ++way) {
    EXPECT_EQ(one.ways[way].query, many.ways[way].query);
    EXPECT_EQ(one.ways[way].key, many.ways[way].key);
    EXPECT_EQ(one.ways[way].value, many.ways[way].value);
  }
}

TEST(CompareGradients, WhatDoesNotFitIsNamed) {
  const Input input = planted_input();
  const HeadView<double> head = input.planted.head.view();
  const auto message = [&](const HeadView<double>& of, const RecoverOptions& options, const Matrix<double>& gradient,
                           const std::vector<Backward>& wanted) {
    return message_of<InvalidArgument>([&] { compare_gradients<double>(of, options, view(gradient), wanted); });
  };
  EXPECT_THAT(message(head, input.options, Matrix<double>::Zero(9, 8), {Backward::exact}), HasSubstr("output gradient is 9 x 8"));
  EXPECT_THAT(message(head, {.k = 0}, input.gradient, {Backward::conv}), HasSubstr("k is 0"));
  EXPECT_THAT(message(head, input.options, input.gradient, {}), HasSubstr("no backward pass"));
  const auto given = head_of_scores<double>(Matrix<double>::Zero(10, 10), Matrix<double>::Zero(10, 2));
  EXPECT_THAT(message(given.view(), {}, Matrix<double>::Zero(10, 2), {Backward::conv}), HasSubstr("given by its scores"));
}

TEST(RandomOutputGradient, IsSeeded) {
  EXPECT_EQ(random_output_gradient<double>(5, 3, 2), random_output_gradient<double>(5, 3, 2));
  EXPECT_NE(random_output_gradient<double>(5, 3, 2), random_output_gradient<double>(5, 3, 3));
  EXPECT_NEAR(random_output_gradient<double>(400, 50, 2).squaredNorm() / 20000.0, 1.0, 0.05);  // 5 deviations
}

}  // namespace
}  // namespace convbasis
