// Planted inputs: the scores are Toeplitz inside each segment, and delta and the noise are what is promised.
#include "data/planted.h"

#include "core/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

namespace convbasis {
namespace {

using ::testing::HasSubstr;

/// All scores scale * q_i . k_j, in double.
template <Real T>
Matrix<double> scores(const HeadTensors<T>& head) {
  return head.scale * head.query.template cast<double>() * head.key.template cast<double>().transpose();
}

/// The end of the segment that starts at starts[r].
Index segment_end(const std::vector<Index>& starts, std::size_t r, Index n) { return r + 1 < starts.size() ? starts[r + 1] : n; }

/// The largest difference between a column's lag vector and its segment's first one.
double toeplitz_error(const Matrix<double>& all, const std::vector<Index>& starts) {
  const Index n = all.rows();
  double worst = 0.0;
  for (std::size_t r = 0; r < starts.size(); ++r) {
    for (Index j = starts[r]; j < segment_end(starts, r, n); ++j) {
      worst = std::max(worst, (all.col(j).tail(n - j) - all.col(starts[r]).segment(starts[r], n - j)).lpNorm<Eigen::Infinity>());
    }
  }
  return worst;
}

/// delta by its definition: sums of the b_l over every run j..i, formed one by one.
double delta_by_definition(const Matrix<double>& all, const std::vector<Index>& starts, Index T) {
  std::vector<Eigen::VectorXd> b;
  Eigen::VectorXd sum = Eigen::VectorXd::Zero(T);
  for (const Index start : starts) {
    b.emplace_back(all.col(start).segment(start, T) - sum);
    sum += b.back();
  }
  double smallest = std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < b.size(); ++j) {
    Eigen::VectorXd run = Eigen::VectorXd::Zero(T);
    for (std::size_t i = j; i < b.size(); ++i) {
      run += b[i];
      smallest = std::min(smallest, run.lpNorm<1>());
    }
  }
  return smallest;
}

PlantedOptions small_options() {
  PlantedOptions options;
  options.n = 300;
  options.d = 16;
  options.k = 5;
  options.T = 6;
  options.seed = 11;
  return options;
}

std::string message_of(const PlantedOptions& options) {
  try {
    make_planted<double>(options);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no error";
}

TEST(Planted, ShapesAndScale) {
  PlantedOptions options = small_options();
  options.value_width = 7;
  const Planted<float> planted = make_planted<float>(options);
  EXPECT_EQ(planted.head.query.rows(), 300);
  EXPECT_EQ(planted.head.query.cols(), 16);
  EXPECT_EQ(planted.head.key.rows(), 300);
  EXPECT_EQ(planted.head.value.cols(), 7);
  EXPECT_DOUBLE_EQ(planted.head.scale, 0.25);
  EXPECT_EQ(planted.noise, 0.0);
}

TEST(Planted, LongInputsStayToeplitzInDouble) {
  PlantedOptions options = small_options();
  options.n = 200000;
  options.k = 1;
  const Planted<double> planted = make_planted<double>(options);
  const HeadTensors<double>& head = planted.head;
  double worst = 0.0;
  for (Index j = 0; j < options.n; j += 997) {
    for (Index t = 0; t < options.n - j; t += 991) {
      const double here = head.query.row(j + t).dot(head.key.row(j));
      const double first = head.query.row(t).dot(head.key.row(0));
      worst = std::max(worst, std::abs(here - first) * head.scale);
    }
  }
  // A few rounding errors of products of size 1 to 10; without the correction of the angles it is 9e-12.
  EXPECT_LE(worst, 1e-13);
}

RC_GTEST_PROP(PlantedProperty, ScoresAreToeplitzAndDeltaIsRight, ()) {
  PlantedOptions options;
  options.n = *rc::gen::inRange<Index>(1, 200);
  options.d = 2 * *rc::gen::inRange<Index>(1, 20);
  options.T = *rc::gen::inRange<Index>(1, std::min<Index>(options.n, 12) + 1);
  options.k = *rc::gen::inRange<Index>(1, std::min<Index>(options.n - options.T + 1, 20) + 1);
  options.seed = *rc::gen::arbitrary<std::uint64_t>();
  const Planted<double> planted = make_planted<double>(options);
  const Matrix<double> all = scores(planted.head);

  RC_ASSERT(static_cast<Index>(planted.starts.size()) == options.k);
  RC_ASSERT(planted.starts.front() == 0);
  const Index gap = options.k * options.T <= options.n ? options.T : 1;
  for (std::size_t r = 1; r < planted.starts.size(); ++r) RC_ASSERT(planted.starts[r] >= planted.starts[r - 1] + gap);
  RC_ASSERT(planted.starts.back() <= options.n - options.T);

  // Two roundings of d products: far below 1e-14 of the largest score, times a margin of 10.
  const double rounding = 1e-13 * (1.0 + all.cwiseAbs().maxCoeff());
  RC_ASSERT(toeplitz_error(all, planted.starts) <= rounding);
  const double delta = delta_by_definition(all, planted.starts, options.T);
  RC_ASSERT(planted.delta <= delta);
  RC_ASSERT(planted.delta >= delta - 100.0 * rounding * static_cast<double>(options.T));
}

RC_GTEST_PROP(PlantedProperty, FloatKeepsItsDelta, ()) {
  PlantedOptions options = small_options();
  options.seed = *rc::gen::arbitrary<std::uint64_t>();
  const Planted<float> planted = make_planted<float>(options);
  const Planted<double> exact = make_planted<double>(options);
  RC_ASSERT(planted.starts == exact.starts);
  RC_ASSERT(planted.delta <= delta_by_definition(scores(planted.head), planted.starts, options.T));
  RC_ASSERT(planted.delta <= exact.delta);
  RC_ASSERT(planted.delta >= exact.delta - 1e-3);  // what 2 T roundings of scores up to about 30 can lose in float
}

RC_GTEST_PROP(PlantedProperty, NoiseMovesScoresByAtMostItsBound, ()) {
  PlantedOptions options = small_options();
  options.seed = *rc::gen::arbitrary<std::uint64_t>();
  const Planted<double> clean = make_planted<double>(options);
  options.noise = 0.9 * clean.delta / (5.0 * static_cast<double>(options.T));
  RC_PRE(options.noise > 1e-6);
  const Planted<double> noisy = make_planted<double>(options);
  RC_ASSERT(noisy.starts == clean.starts);
  RC_ASSERT(noisy.delta == clean.delta);
  const Matrix<double> change = scores(noisy.head) - scores(clean.head);
  double largest = 0.0;
  for (Index j = 0; j < options.n; ++j) largest = std::max(largest, change.col(j).tail(options.n - j).lpNorm<Eigen::Infinity>());
  RC_ASSERT(largest <= noisy.noise * (1.0 + 1e-9) + 1e-12);  // rounding of the scores
  RC_ASSERT(noisy.noise <= options.noise);
  RC_ASSERT(largest >= 0.5 * options.noise);  // the noise is felt, or tests of the error bound would prove nothing
}

TEST(Planted, SameSeedSameInputOtherSeedAnother) {
  PlantedOptions options = small_options();
  const Planted<double> first = make_planted<double>(options);
  const Planted<double> again = make_planted<double>(options);
  EXPECT_EQ(first.head.key, again.head.key);
  EXPECT_EQ(first.head.value, again.head.value);
  options.seed = 12;
  EXPECT_NE(first.head.key, make_planted<double>(options).head.key);
}

TEST(Planted, BadOptionsAreNamed) {
  PlantedOptions options = small_options();
  options.n = 0;
  EXPECT_THAT(message_of(options), HasSubstr("n is 0"));
  options = small_options();
  options.d = 7;
  EXPECT_THAT(message_of(options), HasSubstr("d is 7; planted inputs need an even d"));
  options = small_options();
  options.T = 301;
  EXPECT_THAT(message_of(options), HasSubstr("T is 301; it must be from 1 to n = 300"));
  options = small_options();
  options.k = 0;
  EXPECT_THAT(message_of(options), HasSubstr("k is 0; it must be from 1 to n - T + 1 = 295"));
  options.k = 296;
  EXPECT_THAT(message_of(options), HasSubstr("k is 296"));
  options = small_options();
  options.value_width = -1;
  EXPECT_THAT(message_of(options), HasSubstr("value_width is -1"));
  options = small_options();
  options.spread = 0.0;
  EXPECT_THAT(message_of(options), HasSubstr("spread is 0"));
  options = small_options();
  for (const double noise : {-1e-3, std::numeric_limits<double>::quiet_NaN()}) {
    options.noise = noise;
    EXPECT_THAT(message_of(options), HasSubstr("noise is"));
  }
  options.noise = 1e3;
  EXPECT_THAT(message_of(options), HasSubstr("at most delta / (5 T)"));
}

TEST(RandomHead, IsStandardNormal) {
  const HeadTensors<double> head = make_random_head<double>(2000, 8, 4, 3);
  EXPECT_EQ(head.value.cols(), 4);
  EXPECT_DOUBLE_EQ(head.scale, 1.0 / std::sqrt(8.0));
  // 16,000 numbers: five standard errors of the mean (0.008) and of the variance (0.011).
  EXPECT_LE(std::abs(head.query.mean()), 0.04);
  EXPECT_LE(std::abs(head.query.squaredNorm() / static_cast<double>(head.query.size()) - 1.0), 0.056);
  EXPECT_NE(head.query, head.key);
  EXPECT_THROW(make_random_head<float>(0, 8, 8, 1), InvalidArgument);
}

TEST(ParsePlanted, ReadsAnySubset) {
  const PlantedOptions options = parse_planted("k=16,n=4096,noise=1e-3,seed=7,T=12,d=8,spread=2,value_width=3");
  EXPECT_EQ(options.k, 16);
  EXPECT_EQ(options.n, 4096);
  EXPECT_EQ(options.d, 8);
  EXPECT_EQ(options.T, 12);
  EXPECT_EQ(options.value_width, 3);
  EXPECT_DOUBLE_EQ(options.noise, 1e-3);
  EXPECT_DOUBLE_EQ(options.spread, 2.0);
  EXPECT_EQ(options.seed, 7U);
  EXPECT_EQ(parse_planted("").n, PlantedOptions{}.n);
}

TEST(ParsePlanted, NamesTheOffendingPart) {
  const auto message = [](std::string_view text) -> std::string {
    try {
      parse_planted(text);
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message("k=4,m=3"), HasSubstr("\"m=3\" is not known"));
  EXPECT_THAT(message("k=four"), HasSubstr("\"k=four\" needs a whole number"));
  EXPECT_THAT(message("k=4x"), HasSubstr("\"k=4x\""));
  EXPECT_THAT(message("noise=,k=1"), HasSubstr("\"noise=\" needs a number"));
  EXPECT_THAT(message("k"), HasSubstr("\"k\" is not NAME=VALUE"));
  EXPECT_THAT(message("k=1,k=2"), HasSubstr("\"k\" is given twice"));
  EXPECT_THAT(message("seed=-1"), HasSubstr("\"seed=-1\" must not be negative"));
  EXPECT_THAT(message("n=99999999999999999999"), HasSubstr("whole number"));
}

}  // namespace
}  // namespace convbasis
