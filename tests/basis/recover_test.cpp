#include "basis/recover.h"

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

std::vector<Index> starts_of(const auto& basis) { return {basis.starts().begin(), basis.starts().end()}; }

/// A score matrix of whole numbers (so that distances are exact in both precisions) with the given segments.
/// Entry 0 of lag vector r is 10 (r + 1): any two lag vectors, and zero, are at least 10 apart in the 1-norm over any T.
template <Real T>
Matrix<T> separated_matrix(Index n, const std::vector<Index>& starts, Rng& rng) {
  std::vector<std::vector<T>> lags;
  std::uniform_int_distribution<int> entry(-9, 9);
  for (const Index start : starts) {
    std::vector<T> lag(static_cast<std::size_t>(n - start));
    for (T& value : lag) value = static_cast<T>(entry(rng));
    lag[0] = static_cast<T>(10 * (lags.size() + 1));
    lags.push_back(std::move(lag));
  }
  Matrix<T> matrix(n, n);
  ConvBasis<T>(n, starts, std::move(lags)).tile(0, 0, mutable_view(matrix));
  return matrix;
}

/// The basis against the reference: same starts, same lag vectors. `tolerance` for entries that are not whole numbers.
template <Real T>
void expect_same(const Recovery<T>& recovery, const reference::Recovered& expected, double tolerance = 0.0) {
  ASSERT_EQ(starts_of(recovery.basis), expected.starts);
  for (Index r = 0; r < recovery.basis.count(); ++r) {
    const auto lags = recovery.basis.lag_vector(r);
    const auto& expected_lags = expected.lag_vectors[static_cast<std::size_t>(r)];
    ASSERT_EQ(lags.size(), expected_lags.size());
    for (std::size_t t = 0; t < lags.size(); ++t) ASSERT_NEAR(lags[t], expected_lags[t], tolerance);
  }
}

/// Everything that a trace promises, checked against the score matrix.
template <Real T>
void expect_true_trace(const Matrix<T>& scores, const RecoverOptions& options, const Recovery<T>& recovery) {
  const Index n = scores.rows();
  const std::vector<Index> starts = starts_of(recovery.basis);
  std::vector<Index> smallest_differing(starts.size() + 1, n);
  const Probe* before = nullptr;
  for (const Probe& probe : recovery.trace) {
    ASSERT_GE(probe.round, before != nullptr ? before->round : 0);
    ASSERT_LE(probe.round, static_cast<Index>(starts.size()));
    const Index last_start = probe.round == 0 ? -1 : starts[static_cast<std::size_t>(probe.round - 1)];
    ASSERT_GT(probe.low, last_start);
    ASSERT_LE(probe.low, probe.column);
    ASSERT_LE(probe.column, probe.high);
    ASSERT_LE(probe.high, n - options.T);
    if (before != nullptr && before->round == probe.round) {
      EXPECT_GE(probe.low, before->low);
      EXPECT_LE(probe.high, before->high);
      EXPECT_LT(probe.high - probe.low, before->high - before->low);
    }
    double distance = 0.0;
    for (Index t = 0; t < options.T; ++t) {
      const double v = probe.round == 0 ? 0.0 : static_cast<double>(scores(last_start + t, last_start));
      distance += std::abs(static_cast<double>(scores(probe.column + t, probe.column)) - v);
    }
    EXPECT_DOUBLE_EQ(probe.distance, distance);
    EXPECT_DOUBLE_EQ(probe.threshold, options.threshold());
    EXPECT_EQ(probe.differs, probe.distance >= probe.threshold);
    if (probe.differs) {
      Index& smallest = smallest_differing[static_cast<std::size_t>(probe.round)];
      smallest = std::min(smallest, probe.column);
    }
    before = &probe;
  }
  for (std::size_t round = 0; round < starts.size(); ++round) EXPECT_EQ(smallest_differing[round], starts[round]) << "accepted";
  EXPECT_EQ(smallest_differing.back(), n) << "a column that differs was seen but not accepted";
}

