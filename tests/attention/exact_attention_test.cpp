#include "attention/exact_attention.h"

#include "support/expect_error.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

template <Real T>
struct Result {
  Matrix<T> output;
  std::vector<double> lse;
};

template <Real T>
Result<T> run_exact(const HeadView<T>& head, const RunContext& context = {}) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Result<T> result{Matrix<T>::Constant(head.size(), head.value_width(), static_cast<T>(nan)),
                   std::vector<double>(static_cast<std::size_t>(head.size()), nan)};
  exact_attention(head, mutable_view(result.output), result.lse, context);
  return result;
}

/// Output and lse against dense softmax(S) V in double.
template <Real T>
void expect_exact(const HeadView<T>& head, const Result<T>& result) {
  const reference::Softmax expected = reference::softmax(reference::scores(head));
  const double tolerance = score_tolerance(head);
  const reference::Dense value = head.value.template cast<double>();
  // A wrong score moves numerator and denominator.
  EXPECT_LE(reference::max_error(result.output.template cast<double>(), expected.probability * value),
            2.0 * tolerance * value.cwiseAbs().maxCoeff())
      << "n " << head.size() << ", d " << head.width() << ", d_v " << head.value_width();
  for (std::size_t i = 0; i < expected.lse.size(); ++i) ASSERT_NEAR(result.lse[i], expected.lse[i], tolerance) << "row " << i;
}

template <class T>
class ExactAttention : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactAttention, Precisions);

constexpr Index sizes[] = {1, 2, 3, 7, 16, 17, 31, 63, 64, 65, 127, 128, 129, 257, 509, 512, 1000};
constexpr Index widths[] = {1, 2, 5, 8, 16, 17, 33, 64, 128, 200};

TYPED_TEST(ExactAttention, IsSoftmaxTimesValueForEverySize) {
  using T = TypeParam;
  std::size_t turn = 0;
  for (const Index n : sizes) {
    for (int repeat = 0; repeat < 3; ++repeat, ++turn) {
      const Index d = widths[turn % std::size(widths)];
      const Index value_width = widths[(7 * turn + 3) % std::size(widths)];
      const HeadTensors<T> head = gaussian_head<T>(n, d, value_width, turn);
      expect_exact(head.view(), run_exact(head.view()));
    }
  }
}

TYPED_TEST(ExactAttention, IsSoftmaxTimesValueForEveryPairOfWidths) {
  using T = TypeParam;
  for (const Index n : {17, 130}) {
    for (const Index d : widths) {
      for (const Index value_width : widths) {
        const HeadTensors<T> head = gaussian_head<T>(n, d, value_width, static_cast<std::uint64_t>(1000 * d + value_width));
        expect_exact(head.view(), run_exact(head.view()));
      }
    }
  }
}

TYPED_TEST(ExactAttention, StreamsManyKeyBlocks) {
  const HeadTensors<TypeParam> head = gaussian_head<TypeParam>(2049, 16, 24, 5);
  for (const int threads : {1, 2}) expect_exact(head.view(), run_exact(head.view(), {.threads = threads}));
}

TYPED_TEST(ExactAttention, TakesStridedUnalignedViewsAndLeavesTheGapsAlone) {
  using T = TypeParam;
  for (const Index gap : {1, 3, 16}) {
    const HeadTensors<T> head = gaussian_head<T>(150, 20, 13, 9);
    const Padded<T> query(head.query, gap);
    const Padded<T> key(head.key, gap + 1);
    const Padded<T> value(head.value, gap + 2);
    const HeadView<T> strided{query.view(), key.view(), value.view(), head.scale};
    Padded<T> output(Matrix<T>::Zero(150, 13), gap);
    std::vector<double> lse(150);
    exact_attention(strided, output.mutable_view(), lse);
    EXPECT_TRUE(output.gaps_untouched());
    expect_exact(head.view(), Result<T>{output.view(), lse});
  }
}

TYPED_TEST(ExactAttention, DoesNotDependOnTheNumberOfThreads) {
  using T = TypeParam;
  for (const Index n : {65, 700, 1700}) {  // 1700 is enough for one thread to take more queries at a time than two
    const HeadTensors<T> head = gaussian_head<T>(n, 33, 17, 11);
    const Result<T> one = run_exact(head.view(), {.threads = 1});
    for (const int threads : {2, 5}) {
      const Result<T> several = run_exact(head.view(), {.threads = threads});
      EXPECT_EQ(several.output, one.output) << threads << " threads";
      EXPECT_EQ(several.lse, one.lse) << threads << " threads";
    }
  }
}

