// The polynomial for exp, and features against the polynomial.
#include "lowrank/features.h"

#include "core/errors.h"
#include "support/expect_error.h"
#include "support/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

constexpr ExpFit interval_fits[] = {ExpFit::taylor, ExpFit::chebyshev, ExpFit::relative};

TEST(ExpPolynomial, TaylorIsTheFirstTermsAboutTheMiddle) {
  const ExpPolynomial polynomial = fit_exp(3, 1.0, 3.0, ExpFit::taylor);
  for (const double x : {-2.0, 0.0, 1.0, 2.0, 3.5}) {
    const double t = x - 2.0;
    EXPECT_NEAR(polynomial(x), std::exp(2.0 - 3.0) * (1.0 + t + t * t / 2.0 + t * t * t / 6.0), 1e-13) << x;
  }
  EXPECT_EQ(polynomial.shift, 3.0);
}

TEST(ExpPolynomial, EvenTaylorIsPositiveFarOutside) {
  for (const Index degree : {0, 2, 4, 6}) {
    const ExpPolynomial polynomial = fit_exp(degree, -2.0, 2.0, ExpFit::taylor);
    for (double x = -30.0; x < 30.0; x += 0.25) EXPECT_GT(polynomial(x), 0.0) << degree << " at " << x;
  }
}

TEST(ExpPolynomial, MoreTermsComeCloser) {
  for (const ExpFit fit : interval_fits) {
    double before = std::numeric_limits<double>::infinity();
    for (Index degree = 0; degree <= 12; ++degree) {
      const double error = fit_exp(degree, -1.0, 1.2, fit).relative_error;
      EXPECT_LT(error, before) << name_of(fit) << " " << degree;
      before = error;
    }
    EXPECT_LT(before, 1e-6) << name_of(fit);
  }
}

TEST(ExpPolynomial, EachFitIsBestAtItsOwn) {
  const double low = -2.0, high = 2.0;
  const auto absolute_error = [&](const ExpPolynomial& polynomial) {
    double worst = 0.0;
    for (double x = low; x <= high; x += 0.01) worst = std::max(worst, std::abs(polynomial(x) - std::exp(x - high)));
    return worst;
  };
  for (const Index degree : {1, 2, 3, 5}) {
    const auto taylor = fit_exp(degree, low, high, ExpFit::taylor);
    const auto chebyshev = fit_exp(degree, low, high, ExpFit::chebyshev);
    const auto relative = fit_exp(degree, low, high, ExpFit::relative);
    EXPECT_LT(relative.relative_error, chebyshev.relative_error);
    EXPECT_LT(relative.relative_error, taylor.relative_error);
    EXPECT_LT(absolute_error(chebyshev), absolute_error(relative));
    EXPECT_LT(absolute_error(chebyshev), absolute_error(taylor));
  }
}

TEST(ExpPolynomial, SampledGoesThroughAsManyScoresAsItHasTerms) {
  const std::vector<WeightedScore> scores{{-1.0, 1.0}, {0.5, 10.0}, {4.0, 0.1}};
  const ExpPolynomial polynomial = fit_exp_to(2, scores);
  EXPECT_EQ(polynomial.low, -1.0);
  EXPECT_EQ(polynomial.high, 4.0);
  for (const auto& [x, weight] : scores) EXPECT_NEAR(polynomial(x), std::exp(x - 4.0), 1e-12);
}

TEST(ExpPolynomial, ASingleScoreIsEnough) {
  for (const Index degree : {0, 1, 4}) {
    const std::vector<WeightedScore> scores{{3.0, 1.0}, {3.0, 2.0}};
    EXPECT_NEAR(fit_exp_to(degree, scores)(3.0), 1.0, 1e-12);
    for (const ExpFit fit : interval_fits) EXPECT_NEAR(fit_exp(degree, 3.0, 3.0, fit)(3.0), 1.0, 1e-12) << name_of(fit);
  }
}

TEST(ExpPolynomial, BadArgumentsAreErrors) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_THAT(message_of<InvalidArgument>([] { fit_exp(-1, 0.0, 1.0, ExpFit::taylor); }), HasSubstr("between 0 and 16"));
  EXPECT_THAT(message_of<InvalidArgument>([] { fit_exp(17, 0.0, 1.0, ExpFit::taylor); }), HasSubstr("between 0 and 16"));
  EXPECT_THAT(message_of<InvalidArgument>([] { fit_exp(2, 1.0, 0.0, ExpFit::taylor); }), HasSubstr("600 apart"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { fit_exp(2, 0.0, infinity, ExpFit::relative); }), HasSubstr("600 apart"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { fit_exp(2, std::nan(""), 1.0, ExpFit::relative); }), HasSubstr("600 apart"));
  EXPECT_THAT(message_of<InvalidArgument>([] { fit_exp(2, 0.0, 1.0, ExpFit::sampled); }), HasSubstr("fit_exp_to"));
  EXPECT_THAT(message_of<InvalidArgument>([] { fit_exp_to(2, {}); }), HasSubstr("no scores"));
  const std::vector<WeightedScore> broken{{0.0, 1.0}, {infinity, 1.0}};
  EXPECT_THAT(message_of<InvalidArgument>([&] { fit_exp_to(2, broken); }), HasSubstr("not finite"));
}

