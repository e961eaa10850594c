// From Q, K and V to an output by the recovered basis, against exact attention: the promises of the mathematics page.
#include "attention/exact_attention.h"
#include "basis/apply.h"
#include "basis/conv_weights.h"
#include "basis/recover.h"
#include "data/planted.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

namespace convbasis {
namespace {

using namespace testing_inputs;

template <Real T>
Matrix<T> exact_output(const HeadView<T>& head) {
  Matrix<T> output(head.size(), head.value_width());
  std::vector<double> lse(static_cast<std::size_t>(head.size()));
  exact_attention(head, mutable_view(output), lse);
  return output;
}

template <Real T>
Matrix<T> conv_output(const ConvBasis<T>& scores, const MatrixView<T>& value) {
  const auto weights = std::make_shared<const ConvWeights<T>>(exponentiate(scores));
  Matrix<T> output(value.rows(), value.cols());
  ConvAttentionPlan<T>(weights, value.cols()).apply(value, mutable_view(output));
  return output;
}

/// The relative errors that the program promises.
template <Real T>
constexpr double promised_error = std::same_as<T, float> ? 1e-5 : 1e-11;

template <class T>
class PlantedRecovery : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(PlantedRecovery, Precisions);

template <Real T>
void expect_recovered(const PlantedOptions& options) {
  SCOPED_TRACE("n " + std::to_string(options.n) + ", d " + std::to_string(options.d) + ", k " + std::to_string(options.k));
  const Planted<T> planted = make_planted<T>(options);
  ASSERT_GT(planted.delta, 0.0);
  const HeadView<T> head = planted.head.view();
  for (const Search search : {Search::binary, Search::scan}) {
    // One more is asked for than there are: it must not be found.
    const Index asked = std::min(options.k + 1, options.n);
    const Recovery<T> recovery = recover(
        HeadScores<T>(head), {.k = asked, .T = options.T, .delta = planted.delta, .eps = planted.noise, .search = search});
    ASSERT_EQ(std::vector<Index>(recovery.basis.starts().begin(), recovery.basis.starts().end()), planted.starts);
    EXPECT_TRUE(recovery.monotone);
    if (search == Search::scan) continue;
    EXPECT_LE(reference::relative_error(conv_output(recovery.basis, head.value).template cast<double>(),
                                        exact_output(head).template cast<double>()),
              promised_error<T>);
  }
}

TYPED_TEST(PlantedRecovery, FindsTheStartsAndTheOutput) {
  std::uint64_t seed = 1;
  for (const Index n : {40, 1000, 2048}) {
    for (const Index d : {8, 64, 128}) {
      for (const Index k : {1, 4, 16}) expect_recovered<TypeParam>({.n = n, .d = d, .k = k, .seed = ++seed});
    }
  }
}

TYPED_TEST(PlantedRecovery, FindsTheStartsAndTheOutputOfLongInputs) {
  expect_recovered<TypeParam>({.n = 8192, .d = 8, .value_width = 8, .k = 16, .seed = 51});
  expect_recovered<TypeParam>({.n = 8192, .d = 64, .value_width = 16, .k = 4, .seed = 52});
  expect_recovered<TypeParam>({.n = 8191, .d = 128, .value_width = 8, .k = 16, .seed = 53});
  expect_recovered<TypeParam>({.n = 8192, .d = 128, .value_width = 8, .k = 1, .seed = 54});
}

TYPED_TEST(PlantedRecovery, FindsOtherProbeLengthsSmallWidthsAndAWideDynamicRange) {
  expect_recovered<TypeParam>({.n = 500, .d = 2, .k = 3, .T = 16, .seed = 61});
  expect_recovered<TypeParam>({.n = 500, .d = 32, .k = 8, .T = 1, .seed = 62});
  expect_recovered<TypeParam>({.n = 64, .d = 32, .k = 8, .T = 50, .seed = 63});
  expect_recovered<TypeParam>({.n = 1, .d = 16, .k = 1, .T = 1, .seed = 64});
}

TYPED_TEST(PlantedRecovery, WideDynamicRangeStaysWithinTheScoresRounding) {
  using T = TypeParam;
  const PlantedOptions options{.n = 700, .d = 64, .k = 6, .spread = 4.0, .seed = 65};
  const Planted<T> planted = make_planted<T>(options);
  const HeadView<T> head = planted.head.view();
  const Recovery<T> recovery = recover(HeadScores<T>(head), {.k = 6, .T = 8, .delta = planted.delta, .eps = 0.0});
  ASSERT_EQ(std::vector<Index>(recovery.basis.starts().begin(), recovery.basis.starts().end()), planted.starts);
  // Scores of up to +-100, each rounded in T on both sides.
  EXPECT_LE(reference::relative_error(conv_output(recovery.basis, head.value).template cast<double>(),
                                      exact_output(head).template cast<double>()),
            2.0 * score_tolerance(head));
}

TEST(PaperBound, HoldsInManyRandomNoisyCases) {
  Rng rng(77);
  int cases = 0;
  double largest_share = 0.0;
  for (std::uint64_t seed = 1; cases < 240 && seed < 2000; ++seed) {
    PlantedOptions options;
    options.n = 40 + static_cast<Index>(rng() % 160);
    options.d = 2 * (1 + static_cast<Index>(rng() % 32));
    options.k = 1 + static_cast<Index>(rng() % 6);
    options.T = 1 + static_cast<Index>(rng() % 8);
    options.value_width = 1 + static_cast<Index>(rng() % 8);
    options.seed = seed;
    const double allowed = make_planted<double>(options).delta / (5.0 * static_cast<double>(options.T));
    if (allowed < 1e-6) continue;  // neighbours too alike to tell from noise
    options.noise = std::uniform_real_distribution<double>(0.05, 0.999)(rng) * allowed;
    const Planted<double> planted = make_planted<double>(options);
    const HeadView<double> head = planted.head.view();
    const double eps = planted.noise;
    const RecoverOptions recover_options{.k = options.k + 2 <= options.n ? options.k + 2 : options.k,
                                         .T = options.T,
                                         .delta = planted.delta,
                                         .eps = eps,
                                         .search = seed % 2 == 0 ? Search::binary : Search::scan};
    const Recovery<double> recovery = recover(HeadScores<double>(head), recover_options);
    ASSERT_EQ(std::vector<Index>(recovery.basis.starts().begin(), recovery.basis.starts().end()), planted.starts) << seed;
    const double error = reference::max_error(conv_output(recovery.basis, head.value), exact_output(head));
    const double bound = 2.0 * std::expm1(2.0 * eps) * planted.head.value.cwiseAbs().maxCoeff();
    // 1e-12: both outputs are rounded sums of unit normals.
    ASSERT_LE(error, bound + 1e-12) << "seed " << seed << ", eps " << eps;
    largest_share = std::max(largest_share, error / bound);
    ++cases;
  }
  EXPECT_GE(cases, 240);
  EXPECT_GT(largest_share, 1e-4) << "the noise moved nothing: the test would show nothing";
}

TYPED_TEST(PlantedRecovery, KEqualToNWithoutNoiseIsExactOnAnyHead) {
  using T = TypeParam;
  for (const Index n : {1, 2, 3, 17, 64, 150, 200}) {
    for (const Search search : {Search::binary, Search::scan}) {
      const HeadTensors<T> head = make_random_head<T>(n, 24, 7, static_cast<std::uint64_t>(n));
      const Recovery<T> recovery =
          recover(HeadScores<T>(head.view()), {.k = n, .T = 1, .delta = 0.0, .eps = 0.0, .search = search});
      ASSERT_EQ(recovery.basis.count(), n);
      EXPECT_LE(reference::max_error(conv_output(recovery.basis, head.view().value).template cast<double>(),
                                     exact_output(head.view()).template cast<double>()),
                2.0 * score_tolerance(head.view()) * static_cast<double>(head.value.cwiseAbs().maxCoeff()))
          << "n " << n;
    }
  }
}

}  // namespace
}  // namespace convbasis
