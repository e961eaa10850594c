// Attention by features against the dense masked sums of its own weights, and against exact attention.
#include "lowrank/lowrank_attention.h"

#include "core/errors.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

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

/// A head whose scores have a standard deviation of about `sigma`.
template <Real T>
HeadTensors<T> head_of(Index n, Index d, Index value_width, double sigma, std::uint64_t seed) {
  HeadTensors<T> head = gaussian_head<T>(n, d, value_width, seed);
  head.scale *= sigma;
  return head;
}

struct Dense {
  Matrix<double> output;
  std::vector<double> row_sum;
  double cancellation = 1.0;  ///< the largest (sum of what the features' terms are) / D_i
};

/// The same weights, entry by entry in double.
template <Real T>
Dense dense_attention(const LowRankResult<T>& result) {
  const HeadView<T>& head = result.scores.head();
  const Matrix<double> query = head.query.template cast<double>();
  const Matrix<double> key = result.scores.key().template cast<double>();
  const Matrix<double> value = head.value.template cast<double>();
  const ExpPolynomial& polynomial = result.scores.polynomial();
  Dense dense{Matrix<double>::Zero(value.rows(), value.cols()), {}};
  for (Index i = 0; i < value.rows(); ++i) {
    double mass = 0.0, terms = 0.0;
    RowVector<double> sum = RowVector<double>::Zero(value.cols());
    for (Index j = 0; j < value.rows(); ++j) {
      if (!contains(result.mask, i, j)) continue;
      const double weight = polynomial(head.scale * query.row(i).dot(key.row(j)));
      mass += weight;
      sum += weight * value.row(j);
      const double size = std::abs(head.scale) * query.row(i).cwiseAbs().dot(key.row(j).cwiseAbs());
      for (std::size_t p = 0; p < polynomial.coefficients.size(); ++p) {
        terms += std::abs(polynomial.coefficients[p]) * std::pow(size, static_cast<double>(p));
      }
    }
    dense.row_sum.push_back(mass);
    if (mass > 0.0) {
      dense.output.row(i) = sum / mass;
      dense.cancellation = std::max(dense.cancellation, terms / mass);
    }
  }
  return dense;
}

/// Rounding is relative to the terms of the features: 40 roundings cover the features, the products and the running sums at these
/// sizes.
template <Real T>
void expect_dense(const LowRankResult<T>& result) {
  const Dense dense = dense_attention(result);
  const HeadView<T>& head = result.scores.head();
  const double unit = 40.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * dense.cancellation;
  const double largest = head.value.template cast<double>().cwiseAbs().maxCoeff();
  ASSERT_EQ(std::ssize(result.row_sum), head.size());
  for (Index i = 0; i < head.size(); ++i) {
    const auto r = static_cast<std::size_t>(i);
    ASSERT_LE(std::abs(result.row_sum[r] - dense.row_sum[r]), unit * std::abs(dense.row_sum[r])) << "row " << i;
    const double error = (result.output.row(i).template cast<double>() - dense.output.row(i)).cwiseAbs().maxCoeff();
    ASSERT_LE(error, 2.0 * unit * largest) << "row " << i;
  }
}

template <class T>
class LowRankAttention : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(LowRankAttention, Precisions);

TYPED_TEST(LowRankAttention, IsTheSumOfItsWeights) {
  for (const Index n : {1, 2, 23, 24, 25, 47, 48, 49, 97, 191, 193, 400}) {
    for (const auto& [d, g] : std::vector<std::pair<Index, Index>>{{1, 0}, {1, 2}, {3, 4}, {8, 2}, {20, 2}}) {
      SCOPED_TRACE("n " + std::to_string(n) + ", d " + std::to_string(d) + ", g " + std::to_string(g));
      const auto head = head_of<TypeParam>(n, d, 1 + n % 7, 0.5, static_cast<std::uint64_t>(n));
      const auto result = lowrank_attention(head.view(), {.degree = g, .fit = ExpFit::taylor});
      expect_dense(result);
      EXPECT_EQ(result.features, feature_count(d, g));
      EXPECT_TRUE(result.by_features);
    }
  }
}

}  // namespace
}  // namespace convbasis