template <class T>
class Recover : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Recover, Precisions);

TYPED_TEST(Recover, FindsSeparatedSegmentsWithEitherSearch) {
  using T = TypeParam;
  Rng rng(1);
  for (const Index n : {1, 2, 3, 16, 17, 100, 255}) {
    for (const Index k : {1, 2, 3, 16}) {
      for (const Index probe_length : {1, 2, 8}) {
        if (k > n - probe_length + 1) continue;
        const std::vector<Index> starts = random_starts(n - probe_length + 1, k, rng);
        const Matrix<T> scores = separated_matrix<T>(n, starts, rng);
        for (const Search search : {Search::binary, Search::scan}) {
          const RecoverOptions options{.k = k, .T = probe_length, .delta = 10.0, .eps = 0.01, .search = search};
          const Recovery<T> recovery = recover(MatrixScores<T>(view(scores)), options);
          EXPECT_EQ(starts_of(recovery.basis), starts);
          EXPECT_TRUE(recovery.monotone);
          expect_same(recovery, reference::recover(scores.template cast<double>(), k, probe_length, 10.0, 0.01));
          expect_true_trace(scores, options, recovery);
        }
      }
    }
  }
}

TYPED_TEST(Recover, ReportsFewerSegmentsThanAskedFor) {
  using T = TypeParam;
  Rng rng(2);
  const Matrix<T> scores = separated_matrix<T>(80, {0, 13, 40}, rng);
  for (const Search search : {Search::binary, Search::scan}) {
    const RecoverOptions options{.k = 10, .T = 4, .delta = 10.0, .eps = 0.0, .search = search};
    const Recovery<T> recovery = recover(MatrixScores<T>(view(scores)), options);
    EXPECT_EQ(starts_of(recovery.basis), (std::vector<Index>{0, 13, 40}));
    expect_true_trace(scores, options, recovery);
  }
}

TYPED_TEST(Recover, StopsAfterKSegments) {
  using T = TypeParam;
  Rng rng(3);
  const Matrix<T> scores = separated_matrix<T>(80, {0, 13, 40}, rng);
  for (const Search search : {Search::binary, Search::scan}) {
    const Recovery<T> recovery =
        recover(MatrixScores<T>(view(scores)), {.k = 2, .T = 4, .delta = 10.0, .eps = 0.0, .search = search});
    EXPECT_EQ(starts_of(recovery.basis), (std::vector<Index>{0, 13}));
  }
}

TYPED_TEST(Recover, LeadingZeroColumnsAreSkipped) {
  using T = TypeParam;
  Rng rng(4);
  const Matrix<T> scores = separated_matrix<T>(64, {9, 30}, rng);
  for (const Search search : {Search::binary, Search::scan}) {
    const Recovery<T> recovery =
        recover(MatrixScores<T>(view(scores)), {.k = 4, .T = 3, .delta = 10.0, .eps = 0.0, .search = search});
    EXPECT_EQ(starts_of(recovery.basis), (std::vector<Index>{9, 30}));
  }
}

TYPED_TEST(Recover, AMatrixOfZerosHasNoSegments) {
  using T = TypeParam;
  const Matrix<T> scores = Matrix<T>::Zero(20, 20);
  for (const Search search : {Search::binary, Search::scan}) {
    EXPECT_EQ(recover(MatrixScores<T>(view(scores)), {.k = 4, .T = 3, .delta = 1.0, .eps = 0.0, .search = search}).basis.count(),
              0);
  }
}

