// Fits from some rows and columns: where everything is seen they are the full fit, on planted inputs they are right without that,
// and on others they come near.
#include "basis/structured_sampled.h"

#include "basis/structured_apply.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"
#include "support/structured.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <stop_token>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;
using testing::HasSubstr;

template <class T>
class StructuredSampled : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(StructuredSampled, Precisions);

TEST(StratifiedRows, AreOneOfEachStratum) {
  for (const Index n : {1, 2, 17, 64, 1000}) {
    for (const Index count : {1, 2, 7, 64, 5000}) {
      const WeightedRows rows = stratified_rows(n, count);
      const Index strata = std::min(n, count);
      ASSERT_EQ(std::ssize(rows.rows), strata);
      EXPECT_DOUBLE_EQ(std::accumulate(rows.weight.begin(), rows.weight.end(), 0.0), static_cast<double>(n));
      for (Index x = 0; x < strata; ++x) {
        EXPECT_GE(rows.rows[static_cast<std::size_t>(x)], x * n / strata);
        EXPECT_LT(rows.rows[static_cast<std::size_t>(x)], (x + 1) * n / strata);
      }
    }
  }
}

TYPED_TEST(StructuredSampled, PartsAreThoseOfTheDenseMatrix) {
  using T = TypeParam;
  Rng rng(1);
  for (const Index n : {1, 2, 65, 300}) {
    HeadTensors<T> biased = gaussian_head<T>(n, 6, 3, 2);
    for (Index t = 0; t < n; ++t) biased.bias.push_back(static_cast<T>(-0.1 * static_cast<double>(t)));
    for (const HeadTensors<T>& tensors :
         {gaussian_head<T>(n, 6, 3, 1), biased, head_of_scores<T>(gaussian<T>(n, n, rng), gaussian<T>(n, 3, rng))}) {
      const HeadView<T> head = tensors.view();
      const Dense scores = reference::scores(head);
      const double tolerance = score_tolerance(head) * 4.0;
      const std::vector<Index> columns = random_starts(n, (n + 1) / 2, rng);
      Matrix<T> tile(n - n / 3, std::ssize(columns));
      column_scores<T>(head, n / 3, columns, mutable_view(tile));
      for (Index x = 0; x < tile.rows(); ++x) {
        for (Index y = 0; y < tile.cols(); ++y) {
          const Index j = columns[static_cast<std::size_t>(y)];
          if (j <= n / 3 + x) {
            EXPECT_NEAR(static_cast<double>(tile(x, y)), scores(n / 3 + x, j), tolerance);
          }
        }
      }
      for (const ExactEntries& exact : {ExactEntries{n, n / 4, {0}}, ExactEntries{n, 0, columns}, ExactEntries{n, 0, {n - 1}}}) {
        const std::vector<double> mass = exact_entries_log_mass(head, exact);
        const Dense rest = reference::rest_mask(exact);
        for (Index i = 0; i < n; ++i) {
          double sum = 0.0;
          for (Index j = 0; j <= i; ++j) sum += rest(i, j) > 0.0 ? 0.0 : std::exp(scores(i, j));
          const double got = mass[static_cast<std::size_t>(i)];
          if (sum == 0.0) {
            EXPECT_EQ(got, -std::numeric_limits<double>::infinity()) << i;
          }
          if (sum > 0.0) {
            EXPECT_NEAR(got, std::log(sum), tolerance) << i;
          }
        }
      }
    }
  }
}

TEST(StructuredSampledParts, RowSumsAreThoseOfTheDenseModel) {
  Rng rng(2);
  for (const Index n : {1, 63, 300, 1500}) {
    for (const Index k : {0, 1, 5}) {
      if (k > n) continue;
      StructuredFit fit;
      fit.exact = {n, std::min<Index>(n, 3), {}};
      fit.row_factor.assign(static_cast<std::size_t>(n), 0.5);  // must not matter
      std::uniform_real_distribution<double> number(0.0, 1.0);
      for (Index j = 0; j < n; ++j) fit.column_factor.push_back(number(rng));
      if (k > 0) {
        // Falling by e^60 and more: late rows drown in an FFT's rounding.
        std::vector<std::vector<double>> lags;
        const std::vector<Index> starts = random_starts(n, k, rng);
        for (const Index start : starts) {
          lags.emplace_back();
          for (Index t = 0; t < n - start; ++t)
            lags.back().push_back(t < 3 ? 0.0 : number(rng) * std::exp(-0.04 * static_cast<double>(t)));
        }
        fit.lags = ConvBasis<double>(n, starts, lags);
      } else {
        fit.lags = ConvBasis<double>(n);
      }
      const std::vector<double> got = rest_row_sums(fit, {.threads = 2});
      for (Index i = 0; i < n; ++i) {
        double wanted = 0.0;
        for (Index j = 0; j <= i - 3; ++j) wanted += fit.rest(i, j) / 0.5;
        EXPECT_TRUE(std::abs(got[static_cast<std::size_t>(i)] - wanted) <= 2e-9 * wanted) << n << " " << k << " " << i;
      }
    }
  }
}

