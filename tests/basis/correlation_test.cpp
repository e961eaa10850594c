// Correlations of segments, by FFT and directly, against the definition in double; and the sums of conjugated products under
// them.
#include "basis/correlation.h"

#include "support/inputs.h"
#include "support/instruction_sets.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <complex>
#include <limits>
#include <string>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <class T>
class Correlation : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Correlation, Precisions);

/// sum_{j in [start, end), j + t < rows} left_j . right_{j + t}, and in `size` the same sum of absolute values.
template <Real T>
double definition(const Matrix<T>& left, const Matrix<T>& right, Index start, Index end, Index t, Index rows, double& size) {
  double sum = 0.0;
  for (Index j = start; j < std::min(end, rows - t); ++j) {
    const auto products = left.row(j).template cast<double>().array() * right.row(j + t).template cast<double>().array();
    sum += products.sum();
    size += products.abs().sum();
  }
  return sum;
}

/// Every segment through the FFT.
ApplyLayout layout_of(Index n, const std::vector<Index>& starts, Index block) {
  ApplyLayout layout;
  layout.size = n;
  layout.block = block;
  for (std::size_t r = 0; r < starts.size(); ++r) {
    const Index end = r + 1 < starts.size() ? starts[r + 1] : n;
    for (Index q = starts[r] / block; q <= (end - 1) / block; ++q) {
      layout.pieces.push_back({static_cast<Index>(r), q, std::max(starts[r], q * block), std::min(end, (q + 1) * block)});
    }
  }
  return layout;
}

/// All lags of all segments; rows from `rows` on hold NaN, which nobody must read.
template <Real T>
void expect_correlations(Index n, const std::vector<Index>& starts, Index block, Index columns, Index rows, Rng& rng) {
  const Matrix<T> left = gaussian<T>(n, columns, rng);
  Matrix<T> right = gaussian<T>(n, columns, rng);
  right.bottomRows(n - rows).setConstant(std::numeric_limits<T>::quiet_NaN());
  const LagSums<T> sums = PartitionedCorrelation<T>(layout_of(n, starts, block), starts)(view(left), view(right), rows, {});
  ASSERT_EQ(sums.size(), starts.size());
  // An FFT's error goes with the size of all that is transformed together.
  const double tolerance = 16.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * left.norm() *
                           std::sqrt(static_cast<double>(columns * rows));
  for (std::size_t r = 0; r < starts.size(); ++r) {
    const Index end = r + 1 < starts.size() ? starts[r + 1] : n;
    ASSERT_EQ(std::ssize(sums[r]), std::max<Index>(0, rows - starts[r]));
    for (Index t = 0; t < std::ssize(sums[r]); ++t) {
      double size = 0.0;
      const double expected = definition(left, right, starts[r], end, t, rows, size);
      ASSERT_TRUE(std::abs(static_cast<double>(sums[r][static_cast<std::size_t>(t)]) - expected) <= tolerance)
          << "n " << n << ", block " << block << ", columns " << columns << ", rows " << rows << ", segment " << r << ", lag "
          << t;
    }
  }
}

TYPED_TEST(Correlation, IsTheDefinition) {
  for_each_instruction_set([] {
    Rng rng(1);
    for (const Index n : {1, 2, 3, 7, 16, 31, 64, 65, 127}) {
      for (const Index block : {2, 4, 16, 64, 128}) {
        const Index columns = 1 + static_cast<Index>(rng() % 18);
        const Index k = 1 + static_cast<Index>(rng() % static_cast<std::uint64_t>(std::min<Index>(n, 6)));
        const Index rows = rng() % 2 == 0 ? n : 1 + static_cast<Index>(rng() % static_cast<std::uint64_t>(n));
        expect_correlations<TypeParam>(n, random_starts(n, k, rng), block, columns, rows, rng);
      }
    }
  });
}

TYPED_TEST(Correlation, OfMoreLagBlocksThanOneItem) {
  Rng rng(2);
  expect_correlations<TypeParam>(300, {0, 11, 12, 200}, 8, 3, 300, rng);
  expect_correlations<TypeParam>(301, {0}, 4, 9, 301, rng);
  expect_correlations<TypeParam>(301, {0, 150}, 4, 2, 149, rng);
}