TYPED_TEST(Recover, OnlyColumnsWithTEntriesAreCandidates) {
  using T = TypeParam;
  Rng rng(5);
  const Matrix<T> scores = separated_matrix<T>(20, {0, 12, 13}, rng);
  for (const Search search : {Search::binary, Search::scan}) {
    const auto found = [&](Index probe_length) {
      const RecoverOptions options{.k = 3, .T = probe_length, .delta = 10.0, .eps = 0.0, .search = search};
      const Recovery<T> recovery = recover(MatrixScores<T>(view(scores)), options);
      expect_true_trace(scores, options, recovery);
      return starts_of(recovery.basis);
    };
    EXPECT_EQ(found(7), (std::vector<Index>{0, 12, 13}));
    EXPECT_EQ(found(8), (std::vector<Index>{0, 12}));
    EXPECT_EQ(found(9), (std::vector<Index>{0}));
    EXPECT_EQ(found(20), (std::vector<Index>{0}));
  }
}

TYPED_TEST(Recover, ThresholdOfZeroOrLessAcceptsEveryColumn) {
  using T = TypeParam;
  const Matrix<T> scores = Matrix<T>::Ones(12, 12);
  for (const Search search : {Search::binary, Search::scan}) {
    for (const double eps : {0.25, 1.0}) {  // delta - 2 T eps = 0 and -6
      const Recovery<T> recovery =
          recover(MatrixScores<T>(view(scores)), {.k = 5, .T = 4, .delta = 2.0, .eps = eps, .search = search});
      EXPECT_EQ(starts_of(recovery.basis), (std::vector<Index>{0, 1, 2, 3, 4}));
    }
  }
}

TYPED_TEST(Recover, ADistanceEqualToTheThresholdDiffers) {
  using T = TypeParam;
  Matrix<T> scores = Matrix<T>::Ones(10, 10);
  scores.rightCols(5).setConstant(T(3));
  const auto count = [&](double delta, Search search) {
    return recover(MatrixScores<T>(view(scores)), {.k = 2, .T = 2, .delta = delta, .eps = 0.0, .search = search}).basis.count();
  };
  for (const Search search : {Search::binary, Search::scan}) {
    EXPECT_EQ(count(2.0, search), 2);
    EXPECT_EQ(count(4.0, search), 1);  // starts at column 5: zero to 3 and 3 is a distance of 6, zero to 1 and 1 is 2
    EXPECT_EQ(count(6.0, search), 1);
    EXPECT_EQ(count(6.5, search), 0);
  }
}

TYPED_TEST(Recover, ScanFindsTheReferencesStartsOnAnyMatrix) {
  using T = TypeParam;
  Rng rng(6);
  for (int turn = 0; turn < 60; ++turn) {
    // Small whole entries: many ties, many predicates that are not monotone.
    const Index n = 1 + static_cast<Index>(rng() % 60);
    const Matrix<T> scores = whole_numbers<T>(n, n, rng, 2);
    const Index k = 1 + static_cast<Index>(rng() % static_cast<std::uint64_t>(n));
    const Index probe_length = 1 + static_cast<Index>(rng() % std::min<std::uint64_t>(4, static_cast<std::uint64_t>(n)));
    const double delta = 0.5 + static_cast<double>(rng() % 8);
    const RecoverOptions options{.k = k, .T = probe_length, .delta = delta, .eps = 0.0, .search = Search::scan};
    const Recovery<T> recovery = recover(MatrixScores<T>(view(scores)), options);
    expect_same(recovery, reference::recover(scores.template cast<double>(), k, probe_length, delta, 0.0));
    expect_true_trace(scores, options, recovery);
    // Whatever the matrix, a binary search must give a true trace too, and starts that differ from their neighbours' segment.
    RecoverOptions binary = options;
    binary.search = Search::binary;
    expect_true_trace(scores, binary, recover(MatrixScores<T>(view(scores)), binary));
  }
}

TYPED_TEST(Recover, BinarySearchProbesLogarithmicallyMany) {
  using T = TypeParam;
  Rng rng(7);
  const Matrix<T> scores = separated_matrix<T>(1000, {0, 400, 900}, rng);
  const Recovery<T> recovery = recover(MatrixScores<T>(view(scores)), {.k = 5, .T = 4, .delta = 10.0, .eps = 0.0});
  EXPECT_EQ(recovery.basis.count(), 3);
  EXPECT_LE(recovery.trace.size(), 4U * 11U) << "four rounds of at most log2(1000) + 1 probes";
}