TEST(StructuredSampledFit, OfAllRowsIsTheFullFit) {
  for (const Index n : {1, 2, 40, 130}) {
    const HeadTensors<double> tensors = gaussian_head<double>(n, 6, 3, 3);
    const reference::Softmax exact = reference::softmax(reference::scores(tensors.view()));
    for (const Index k : {0, 1, 4}) {
      const StructuredOptions options{.band = std::min<Index>(n, 3), .columns = std::min<Index>(n, 2), .k = k};
      SampleOptions sample{.rows = n};
      sample.smoothing = {.entries_per_bin = 0.0, .prior_entries = 0.0};
      const StructuredFit full = fit_structured(tensors.view(), std::span<const double>(exact.lse), options);
      const StructuredFit sampled = fit_sampled(tensors.view(), options, sample);
      EXPECT_TRUE(sampled.sampled);
      EXPECT_EQ(sampled.exact.columns, full.exact.columns);
      const Dense wanted = reference::dense_fit(full, exact.probability);
      EXPECT_LE(reference::max_error(reference::dense_fit(sampled, exact.probability), wanted), 1e-12) << n << " " << k;
      for (std::size_t i = 0; i < exact.lse.size(); ++i) EXPECT_NEAR(sampled.lse[i], exact.lse[i], 1e-12);
    }
  }
}

/// A head whose rest is exactly of rank one times smooth lags, beside exact columns that hold half of the mass.
HeadTensors<double> planted(Index n, bool lags, Rng& rng) {
  std::uniform_real_distribution<double> number(0.0, 2.0);
  Matrix<double> scores(n, n);
  std::vector<double> b, a;
  for (Index j = 0; j < n; ++j) {
    b.push_back(number(rng));
    a.push_back(3.0 * number(rng));  // softmax forgets them
  }
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) {
      const double lag = lags ? -0.3 * std::log(1.0 + static_cast<double>(std::abs(i - j))) : 0.0;
      scores(i, j) = a[static_cast<std::size_t>(i)] + b[static_cast<std::size_t>(j)] + lag;
      if (j == 0) scores(i, j) = a[static_cast<std::size_t>(i)] + 6.0 + number(rng);  // a sink
    }
  }
  Matrix<double> value = gaussian<double>(n, 4, rng);
  value.row(0) *= 10.0;  // so that it is chosen
  return head_of_scores<double>(scores, value);
}

double output_error(const HeadTensors<double>& tensors, const StructuredFit& fit) {
  Matrix<double> model(fit.size(), fit.size());
  fit.probability_tile<double>(tensors.view(), 0, 0, mutable_view(model));
  const Dense probability = reference::softmax(reference::scores(tensors.view())).probability;
  return reference::relative_error(model * tensors.value, probability * tensors.value);
}

TEST(StructuredSampledFit, OfPlantedRankOneIsExactFromAnyRows) {
  Rng rng(4);
  const Index n = 400;
  const HeadTensors<double> tensors = planted(n, false, rng);
  for (const Index rows : {30, 100}) {
    const StructuredOptions options{.band = 4, .columns = 1, .k = 0, .rounds = 5000, .tolerance = 0.0};
    const StructuredFit fit = fit_sampled(tensors.view(), options, {.rows = rows, .landmarks = 32});
    EXPECT_EQ(fit.exact.columns, std::vector<Index>{0});
    // But for the few columns that no row of the sample sees.
    EXPECT_LE(output_error(tensors, fit), 1e-2) << rows;
    const std::vector<double> lse = reference::softmax(reference::scores(tensors.view())).lse;
    for (Index i = 0; i < n - 30; ++i)
      EXPECT_NEAR(fit.lse[static_cast<std::size_t>(i)], lse[static_cast<std::size_t>(i)], 1e-6) << i;
  }
}