TYPED_TEST(Correlation, DirectlyIsTheDefinition) {
  using T = TypeParam;
  for_each_instruction_set([] {
    Rng rng(3);
    for (const Index n : {1, 2, 17, 64, 600}) {
      for (int repeat = 0; repeat < 4; ++repeat) {
        const auto below = [&](Index limit) { return std::uniform_int_distribution<Index>(0, limit - 1)(rng); };
        const Index start = below(n);
        const Index end = start + 1 + below(std::min<Index>(n - start, 20));
        const Index columns = 1 + below(9);
        const Matrix<T> left = gaussian<T>(n, columns, rng);
        Matrix<T> right = gaussian<T>(n + end - start, columns, rng);
        right.bottomRows(end - start).setZero();
        const std::vector<T> sums = correlate_directly<T>(view(left), view(right), n, start, end, {});
        ASSERT_EQ(std::ssize(sums), n - start);
        for (Index t = 0; t < n - start; ++t) {
          double size = 0.0;
          const double expected = definition(left, right, start, end, t, n, size);
          ASSERT_TRUE(std::abs(static_cast<double>(sums[static_cast<std::size_t>(t)]) - expected) <=
                      16.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * size)
              << "n " << n << ", segment " << start << " to " << end << ", lag " << t;
        }
      }
    }
  });
}

TYPED_TEST(Correlation, DoesNotDependOnTheNumberOfThreads) {
  using T = TypeParam;
  Rng rng(4);
  const std::vector<Index> starts{0, 100, 117, 500};
  const Matrix<T> left = gaussian<T>(900, 19, rng);
  const Matrix<T> right = gaussian<T>(900, 19, rng);
  const PartitionedCorrelation<T> correlation(layout_of(900, starts, 64), starts);
  const LagSums<T> one = correlation(view(left), view(right), 900, {.threads = 1});
  for (const int threads : {2, 3, 8}) {
    EXPECT_EQ(correlation(view(left), view(right), 900, {.threads = threads}), one) << threads << " threads";
  }
}

/// Sums over some spectra and channels, added to what is there or not, against loops in double.
template <Real T>
void expect_products(Index bins, Index channels, Index used, bool add, Rng& rng) {
  constexpr Index lefts = 5;
  constexpr Index rights = 6;
  const auto filled = [&](Index count, Index of, std::vector<std::complex<T>>& plain) {
    SpectrumBank<T> bank(bins, count, of);
    for (Index s = 0; s < count; ++s) {
      for (Index c = 0; c < of; ++c) {
        std::vector<std::complex<T>> spectrum(static_cast<std::size_t>(bins));
        for (auto& number : spectrum) {
          const Matrix<T> pair = gaussian<T>(1, 2, rng);
          if (of == 1 || s < rights) number = {pair(0, 0), pair(0, 1)};  // the last ones of `right` are 0
        }
        bank.store(s, c, spectrum.data());
        plain.insert(plain.end(), spectrum.begin(), spectrum.end());
      }
    }
    return bank;
  };
  std::vector<std::complex<T>> x, y, before;
  const SpectrumBank<T> left = filled(lefts, channels, x);
  const SpectrumBank<T> right = filled(rights + lags_at_once - 1, channels, y);
  const std::vector<SpectrumCorrelation> correlations{{0, 3, 1, 5, 0}, {3, 2, 0, 6, 5}, {4, 1, 5, 1, 11}};
  SpectrumBank<T> result = filled(12, 1, before);
  correlate_products<T>(correlations, used, left, right, add, {0, result.chunks()}, result);
  const auto at = [&](const std::vector<std::complex<T>>& plain, Index s, Index c, Index f) {
    return std::complex<double>(plain[static_cast<std::size_t>((s * channels + c) * bins + f)]);
  };
  for (const SpectrumCorrelation& one : correlations) {
    for (Index m = 0; m < one.lags; ++m) {
      std::vector<std::complex<T>> got(static_cast<std::size_t>(bins));
      result.load(one.first_result + m, 0, got.data());
      for (Index f = 0; f < bins; ++f) {
        std::complex<double> expected;
        if (add) expected = std::complex<double>(before[static_cast<std::size_t>((one.first_result + m) * bins + f)]);
        for (Index i = 0; i < one.count && one.first_right + i + m < rights; ++i) {
          for (Index c = 0; c < used; ++c) {
            expected += std::conj(at(x, one.first_left + i, c, f)) * at(y, one.first_right + i + m, c, f);
          }
        }
        // Up to 28 products of numbers up to 4, each of which is rounded a few times.
        ASSERT_TRUE(std::abs(std::complex<double>(got[static_cast<std::size_t>(f)]) - expected) <=
                    500.0 * static_cast<double>(std::numeric_limits<T>::epsilon()))
            << bins << " bins, " << used << " of " << channels << " channels, lag " << m << ", frequency " << f;
      }
    }
  }
}

TYPED_TEST(Correlation, SumsOfConjugatedProducts) {
  for_each_instruction_set([] {
    Rng rng(5);
    for (const Index bins : {1, 2, 3, 4, 5, 8, 16, 17, 64}) {
      for (const Index channels : {2, 3, 4, 5, 8, 9}) {
        expect_products<TypeParam>(bins, channels, channels, false, rng);
        expect_products<TypeParam>(bins, channels, 1 + channels / 2, true, rng);
      }
    }
  });
}

}  // namespace
}  // namespace convbasis