TYPED_TEST(Recover, AVectorThatComesBackIsReportedAsNotMonotone) {
  using T = TypeParam;
  Matrix<T> scores = Matrix<T>::Ones(64, 64);
  scores.middleCols(4, 36).setConstant(T(5));
  const RecoverOptions options{.k = 4, .T = 2, .delta = 1.0, .eps = 0.0};
  const Recovery<T> recovery = recover(MatrixScores<T>(view(scores)), options);
  EXPECT_EQ(starts_of(recovery.basis), (std::vector<Index>{0, 4, 40}));
  EXPECT_FALSE(recovery.monotone);
  expect_true_trace(scores, options, recovery);
}

TYPED_TEST(Recover, HeadScoresGiveTheReferencesBasis) {
  using T = TypeParam;
  // Distances of random columns are far from each other: rounding does not turn a comparison.
  const HeadTensors<T> head = gaussian_head<T>(60, 24, 3, 31);
  const reference::Dense scores = reference::scores(head.view());
  for (const double delta : {0.5, 4.0, 8.0}) {
    const RecoverOptions options{.k = 12, .T = 5, .delta = delta, .eps = 0.01, .search = Search::scan};
    expect_same(recover(HeadScores<T>(head.view()), options), reference::recover(scores, 12, 5, delta, 0.01),
                score_tolerance(head.view()));
  }
}

TYPED_TEST(Recover, DoesNotDependOnTheNumberOfThreads) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(200, 16, 3, 32);
  const RecoverOptions options{.k = 20, .T = 4, .delta = 1.0, .eps = 0.0};
  const Recovery<T> one = recover(HeadScores<T>(head.view()), options, {.threads = 1});
  const Recovery<T> two = recover(HeadScores<T>(head.view()), options, {.threads = 2});
  ASSERT_EQ(starts_of(one.basis), starts_of(two.basis));
  for (Index r = 0; r < one.basis.count(); ++r) {
    const auto a = one.basis.lag_vector(r);
    const auto b = two.basis.lag_vector(r);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  }
}

TYPED_TEST(Recover, StopsOnRequest) {
  using T = TypeParam;
  const HeadTensors<T> head = gaussian_head<T>(200, 16, 3, 33);
  std::stop_source source;
  source.request_stop();
  for (const Search search : {Search::binary, Search::scan}) {
    EXPECT_THROW(recover(HeadScores<T>(head.view()), {.k = 20, .T = 4, .search = search}, {.stop = source.get_token()}),
                 Cancelled);
  }
}

TEST(RecoverOptions, ThresholdIsDeltaMinusTwoTEps) {
  EXPECT_DOUBLE_EQ((RecoverOptions{.k = 1, .T = 8, .delta = 0.5, .eps = 0.01}).threshold(), 0.34);
}

TEST(RecoverOptions, SearchesHaveNames) {
  EXPECT_EQ(name_of(Search::binary), "binary");
  EXPECT_EQ(name_of(Search::scan), "scan");
}