/// Scores a_i b_j of one feature, exact in float for whole a and b.
template <Real T>
HeadTensors<T> outer_product_head(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<Index>(a.size());
  HeadTensors<T> head = gaussian_head<T>(n, 1, 5, 21);
  head.scale = 1.0;
  for (Index i = 0; i < n; ++i) {
    head.query(i, 0) = static_cast<T>(a[static_cast<std::size_t>(i)]);
    head.key(i, 0) = static_cast<T>(b[static_cast<std::size_t>(i)]);
  }
  return head;
}

TYPED_TEST(ExactAttention, ExtremeScoresNeitherOverflowNorVanish) {
  using T = TypeParam;
  constexpr Index n = 600;
  const std::vector<double> ones(n, 1.0);
  std::vector<double> rising(n), falling(n), high(n, 1e4), low(n, -1e4), spikes(n, -1e4), noise(n), signs(n);
  Rng rng(4);
  for (std::size_t j = 0; j < n; ++j) {
    rising[j] = -1e4 + std::floor(2e4 * static_cast<double>(j) / n);
    falling[j] = -rising[j];
    if (j % 97 == 5) spikes[j] = 1e4;
    noise[j] = std::floor(std::uniform_real_distribution<double>(-1e4, 1e4)(rng));
    signs[j] = j % 2 == 0 ? 1.0 : -1.0;
  }
  for (const auto& keys : {rising, falling, high, low, spikes, noise}) {
    for (const auto& queries : {ones, signs}) {
      const HeadTensors<T> head = outer_product_head<T>(queries, keys);
      const Result<T> result = run_exact(head.view());
      EXPECT_TRUE(result.output.allFinite());
      expect_exact(head.view(), result);
    }
  }
}

// Scores that climb and fall slowly over several blocks of keys: the shift of a row may lag behind its maximum, by as much as the
// headroom of the weights, and rows of a group differ in whether they are bounded.
TYPED_TEST(ExactAttention, ScoresThatClimbSlowlyOverManyBlocks) {
  using T = TypeParam;
  constexpr Index n = 700;
  std::vector<double> mixed(n), rising(n), hill(n);
  for (std::size_t j = 0; j < n; ++j) {
    mixed[j] = j % 5 == 0 ? 1.0 : 1.0 / static_cast<double>(1 << (j % 5 * 2));
    rising[j] = static_cast<double>(j / 4);
    hill[j] = static_cast<double>(j < 350 ? j / 4 : (700 - j) / 4);
  }
  for (const double factor : {0.125, 0.25, 1.0, 8.0}) {
    for (const auto& keys : {rising, hill}) {
      HeadTensors<T> head = outer_product_head<T>(mixed, keys);
      for (const double sign : {1.0, -1.0}) {
        head.scale = sign * factor;
        expect_exact(head.view(), run_exact(head.view()));
      }
    }
  }
}

// The largest |query| |key| is far from every score, so rows that look unbounded are not.
TYPED_TEST(ExactAttention, LongKeysAcrossTheQueries) {
  using T = TypeParam;
  HeadTensors<T> head = gaussian_head<T>(500, 16, 8, 30);
  head.query.col(0).setZero();
  for (Index j = 0; j < 500; j += 7) head.key(j, 0) = T(1e4);
  expect_exact(head.view(), run_exact(head.view()));
}

TYPED_TEST(ExactAttention, ARowsResultDoesNotDependOnItsNeighbours) {
  using T = TypeParam;
  HeadTensors<T> head = gaussian_head<T>(300, 16, 8, 31);
  const Result<T> before = run_exact(head.view());
  for (Index i = 3; i < 300; i += 10) head.query.row(i) *= T(1000);
  const Result<T> after = run_exact(head.view());
  for (Index i = 0; i < 300; ++i) {
    if (i % 10 == 3) continue;
    ASSERT_EQ(Matrix<T>(after.output.row(i)), Matrix<T>(before.output.row(i))) << "row " << i;
    ASSERT_EQ(after.lse[static_cast<std::size_t>(i)], before.lse[static_cast<std::size_t>(i)]) << "row " << i;
  }
}

