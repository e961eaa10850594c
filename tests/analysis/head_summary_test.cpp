// Summaries of heads against dense matrices, and against the analysis of the same head.

#include "analysis/head_summary.h"

#include "analysis/head_analysis.h"
#include "data/planted.h"
#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

namespace convbasis {
namespace {

using namespace testing_inputs;
using reference::Dense;

/// The figures that look at exact attention, from the dense matrix.
struct DenseFigures {
  double entropy = 0.0, relative_entropy = 0.0, sink = 0.0, band = 0.0;
};

DenseFigures dense_figures(const Dense& probability, Index sink, Index band) {
  const Index n = probability.rows();
  double entropies = 0.0, relatives = 0.0, sinks = 0.0, bands = 0.0;
  for (Index i = 0; i < n; ++i) {
    double entropy = 0.0;
    for (Index j = 0; j <= i; ++j) {
      const double p = probability(i, j);
      if (p > 0.0) entropy -= p * std::log2(p);
      if (i >= sink && j < sink) sinks += p;
      if (i >= band && i - j < band) bands += p;
    }
    entropies += entropy;
    if (i > 0) relatives += entropy / std::log2(static_cast<double>(i + 1));
  }
  const auto mean = [](double total, Index rows) { return total / static_cast<double>(rows); };
  return {mean(entropies, n), mean(relatives, n - 1), mean(sinks, n - sink), mean(bands, n - band)};
}

/// Pixel by pixel from the definition; NaN where no cell is causal.
float dense_pixel(const Dense& probability, Index a, Index b) {
  const Index n = probability.rows();
  const auto first = [&](Index pixel) { return pixel * n / thumbnail_side; };
  const auto end = [&](Index pixel) { return std::max(first(pixel) + 1, first(pixel + 1)); };
  double total = 0.0;
  int cells = 0;
  for (Index i = first(a); i < end(a); ++i) {
    for (Index j = first(b); j < std::min(end(b), i + 1); ++j) {
      total += probability(i, j);
      ++cells;
    }
  }
  return cells == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(total / cells);
}

template <class T>
class HeadSummaryTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(HeadSummaryTest, Precisions);

TYPED_TEST(HeadSummaryTest, FiguresAndPictureAreThoseOfTheDenseMatrix) {
  using T = TypeParam;
  for (const Index n : {20, 63, 64, 65, 200, 333}) {
    SCOPED_TRACE(n);
    const HeadTensors<T> tensors = make_random_head<T>(n, 12, 5, static_cast<std::uint64_t>(n));
    const HeadView<T> head = tensors.view();
    const double tolerance = 16.0 * score_tolerance(head);
    const Dense probability = reference::softmax(reference::scores(head)).probability;
    HeadSummaryOptions options;
    options.recover = {.k = 5, .T = 3};
    options.sink = 3;
    options.band = 7;
    const HeadSummary summary = summarize_head(head, options);
    const DenseFigures expected = dense_figures(probability, options.sink, options.band);
    EXPECT_EQ(summary.n, n);
    EXPECT_NEAR(summary.entropy, expected.entropy, 10.0 * tolerance);
    EXPECT_NEAR(summary.relative_entropy, expected.relative_entropy, 10.0 * tolerance);
    EXPECT_NEAR(summary.sink_mass, expected.sink, tolerance);
    EXPECT_NEAR(summary.band_mass, expected.band, tolerance);
    ASSERT_EQ(summary.thumbnail.size(), static_cast<std::size_t>(thumbnail_side * thumbnail_side));
    for (Index a = 0; a < thumbnail_side; ++a) {
      for (Index b = 0; b < thumbnail_side; ++b) {
        const float pixel = summary.thumbnail[static_cast<std::size_t>(a * thumbnail_side + b)];
        const float wanted = dense_pixel(probability, a, b);
        ASSERT_EQ(std::isnan(pixel), std::isnan(wanted)) << a << ", " << b;
        if (std::isnan(wanted)) continue;
        ASSERT_NEAR(pixel, wanted, tolerance + 1e-6) << a << ", " << b;
      }
    }
  }
}

TYPED_TEST(HeadSummaryTest, ErrorsAreThoseOfTheAnalysisWithThatK) {
  using T = TypeParam;
  const Index n = 150;
  const HeadTensors<T> tensors = make_random_head<T>(n, 16, 8, 3);
  HeadSummaryOptions options;
  options.recover = {.k = 6, .T = 4};
  options.most_k = 40;
  const HeadSummary summary = summarize_head(tensors.view(), options);
  EXPECT_FALSE(summary.k_for_target) << "random scores have no conv basis";
  EXPECT_EQ(summary.most_found, 40);
  EXPECT_EQ(summary.found, 6);
  std::vector<Index> measured;
  for (const auto& [k, error] : summary.errors) {
    measured.push_back(k);
    RecoverOptions with_that_k = options.recover;
    with_that_k.k = k;
    const auto analysis = analyze_head(tensors, with_that_k);
    // Outputs of either path are right to about 1e-5 (float) of themselves.
    EXPECT_NEAR(error, analysis.error.relative_error, sizeof(T) == 4 ? 1e-4 : 1e-11) << "k = " << k;
    if (k == 6) {
      EXPECT_EQ(error, summary.error);
    }
  }
  EXPECT_EQ(measured, (std::vector<Index>{1, 2, 4, 6, 8, 16, 32, 40}));
}

TYPED_TEST(HeadSummaryTest, ASmallerKFindsAPrefixOfWhatALargerOneFinds) {
  using T = TypeParam;
  const HeadTensors<T> tensors = make_random_head<T>(300, 16, 4, 11);
  const HeadScores<T> scores(tensors.view());
  const double tolerance = score_tolerance(tensors.view());  // the same products, perhaps summed in another order
  for (const Search search : {Search::binary, Search::scan}) {
    RecoverOptions options{.k = 90, .T = 5, .delta = 3.0, .search = search};
    const ConvBasis<T> most = recover<T>(scores, options).basis;
    ASSERT_GT(most.count(), 20);
    for (Index k = 1; k <= most.count(); ++k) {
      options.k = k;
      const ConvBasis<T> fewer = recover<T>(scores, options).basis;
      const ConvBasis<T> part = most.first(k);
      ASSERT_EQ(fewer.count(), k);
      for (Index r = 0; r < k; ++r) {
        ASSERT_EQ(part.start(r), fewer.start(r));
        for (std::size_t t = 0; t < fewer.lag_vector(r).size(); ++t) {
          ASSERT_NEAR(part.lag_vector(r)[t], fewer.lag_vector(r)[t], tolerance);
        }
      }
    }
  }
}

TYPED_TEST(HeadSummaryTest, ThePlantedKReachesTheTargetAndNoSmallerOneDoes) {
  using T = TypeParam;
  const Planted<T> planted = make_planted<T>({.n = 512, .d = 32, .k = 11, .T = 4, .seed = 2});
  HeadSummaryOptions options;
  options.recover = {.k = 3, .T = 4, .delta = planted.delta, .eps = 0.0};
  options.target_error = 1e-3;
  const HeadSummary summary = summarize_head(planted.head.view(), options);
  EXPECT_EQ(summary.k_for_target, std::optional<Index>(11));
  EXPECT_EQ(summary.most_found, 11);
  EXPECT_EQ(summary.found, 3);
  EXPECT_GT(summary.error, 1e-3);
  ASSERT_FALSE(summary.errors.empty());
  EXPECT_EQ(summary.errors.back().k, 11);
  EXPECT_LE(summary.errors.back().error, 1e-5);
  for (const auto& [k, error] : summary.errors) EXPECT_EQ(error <= options.target_error, k == 11) << "k = " << k;
}

TYPED_TEST(HeadSummaryTest, AnotherKIsWhatItWouldHaveBeenFromTheBeginning) {
  using T = TypeParam;
  const HeadTensors<T> tensors = make_random_head<T>(120, 8, 4, 5);
  HeadSummaryOptions options;
  options.recover = {.k = 4, .T = 4};
  options.most_k = 32;
  const HeadSummary earlier = summarize_head(tensors.view(), options);
  for (const Index k : {1, 8, 32, 7, 50, 120}) {
    SCOPED_TRACE(k);
    options.recover.k = k;
    const HeadSummary expected = summarize_head(tensors.view(), options);
    const HeadSummary summary = with_k(earlier, tensors.view(), k);
    EXPECT_EQ(summary.options.recover.k, k);
    EXPECT_EQ(summary.found, expected.found);
    EXPECT_NEAR(summary.error, expected.error, sizeof(T) == 4 ? 1e-4 : 1e-11);
    EXPECT_EQ(summary.entropy, earlier.entropy);
    EXPECT_EQ(summary.k_for_target, expected.k_for_target);
    EXPECT_EQ(with_known_k(earlier, k).has_value(), k == 1 || k == 8 || k == 32);
    EXPECT_EQ(summary.error_at(k), std::optional<double>(summary.error));
    // T = 4 leaves 117 columns to start at: with k = 120 it is known that there are no more.
    EXPECT_EQ(summary.error_at(119).has_value(), k == 120);
    for (std::size_t x = 1; x < summary.errors.size(); ++x) EXPECT_LT(summary.errors[x - 1].k, summary.errors[x].k);
  }
}

TYPED_TEST(HeadSummaryTest, AttentionThatIsTheSameEverywhere) {
  using T = TypeParam;
  const Index n = 100;
  HeadTensors<T> tensors = make_random_head<T>(n, 4, 3, 8);
  tensors.query.setZero();
  const HeadSummary summary = summarize_head(tensors.view(), {.sink = 2, .band = 5});
  EXPECT_NEAR(summary.relative_entropy, 1.0, 1e-5);
  double sink = 0.0, band = 0.0;
  for (Index i = 2; i < n; ++i) sink += 2.0 / static_cast<double>(i + 1) / static_cast<double>(n - 2);
  for (Index i = 5; i < n; ++i) band += 5.0 / static_cast<double>(i + 1) / static_cast<double>(n - 5);
  EXPECT_NEAR(summary.sink_mass, sink, 1e-5);
  EXPECT_NEAR(summary.band_mass, band, 1e-5);
  EXPECT_EQ(summary.most_found, 0) << "no column differs from zero";
  EXPECT_LE(summary.error, 1e-5);
  EXPECT_EQ(summary.k_for_target, std::optional<Index>(1));
  EXPECT_EQ(summary.error_at(77), std::optional<double>(summary.error));
}

TYPED_TEST(HeadSummaryTest, OneToken) {
  using T = TypeParam;
  const HeadTensors<T> tensors = make_random_head<T>(1, 4, 3, 9);
  HeadSummaryOptions options;
  options.recover = {.k = 1, .T = 1};
  const HeadSummary summary = summarize_head(tensors.view(), options);
  EXPECT_EQ(summary.entropy, 0.0);
  EXPECT_TRUE(std::isnan(summary.relative_entropy));
  EXPECT_TRUE(std::isnan(summary.sink_mass));
  EXPECT_TRUE(std::isnan(summary.band_mass));
  EXPECT_EQ(summary.k_for_target, std::optional<Index>(1));
  EXPECT_LE(summary.error, 1e-6);
  for (const float pixel : summary.thumbnail) ASSERT_NEAR(pixel, 1.0F, 1e-6F);
}

TYPED_TEST(HeadSummaryTest, DoesNotDependOnTheThreads) {
  using T = TypeParam;
  const HeadTensors<T> tensors = make_random_head<T>(700, 16, 8, 12);
  RunContext one;
  one.threads = 1;
  RunContext many;
  many.threads = 5;
  const HeadSummary a = summarize_head(tensors.view(), {}, one);
  const HeadSummary b = summarize_head(tensors.view(), {}, many);
  EXPECT_EQ(a.entropy, b.entropy);
  EXPECT_EQ(a.sink_mass, b.sink_mass);
  EXPECT_EQ(a.band_mass, b.band_mass);
  for (std::size_t x = 0; x < a.thumbnail.size(); ++x) {
    ASSERT_TRUE(a.thumbnail[x] == b.thumbnail[x] || (std::isnan(a.thumbnail[x]) && std::isnan(b.thumbnail[x])));
  }
}

TEST(HeadSummary, NaNShowsInTheFigures) {
  HeadTensors<double> tensors = make_random_head<double>(80, 4, 3, 13);
  tensors.value(40, 1) = std::numeric_limits<double>::quiet_NaN();
  const HeadSummary summary = summarize_head(tensors.view(), {});
  EXPECT_TRUE(std::isnan(summary.error));
  EXPECT_FALSE(summary.k_for_target);
  EXPECT_FALSE(std::isnan(summary.entropy)) << "value has no part in it";
}

TEST(HeadSummary, RejectsWhatDoesNotFit) {
  const HeadTensors<float> tensors = make_random_head<float>(30, 4, 3, 14);
  const auto message = [&](const HeadSummaryOptions& options) {
    return message_of<InvalidArgument>([&] { summarize_head(tensors.view(), options); });
  };
  EXPECT_NE(message({.recover = {.k = 31}}).find("k is 31"), std::string::npos);
  EXPECT_NE(message({.target_error = 0.0}).find("target_error"), std::string::npos);
  EXPECT_NE(message({.target_error = std::numeric_limits<double>::quiet_NaN()}).find("target_error"), std::string::npos);
  EXPECT_NE(message({.most_k = 0}).find("most_k"), std::string::npos);
  EXPECT_NE(message({.sink = 0}).find("sink"), std::string::npos);
  EXPECT_NE(message({.band = -1}).find("band"), std::string::npos);
  const HeadSummary summary = summarize_head(tensors.view(), {});
  message_of<InvalidArgument>([&] { with_k(summary, tensors.view(29), 4); });
  message_of<InvalidArgument>([&] { with_k(summary, tensors.view(), 0); });
  message_of<InvalidArgument>([&] { with_k(summary, tensors.view(), 31); });
}

TEST(HeadSummary, StopsSoonAfterItIsAskedTo) {
  using Clock = std::chrono::steady_clock;
  const HeadTensors<float> tensors = make_random_head<float>(8192, 64, 64, 15);
  for (const int wait_ms : {0, 30, 200, 600}) {
    std::stop_source stop;
    Clock::time_point asked;
    std::jthread asks([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
      asked = Clock::now();
      stop.request_stop();
    });
    RunContext context;
    context.stop = stop.get_token();
    try {
      summarize_head(tensors.view(), {}, context);  // takes seconds; should a machine ever be faster, there is nothing to measure
    } catch (const Cancelled&) {
      const auto now = Clock::now();
      asks.join();
      // 50 ms is what the window promises; machines that run other tests at the same time are slower.
      EXPECT_LT(now - asked, std::chrono::milliseconds(250)) << "after " << wait_ms << " ms";
    }
  }
}

}  // namespace
}  // namespace convbasis