TEST(RecoverOptions, ErrorsNameTheParameterItsValueAndItsRange) {
  const auto message = [](RecoverOptions options) {
    // The same check guards recover() itself.
    const Matrix<double> scores = Matrix<double>::Ones(20, 20);
    EXPECT_THROW(recover(MatrixScores<double>(view(scores)), options), InvalidArgument);
    return message_of<InvalidArgument>([&] { require_valid(options, 20); });
  };
  EXPECT_THAT(message({.k = 0}), AllOf(HasSubstr("k"), HasSubstr("0"), HasSubstr("1"), HasSubstr("20")));
  EXPECT_THAT(message({.k = -3}), AllOf(HasSubstr("k"), HasSubstr("-3"), HasSubstr("20")));
  EXPECT_THAT(message({.k = 21}), AllOf(HasSubstr("k"), HasSubstr("21"), HasSubstr("20")));
  EXPECT_THAT(message({.T = 0}), AllOf(HasSubstr("T"), HasSubstr("0"), HasSubstr("20")));
  EXPECT_THAT(message({.T = 21}), AllOf(HasSubstr("T"), HasSubstr("21"), HasSubstr("20")));
  EXPECT_THAT(message({.delta = -0.5}), AllOf(HasSubstr("delta"), HasSubstr("-0.5"), HasSubstr("0 ")));
  EXPECT_THAT(message({.eps = -0.25}), AllOf(HasSubstr("eps"), HasSubstr("-0.25"), HasSubstr("0 ")));
  EXPECT_THAT(message({.delta = std::numeric_limits<double>::quiet_NaN()}), AllOf(HasSubstr("delta"), HasSubstr("nan")));
  EXPECT_THAT(message({.eps = std::numeric_limits<double>::infinity()}), AllOf(HasSubstr("eps"), HasSubstr("inf")));
}

TEST(RecoverOptions, LimitsThemselvesAreAllowed) {
  EXPECT_NO_THROW(require_valid({.k = 20, .T = 20, .delta = 0.0, .eps = 0.0}, 20));
  EXPECT_NO_THROW(require_valid({.k = 1, .T = 1, .delta = 1e6, .eps = 1e3}, 1));
}

RC_GTEST_PROP(RecoverProperty, BothSearchesFindAnySeparatedSegments, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 120);
  const auto probe_length = *rc::gen::inRange<Index>(1, std::min<Index>(n, 9) + 1);
  const Index candidates = n - probe_length + 1;
  const auto first = *rc::gen::inRange<Index>(0, candidates);
  const auto k = *rc::gen::inRange<Index>(1, std::min<Index>(20, candidates - first) + 1);
  Rng rng(*rc::gen::inRange<std::uint64_t>(0, 1'000'000));
  const std::vector<Index> starts = random_starts(candidates, k, rng, first);
  const Matrix<double> scores = separated_matrix<double>(n, starts, rng);
  for (const Search search : {Search::binary, Search::scan}) {
    const auto asked = *rc::gen::inRange<Index>(k, n + 1);
    const Recovery<double> recovery =
        recover(MatrixScores<double>(view(scores)), {.k = asked, .T = probe_length, .delta = 10.0, .eps = 0.1, .search = search});
    RC_ASSERT(starts_of(recovery.basis) == starts);
    RC_ASSERT(recovery.monotone);
  }
}

TEST(RecoverAt, TakesTheColumnsOfTheStartsAsLagVectors) {
  Rng rng(21);
  const Matrix<float> scores = gaussian<float>(40, 40, rng);
  const MatrixScores<float> columns(view(scores));
  const Recovery<float> found = recover_at<float>(columns, {0, 7, 8, 39});
  ASSERT_EQ(found.basis.count(), 4);
  EXPECT_TRUE(found.trace.empty());
  for (Index r = 0; r < 4; ++r) {
    const Index start = found.basis.start(r);
    for (Index t = 0; t < found.basis.extent(r); ++t)
      ASSERT_EQ(found.basis.lag_vector(r)[static_cast<std::size_t>(t)], scores(start + t, start));
  }
}

TEST(RecoverAt, StartsThatAreNotAscendingOrOutsideAreErrors) {
  Rng rng(22);
  const Matrix<float> scores = gaussian<float>(10, 10, rng);
  const MatrixScores<float> columns(view(scores));
  for (const std::vector<Index>& starts : {std::vector<Index>{}, {3, 3}, {4, 2}, {-1, 2}, {0, 10}}) {
    EXPECT_THROW(recover_at<float>(columns, starts), InvalidArgument);
  }
}

}  // namespace
}  // namespace convbasis