TEST(FeatureCount, IsTheBinomialCoefficient) {
  EXPECT_EQ(feature_count(1, 0), 1);
  EXPECT_EQ(feature_count(1, 7), 8);
  EXPECT_EQ(feature_count(64, 1), 65);
  EXPECT_EQ(feature_count(64, 2), 2145);
  EXPECT_EQ(feature_count(64, 3), 47905);
  EXPECT_EQ(feature_count(64, 4), 814385);
  EXPECT_EQ(feature_count(128, 4), 12082785);
  for (Index d = 1; d < 20; ++d) {
    for (Index g = 1; g < 20; ++g) {
      const Index fewer = d > 1 ? feature_count(d - 1, g) : 1;
      EXPECT_EQ(feature_count(d, g), fewer + feature_count(d, g - 1)) << d << " " << g;
    }
  }
}

TEST(FeatureCount, DoesNotOverflow) {
  constexpr Index most = std::numeric_limits<Index>::max();
  EXPECT_EQ(feature_count(1000, 16), most);
  EXPECT_EQ(feature_count(most, 1), most);
  EXPECT_EQ(feature_count(most, 16), most);
  EXPECT_EQ(feature_count(most - 1, 1), most);
  EXPECT_THROW(feature_count(0, 1), InvalidArgument);
  EXPECT_THROW(feature_count(1, -1), InvalidArgument);
}

/// The largest |phi(q) . phi(k) - sum_p a_p (q . k)^p| relative to sum_p |a_p| (|q| . |k|)^p, what the terms of the features add
/// up to.
template <Real T>
double feature_error(Index width, const std::vector<double>& coefficients, const Matrix<T>& query, const Matrix<T>& key) {
  using Side = typename PolynomialFeatures<T>::Side;
  const PolynomialFeatures<T> features(width, coefficients);
  const Matrix<double> left = features.matrix(Side::query, view(query)).template cast<double>();
  const Matrix<double> right = features.matrix(Side::key, view(key)).template cast<double>();
  double worst = 0.0;
  for (Index i = 0; i < query.rows(); ++i) {
    for (Index j = 0; j < key.rows(); ++j) {
      const RowVector<double> q = query.row(i).template cast<double>();
      const RowVector<double> k = key.row(j).template cast<double>();
      double expected = 0.0, size = 0.0;
      for (std::size_t p = 0; p < coefficients.size(); ++p) {
        expected += coefficients[p] * std::pow(q.dot(k), static_cast<double>(p));
        size += std::abs(coefficients[p]) * std::pow(q.cwiseAbs().dot(k.cwiseAbs()), static_cast<double>(p));
      }
      const double error = std::abs(left.row(i).dot(right.row(j)) - expected) / size;
      if (!(error <= worst)) worst = error;
    }
  }
  return worst;
}

template <class T>
class Features : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Features, Precisions);

/// A feature is some ten roundings away from its monomial, and their sum in double none.
template <Real T>
constexpr double tolerance = std::same_as<T, float> ? 1e-6 : 1e-12;

TYPED_TEST(Features, MultiplyToThePolynomial) {
  using T = TypeParam;
  Rng rng(1);
  const std::vector<std::pair<Index, Index>> shapes{{1, 0}, {1, 1}, {1, 9}, {1, 16}, {2, 0},  {2, 1},  {2, 8},  {3, 5},
                                                    {4, 4}, {5, 3}, {7, 6}, {8, 2},  {16, 3}, {31, 2}, {64, 1}, {64, 2}};
  for (const auto& [d, g] : shapes) {
    std::vector<double> coefficients;
    std::normal_distribution<double> normal;
    for (Index p = 0; p <= g; ++p) coefficients.push_back(normal(rng));  // of both signs
    const Matrix<T> query = gaussian<T>(5, d, rng, 0.7);
    const Matrix<T> key = gaussian<T>(6, d, rng, 0.7);
    const double error = feature_error(d, coefficients, query, key);
    EXPECT_LE(error, tolerance<T>) << "d " << d << ", g " << g;
    EXPECT_EQ(PolynomialFeatures<T>(d, coefficients).count(), feature_count(d, g));
  }
}

RC_GTEST_PROP(FeaturesProperty, AnyStretchIsAStretchOfAll, ()) {
  const auto d = *rc::gen::inRange<Index>(1, 7);
  const auto g = *rc::gen::inRange<Index>(0, 5);
  const auto points = *rc::gen::inRange<Index>(1, 6);
  Rng rng(static_cast<std::uint64_t>(*rc::gen::inRange(0, 1000)));
  std::vector<double> coefficients(static_cast<std::size_t>(g + 1), -1.5);
  const PolynomialFeatures<double> features(d, coefficients);
  const auto first = *rc::gen::inRange<Index>(0, features.count());
  const auto count = *rc::gen::inRange<Index>(0, features.count() - first + 1);
  const Matrix<double> vectors = gaussian<double>(points, d, rng);
  const Matrix<double> transposed = vectors.transpose();
  Matrix<double> part = Matrix<double>::Constant(count, points + 3, 7.0);
  std::vector<double> scratch(static_cast<std::size_t>(g * points + 1));
  features.compute(PolynomialFeatures<double>::Side::key, transposed.data(), points, first, count, part.data(), points + 3,
                   scratch.data());
  const Matrix<double> all = features.matrix(PolynomialFeatures<double>::Side::key, view(vectors));
  RC_ASSERT(part.leftCols(points) == all.middleCols(first, count).transpose());
  RC_ASSERT((part.rightCols(3).array() == 7.0).all());
}

}  // namespace
}  // namespace convbasis