TEST(StructuredSampledFit, OfPlantedSmoothLagsComesNear) {
  Rng rng(5);
  const HeadTensors<double> tensors = planted(500, true, rng);
  const std::vector<double> lse = reference::softmax(reference::scores(tensors.view())).lse;
  const StructuredOptions options{.band = 4, .columns = 1, .k = 1, .rounds = 200, .tolerance = 0.0};
  const double dropped =
      output_error(tensors, fit_structured(tensors.view(), std::span<const double>(lse),
                                           StructuredOptions{.band = 4, .columns = 1, .rest = RestKind::dropped}));
  const double full = output_error(tensors, fit_structured(tensors.view(), std::span<const double>(lse), options));
  const double sampled = output_error(tensors, fit_sampled(tensors.view(), options, {.rows = 100, .landmarks = 64}));
  EXPECT_LE(full, 1e-6);
  // Bins of up to a sixteenth of the lag, over which g falls by 0.3 / 16, and the first landmarks of each row: some per cent.
  EXPECT_LE(sampled, 0.05 * dropped);
}

TEST(StructuredSampledFit, AllKindsOfRestAndLimits) {
  for (const Index n : {1, 2, 9, 200}) {
    const HeadTensors<float> tensors = gaussian_head<float>(n, 6, 3, 3);
    const Dense probability = reference::softmax(reference::scores(tensors.view())).probability;
    for (const RestKind rest : {RestKind::dropped, RestKind::uniform, RestKind::fitted}) {
      for (const auto& [band, columns] : {std::pair{n, Index{0}}, {Index{0}, n}, {Index{0}, Index{0}}, {n / 2, n / 3}}) {
        const StructuredFit fit = fit_sampled(tensors.view(), {.band = band, .columns = columns, .k = 3, .rest = rest},
                                              {.rows = std::max<Index>(1, n / 4), .landmarks = 5});
        Matrix<float> model(n, n);
        fit.probability_tile<float>(tensors.view(), 0, 0, mutable_view(model));
        const bool nothing = rest == RestKind::dropped && band == 0 && columns == 0;
        for (Index i = 0; i < n; ++i) {
          const double sum = model.row(i).cast<double>().sum();
          if (nothing) {
            EXPECT_EQ(sum, 0.0);
          }
          // Rows sum to 1 whatever their normaliser was estimated to be. A dropped row without exact entries is empty.
          if (!nothing && (sum != 0.0 || rest != RestKind::dropped)) {
            EXPECT_NEAR(sum, 1.0, 1e-4) << n << " " << band << " " << i;
          }
        }
        if (band == n || columns == n) {
          EXPECT_LE(reference::max_error(model.cast<double>(), probability), 1e-5);
        }
      }
    }
  }
}

TEST(StructuredSampledFit, DoesNotDependOnTheNumberOfThreads) {
  const HeadTensors<float> tensors = gaussian_head<float>(700, 6, 3, 3);
  const StructuredOptions options{.band = 10, .columns = 4, .k = 3};
  const StructuredFit one = fit_sampled(tensors.view(), options, {.rows = 150}, {.threads = 1});
  const StructuredFit four = fit_sampled(tensors.view(), options, {.rows = 150}, {.threads = 4});
  EXPECT_EQ(one.row_factor, four.row_factor);
  EXPECT_EQ(one.column_factor, four.column_factor);
  EXPECT_EQ(one.lse, four.lse);
}

TEST(StructuredSampledFit, BadOptionsAndCancelledWork) {
  const HeadTensors<float> tensors = gaussian_head<float>(30, 6, 3, 3);
  const StructuredOptions options{.band = 3, .columns = 2, .k = 1};
  const auto message = [&](const SampleOptions& sample) {
    return message_of<InvalidArgument>([&] { fit_sampled(tensors.view(), options, sample); });
  };
  EXPECT_THAT(message({.rows = 0}), HasSubstr("rows is 0; it must be at least 1"));
  EXPECT_THAT(message({.landmarks = 0}), HasSubstr("landmarks is 0; it must be at least 1"));
  EXPECT_THAT(message({.smoothing = {.prior_entries = -1.0}}), HasSubstr("prior_entries"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { fit_sampled(tensors.view(), {.band = 31}); }), HasSubstr("band is 31"));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(fit_sampled(tensors.view(), options, {}, {.stop = stop.get_token()}), Cancelled);
}

}  // namespace
}  // namespace convbasis