TYPED_TEST(ExactAttention, SeveralHeadsAtOnceAreEachHeadAlone) {
  using T = TypeParam;
  std::vector<HeadTensors<T>> tensors;
  for (const auto& [n, d, value_width] :
       std::vector<std::array<Index, 3>>{{200, 16, 8}, {1, 1, 1}, {97, 70, 33}, {513, 8, 64}, {200, 16, 8}}) {
    tensors.push_back(gaussian_head<T>(n, d, value_width, static_cast<std::uint64_t>(tensors.size())));
  }
  tensors[2].query *= T(100);
  for (const int threads : {1, 3}) {
    std::vector<HeadView<T>> heads;
    std::vector<Result<T>> results;
    for (const auto& head : tensors) {
      heads.push_back(head.view());
      results.push_back(
          {Matrix<T>(head.query.rows(), head.value.cols()), std::vector<double>(static_cast<std::size_t>(head.query.rows()))});
    }
    std::vector<ExactOutput<T>> outputs;
    for (auto& result : results) outputs.push_back({mutable_view(result.output), result.lse});
    exact_attention<T>(std::span<const HeadView<T>>(heads), std::span<const ExactOutput<T>>(outputs), {.threads = threads});
    for (std::size_t h = 0; h < heads.size(); ++h) {
      const Result<T> alone = run_exact(heads[h]);
      EXPECT_EQ(results[h].output, alone.output) << "head " << h;
      EXPECT_EQ(results[h].lse, alone.lse) << "head " << h;
    }
  }
}

TYPED_TEST(ExactAttention, NoHeadsAreNoWorkAndTheirNumberMustFit) {
  using T = TypeParam;
  exact_attention<T>(std::span<const HeadView<T>>(), std::span<const ExactOutput<T>>());
  const HeadTensors<T> tensors = gaussian_head<T>(5, 2, 2, 1);
  const HeadView<T> head = tensors.view();
  EXPECT_THAT(message_of<InvalidArgument>(
                  [&] { exact_attention<T>(std::span<const HeadView<T>>(&head, 1), std::span<const ExactOutput<T>>()); }),
              HasSubstr("1 heads and 0 results"));
}

TYPED_TEST(ExactAttention, ScoresOfExtremeSpreadInEveryFeature) {
  using T = TypeParam;
  Rng rng(8);
  HeadTensors<T> head = gaussian_head<T>(300, 16, 8, 8);
  head.query = whole_numbers<T>(300, 16, rng, 50);
  head.key = whole_numbers<T>(300, 16, rng, 50);
  head.scale = 1.0;
  expect_exact(head.view(), run_exact(head.view()));
}

TYPED_TEST(ExactAttention, ScaleMayBeZeroOrNegative) {
  using T = TypeParam;
  HeadTensors<T> head = gaussian_head<T>(200, 8, 3, 12);
  for (const double scale : {0.0, -0.7, 1e-30}) {
    head.scale = scale;
    expect_exact(head.view(), run_exact(head.view()));
  }
}

TYPED_TEST(ExactAttention, RowsDoNotSeeLaterTokens) {
  using T = TypeParam;
  HeadTensors<T> head = gaussian_head<T>(200, 8, 6, 13);
  const Result<T> before = run_exact(head.view());
  // Finite, but so large that their scores overflow and a leak of any size shows.
  head.key.bottomRows(77).setConstant(std::numeric_limits<T>::max() / 2);
  head.value.bottomRows(77).setConstant(std::numeric_limits<T>::max() / 2);
  const Result<T> after = run_exact(head.view());
  EXPECT_EQ(after.output.topRows(123), before.output.topRows(123));
  for (std::size_t i = 0; i < 123; ++i) EXPECT_EQ(after.lse[i], before.lse[i]);
}

TYPED_TEST(ExactAttention, APrefixOfTheHeadGivesAPrefixOfTheOutput) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(300, 16, 16, 14);
  const Result<T> all = run_exact(head.view());
  for (const Index n : {1, 63, 64, 150}) {
    const Result<T> part = run_exact(head.view(n));
    // Blocks may fall differently: not bit for bit.
    EXPECT_LE((part.output - all.output.topRows(n)).cwiseAbs().maxCoeff(), 4.0 * score_tolerance(head.view())) << n;
  }
}

