// What the guard promises: the fast path in float32 against a direct sum in double, for scores that reach from -30 to 30.
#include "basis/apply.h"
#include "basis/score_columns.h"
#include "data/planted.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

/// Planted scores, scaled so that the largest is 30 in size.
ConvBasis<float> planted_to_30(Index n, Index k, double spread, std::uint64_t seed) {
  Planted<float> planted = make_planted_scores<float>({.n = n, .d = 64, .k = k, .T = 8, .spread = spread, .seed = seed});
  const auto read = [&] {
    const HeadScores<float> columns(
        {view(planted.head.query), view(planted.head.key), view(planted.head.query), planted.head.scale});
    return columns.read_whole(planted.starts, {});
  };
  float largest = 0.0F;
  for (const auto& lags : read()) {
    for (const float score : lags) largest = std::max(largest, std::abs(score));
  }
  planted.head.scale *= 30.0 / static_cast<double>(largest);
  return {n, planted.starts, read()};
}

/// One row of the direct sum, in double, with a shift of its own.
Eigen::RowVectorXd direct_row(const ConvBasis<float>& scores, const Matrix<float>& value, Index row) {
  std::vector<double> weights;
  for (Index r = 0; r < scores.count(); ++r) {
    for (Index j = scores.start(r); j < std::min(scores.end(r), row + 1); ++j) {
      weights.push_back(static_cast<double>(scores.lag_vector(r)[static_cast<std::size_t>(row - j)]));
    }
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  Eigen::RowVectorXd result = Eigen::RowVectorXd::Zero(value.cols());
  double sum = 0.0;
  for (Index j = 0; j <= row; ++j) {
    const double weight = std::exp(weights[static_cast<std::size_t>(j)] - largest);
    sum += weight;
    result += weight * value.row(j).cast<double>();
  }
  return result / sum;
}

/// First and last rows, those at and around the starts, and random ones.
std::set<Index> sampled_rows(const ConvBasis<float>& scores, std::size_t count, Rng& rng) {
  const Index n = scores.size();
  std::set<Index> rows{0, 1, n - 2, n - 1};
  for (const Index start : scores.starts()) {
    for (const Index row : {start - 1, start, start + 1}) rows.insert(std::clamp<Index>(row, 0, n - 1));
  }
  while (rows.size() < count) rows.insert(std::uniform_int_distribution<Index>(0, n - 1)(rng));
  return rows;
}

struct Found {
  double overall = 0.0, worst_row = 0.0;  ///< relative: to all rows together; to the row itself
  ApplyReport report;
};

Found apply_and_compare(const ConvBasis<float>& scores, Index columns, std::size_t samples, Rng& rng) {
  const Matrix<float> value = gaussian<float>(scores.size(), columns, rng);
  Matrix<float> output(scores.size(), columns);
  const ConvAttentionPlan<float> plan(std::make_shared<const ConvWeights<float>>(exponentiate(scores)), columns);
  Found found;
  found.report = plan.apply(view(value), mutable_view(output));
  double errors = 0.0;
  double squares = 0.0;
  for (const Index row : sampled_rows(scores, samples, rng)) {
    const Eigen::RowVectorXd expected = direct_row(scores, value, row);
    const double error = (output.row(row).cast<double>() - expected).norm();
    const double relative = error / expected.norm();
    if (!(relative <= found.worst_row)) found.worst_row = relative;
    errors += error * error;
    squares += expected.squaredNorm();
  }
  found.overall = std::sqrt(errors / squares);
  return found;
}

/// The figure of merit is 1e-5. A row alone may pass it, for the guard goes by a typical error: 9e-6 was found here at most, and
/// 2e-5 among some hundred other inputs.
void expect_held(const Found& found) {
  const std::string figures = "overall " + std::to_string(1e6 * found.overall) + "e-6, worst row " +
                              std::to_string(1e6 * found.worst_row) + "e-6, rescued " +
                              std::to_string(found.report.rescued_rows()) + ", " + found.report.path;
  EXPECT_TRUE(found.overall <= 1e-5) << figures;
  EXPECT_TRUE(found.worst_row <= 2e-5) << figures;
  EXPECT_GT(found.report.block, 0) << "this is about the FFT";
  testing::Test::RecordProperty("figures", figures);
}

TEST(DynamicRange, PlantedScoresThatReach30) {
  Rng rng(1);
  const ConvBasis<float> scores = planted_to_30(65536, 16, 2.6, 1);
  const Found found = apply_and_compare(scores, 16, 96, rng);
  expect_held(found);
  EXPECT_GT(found.report.rescued_rows(), 0) << "float32 alone cannot hold every row";
}

TEST(DynamicRange, RandomScoresBetweenMinus30And30) {
  Rng rng(2);
  const ConvBasis<float> scores = uniform_basis<float>(65536, random_starts(65536, 16, rng), rng, 30.0);
  expect_held(apply_and_compare(scores, 16, 96, rng));
}

TEST(DynamicRange, EveryRowOfSmallerInputs) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Rng rng(seed);
    const Index n = 1500 + static_cast<Index>(seed);
    expect_held(
        apply_and_compare(planted_to_30(n, 1 + static_cast<Index>(seed), 2.6, seed), 32, static_cast<std::size_t>(n), rng));
    expect_held(
        apply_and_compare(uniform_basis<float>(n, random_starts(n, 4, rng), rng, 30.0), 32, static_cast<std::size_t>(n), rng));
  }
}

}  // namespace
}  // namespace convbasis