TYPED_TEST(ExactAttention, ConstantValueIsReturnedUnchanged) {
  using T = TypeParam;
  HeadTensors<T> head = gaussian_head<T>(333, 64, 4, 15);
  head.value.setConstant(T(3));
  // A mean of 333 equal numbers: the roundings of its weights do not matter, those of the sums do.
  EXPECT_LE((run_exact(head.view()).output.array() - T(3)).abs().maxCoeff(), T(60) * std::numeric_limits<T>::epsilon());
}

RC_GTEST_PROP(ExactAttentionProperty, AgreesWithTheReferenceOnAnyShape, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 200);
  const auto d = *rc::gen::inRange<Index>(1, 70);
  const auto value_width = *rc::gen::inRange<Index>(1, 70);
  const auto seed = *rc::gen::inRange<std::uint64_t>(0, 1'000'000);
  const HeadTensors<float> head = gaussian_head<float>(n, d, value_width, seed);
  const Result<float> result = run_exact(head.view(), {.threads = *rc::gen::inRange(1, 4)});
  const reference::Dense value = head.value.cast<double>();
  const reference::Dense expected = reference::softmax(reference::scores(head.view())).probability * value;
  RC_ASSERT(reference::max_error(result.output.cast<double>(), expected) <=
            2.0 * score_tolerance(head.view()) * value.cwiseAbs().maxCoeff());
}

TYPED_TEST(ExactAttention, ErrorsNameWhatDoesNotFit) {
  using T = TypeParam;
  const HeadTensors<T> good = gaussian_head<T>(10, 4, 3, 1);
  const auto message = [&](HeadTensors<T> head, Index output_rows = 10, Index output_cols = 3, std::size_t lse_size = 10) {
    Matrix<T> output(output_rows, output_cols);
    std::vector<double> lse(lse_size);
    return message_of<InvalidArgument>([&] { exact_attention(head.view(), mutable_view(output), lse); });
  };
  HeadTensors<T> head = good;
  head.key = Matrix<T>::Zero(9, 4);
  EXPECT_THAT(message(head), HasSubstr("key"));
  head = good;
  head.key = Matrix<T>::Zero(10, 5);
  EXPECT_THAT(message(head), HasSubstr("key"));
  head = good;
  head.value = Matrix<T>::Zero(11, 3);
  EXPECT_THAT(message(head), HasSubstr("value"));
  for (const double scale : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    head = good;
    head.scale = scale;
    EXPECT_THAT(message(head), HasSubstr("scale"));
  }
  EXPECT_THAT(message(good, 9), HasSubstr("output"));
  EXPECT_THAT(message(good, 10, 4), HasSubstr("output"));
  EXPECT_THAT(message(good, 10, 3, 9), HasSubstr("lse"));
  EXPECT_THAT(message(good, 10, 3, 11), HasSubstr("lse"));
  message(gaussian_head<T>(0, 4, 3, 1), 0, 3, 0);
  message(gaussian_head<T>(10, 4, 0, 1), 10, 0);
  head = good;
  head.query = Matrix<T>::Zero(10, 0);
  head.key = Matrix<T>::Zero(10, 0);
  message(head);
}

TYPED_TEST(ExactAttention, StopsOnRequest) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(3000, 16, 16, 2);
  for (const int threads : {1, 2}) {
    std::stop_source before;
    before.request_stop();
    EXPECT_THROW(run_exact(head.view(), {.threads = threads, .stop = before.get_token()}), Cancelled);
    std::stop_source during;
    const RunContext context{
        .threads = threads, .stop = during.get_token(), .progress = [&](std::string_view, double) { during.request_stop(); }};
    EXPECT_THROW(run_exact(head.view(), context), Cancelled);
  }
}

TYPED_TEST(ExactAttention, ReportsRisingProgressUpToOne) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(1500, 8, 8, 3);
  std::vector<double> fractions;
  run_exact(head.view(), {.threads = 2, .progress = [&](std::string_view, double fraction) { fractions.push_back(fraction); }});
  ASSERT_FALSE(fractions.empty());
  EXPECT_TRUE(std::is_sorted(fractions.begin(), fractions.end()));
  EXPECT_GE(fractions.front(), 0.0);
  EXPECT_DOUBLE_EQ(fractions.back(), 1.0);
}

}  // namespace
}  // namespace convbasis
