// The survey of all heads without a window, and its table: order, filter, texts.

#include "state/head_survey.h"
#include "analysis/exact_part.h"
#include "analysis/ladder.h"
#include "state/head_table.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <thread>

namespace convscope {
namespace {

using namespace std::chrono_literals;
using convbasis::HeadSummary;
using convbasis::Ladder;
using Place = HeadSurvey::LayerHead;

/// A file of `layers` layers with `heads` heads of n x 8 Gaussian tensors; a head of layer 1 can hold a NaN.
std::string random_file(int layers, int heads, int n, bool broken_head = false) {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  std::vector<convbasis::test::TensorBytes> tensors;
  for (int layer = 0; layer < layers; ++layer) {
    for (const char* which : {"q", "k", "v"}) {
      std::vector<float> numbers(static_cast<std::size_t>(heads * n * 8));
      for (float& number : numbers) number = normal(random);
      if (broken_head && layer == 1) numbers.back() = std::numeric_limits<float>::quiet_NaN();
      tensors.push_back(
          {"layers." + std::to_string(layer) + "." + which, "F32", {heads, n, 8}, convbasis::test::bytes_of_numbers(numbers)});
    }
  }
  return convbasis::test::safetensors_bytes(tensors);
}

class HeadSurveyTest : public testing::Test {
 protected:
  std::shared_ptr<const Source> open(int layers, int heads, int n, bool broken_head = false) {
    const auto path = folder_.write("heads.safetensors", random_file(layers, heads, n, broken_head));
    return std::make_shared<const Source>(++sources_, SourceRecipe(FilesRecipe{{path}}));
  }
  template <class Condition>
  void poll_until(const Condition& done) {
    const auto deadline = std::chrono::steady_clock::now() + 120s;
    while (true) {
      survey_.poll();
      if (done()) return;
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the survey did not get there";
      std::this_thread::sleep_for(1ms);
    }
  }
  void finish() {
    poll_until([this] { return !survey_.progress().running; });
  }
  static SurveyOptions options(Index k) {
    SurveyOptions options;
    options.summary.recover.k = k;
    options.summary.most_k = 16;
    return options;
  }
  static SurveyOptions with_ladders(Index k, Index band = 8, Index columns = 2) {
    SurveyOptions all = options(k);
    all.ladder.k = k;
    all.ladder.band = band;
    all.ladder.columns = columns;
    all.ladders = true;
    return all;
  }

  convbasis::test::TemporaryFolder folder_;
  std::uint64_t sources_ = 0;
  std::atomic<int> wakes_{0};
  HeadSurvey survey_{[this] { ++wakes_; }};
};

TEST_F(HeadSurveyTest, DoesNothingUntilItIsStarted) {
  EXPECT_EQ(survey_.progress().total, 0);
  survey_.start();  // of nothing
  survey_.cancel();
  survey_.want(open(2, 2, 40), 40, options(4));
  std::this_thread::sleep_for(50ms);
  survey_.poll();
  EXPECT_TRUE(survey_.heads().empty());
  EXPECT_FALSE(survey_.progress().running);
  EXPECT_EQ(survey_.progress().total, 4);
  EXPECT_EQ(progress_text(survey_.progress()), "0 of 4 heads");
}

TEST_F(HeadSurveyTest, SummarisesEveryHead) {
  const auto source = open(3, 2, 60);
  survey_.want(source, 50, options(4));
  survey_.start();
  finish();
  ASSERT_EQ(survey_.heads().size(), 6U);
  for (const auto& [place, head] : survey_.heads()) {
    ASSERT_TRUE(head.summary) << head.failure;
    const HeadSummary expected =
        convbasis::summarize_head(source->load(place.first, place.second, 50).view(), options(4).summary);
    EXPECT_EQ(head.summary->n, 50);
    EXPECT_NEAR(head.summary->error, expected.error, 1e-5);
    EXPECT_NEAR(head.summary->entropy, expected.entropy, 1e-5);
  }
  EXPECT_EQ(progress_text(survey_.progress()), "6 heads");
  EXPECT_GE(wakes_.load(), 1);
}

TEST_F(HeadSurveyTest, AnotherKKeepsTheRestAndOnlyRedoesErrors) {
  const auto source = open(2, 2, 60);
  survey_.want(source, 60, options(4));
  survey_.start();
  finish();
  const auto before = survey_.heads();
  survey_.want(source, 60, options(8));  // a rung of the ladder: known at once
  EXPECT_FALSE(survey_.progress().running);
  for (const auto& [place, head] : survey_.heads()) {
    EXPECT_FALSE(head.stale);
    EXPECT_EQ(head.summary->options.recover.k, 8);
    EXPECT_NE(head.summary->error, before.at(place).summary->error);
  }
  survey_.want(source, 60, options(11));
  EXPECT_TRUE(std::ranges::all_of(survey_.heads(), [](const auto& entry) { return entry.second.stale; }));
  EXPECT_EQ(survey_.progress().done, 0);
  finish();
  ASSERT_EQ(survey_.heads().size(), 4U);
  for (const auto& [place, head] : survey_.heads()) {
    EXPECT_FALSE(head.stale);
    EXPECT_EQ(head.summary->options.recover.k, 11);
    EXPECT_EQ(head.summary->thumbnail.size(), before.at(place).summary->thumbnail.size());
    const auto expected = convbasis::summarize_head(source->load(place.first, place.second, 60).view(), options(11).summary);
    EXPECT_NEAR(head.summary->error, expected.error, 1e-5);
  }
}

TEST_F(HeadSurveyTest, AnotherNOrSourceForgetsTheResults) {
  const auto source = open(2, 2, 60);
  survey_.want(source, 60, options(4));
  survey_.start();
  finish();
  const auto version = survey_.version();
  survey_.want(source, 30, options(4));
  EXPECT_TRUE(survey_.heads().empty());
  EXPECT_NE(survey_.version(), version);
  finish();
  for (const auto& [place, head] : survey_.heads()) EXPECT_EQ(head.summary->n, 30);
  survey_.want(open(1, 3, 20), 30, options(40));
  EXPECT_TRUE(survey_.heads().empty());
  finish();
  ASSERT_EQ(survey_.heads().size(), 3U);
  for (const auto& [place, head] : survey_.heads()) {
    ASSERT_TRUE(head.summary) << head.failure;
    EXPECT_EQ(head.summary->n, 20) << "cut to the layer";
    EXPECT_EQ(head.summary->options.recover.k, 20);
  }
  survey_.want(nullptr, 30, options(4));
  EXPECT_EQ(survey_.progress().total, 0);
}

TEST_F(HeadSurveyTest, CancelKeepsWhatIsThereAndStartGoesOn) {
  survey_.want(open(4, 8, 512), 512, options(4));
  survey_.start();
  poll_until([this] { return survey_.heads().size() >= 2; });
  survey_.cancel();
  EXPECT_FALSE(survey_.progress().running);
  const auto kept = survey_.heads();
  ASSERT_LT(kept.size(), 32U) << "the test wants heads that take longer";
  std::this_thread::sleep_for(100ms);
  survey_.poll();
  EXPECT_EQ(survey_.heads(), kept);
  EXPECT_EQ(progress_text(survey_.progress()), std::to_string(kept.size()) + " of 32 heads");
  survey_.start();
  EXPECT_THAT(progress_text(survey_.progress()), testing::HasSubstr("left"));
  finish();
  EXPECT_EQ(survey_.heads().size(), 32U);
  for (const auto& [place, head] : kept) EXPECT_EQ(survey_.heads().at(place).summary, head.summary) << "not made twice";
}

TEST_F(HeadSurveyTest, HeldIsNotRunning) {
  survey_.want(open(2, 8, 512), 512, options(4));
  survey_.hold(true);
  survey_.start();
  std::this_thread::sleep_for(50ms);
  survey_.poll();
  EXPECT_TRUE(survey_.heads().empty());
  EXPECT_TRUE(survey_.progress().held);
  EXPECT_FALSE(survey_.progress().running);
  EXPECT_THAT(progress_text(survey_.progress()), testing::HasSubstr("waiting"));
  // Held and let go many times, also in the middle of heads: each is still made once.
  for (int x = 0; x < 20; ++x) {
    survey_.hold(x % 2 == 1);
    std::this_thread::sleep_for(3ms);
    survey_.poll();
  }
  survey_.hold(false);
  finish();
  EXPECT_EQ(survey_.heads().size(), 16U);
}

TEST_F(HeadSurveyTest, HeldTheHeadUnderWayIsFinishedAndNoOtherBegun) {
  survey_.want(open(4, 8, 2048), 2048, options(4));
  survey_.start();
  bool finished = false;
  // A hold may fall between two heads, but not again and again.
  for (int x = 0; x < 20 && !finished; ++x) {
    survey_.hold(false);
    std::this_thread::sleep_for(5ms);
    survey_.hold(true);
    const int wakes = wakes_.load();
    survey_.poll();
    const std::size_t known = survey_.heads().size();
    std::this_thread::sleep_for(150ms);
    survey_.poll();
    EXPECT_LE(survey_.heads().size(), known + 1);
    finished = survey_.heads().size() > known;
    EXPECT_TRUE(!finished || wakes_.load() > wakes) << "the window is not told of it";
  }
  EXPECT_TRUE(finished);
  EXPECT_TRUE(survey_.progress().held);
}

TEST_F(HeadSurveyTest, LaddersComeAfterTheSummaries) {
  const auto source = open(2, 2, 60);
  survey_.want(source, 50, with_ladders(4));
  survey_.start();
  poll_until([this] {
    const bool some = std::ranges::any_of(survey_.heads(), [](const auto& entry) { return entry.second.ladder != nullptr; });
    EXPECT_TRUE(!some || survey_.heads().size() == 4U) << "a ladder before a summary";
    return !survey_.progress().running;
  });
  EXPECT_EQ(progress_text(survey_.progress()), "4 heads, ladders");
  for (const auto& [place, head] : survey_.heads()) {
    ASSERT_TRUE(head.ladder) << head.ladder_failure;
    EXPECT_FALSE(head.ladder_stale);
    const auto tensors = source->load(place.first, place.second, 50);
    const auto view = tensors.view();
    const Ladder expected = convbasis::make_ladder(view, convbasis::exact_part(view), with_ladders(4).ladder);
    ASSERT_EQ(head.ladder->rungs.size(), expected.rungs.size());
    ASSERT_EQ(expected.rungs.size(), rung_count);
    for (std::size_t x = 0; x < expected.rungs.size(); ++x) {
      EXPECT_EQ(head.ladder->rungs[x].key, expected.rungs[x].key);
      // The exact rows may be summed in another order by another number of threads.
      EXPECT_NEAR(head.ladder->rungs[x].error, expected.rungs[x].error, 1e-5);
    }
  }
}

TEST_F(HeadSurveyTest, AnotherBandKeepsLaddersUntilTheyAreMadeAnew) {
  const auto source = open(2, 2, 60);
  survey_.want(source, 60, with_ladders(4));
  survey_.start();
  finish();
  const auto before = survey_.heads();
  survey_.hold(true);
  survey_.want(source, 60, with_ladders(4, 20));
  EXPECT_EQ(survey_.progress().done, 4);
  EXPECT_EQ(survey_.progress().ladders_done, 0);
  EXPECT_EQ(progress_text(survey_.progress()), "4 heads, ladders of 0, waiting");
  for (const auto& [place, head] : survey_.heads()) {
    EXPECT_TRUE(head.ladder_stale);
    EXPECT_EQ(head.ladder, before.at(place).ladder) << "kept";
    EXPECT_FALSE(head.stale);
  }
  // Back again nothing is lost.
  survey_.want(source, 60, with_ladders(4));
  EXPECT_TRUE(survey_.progress().complete());
  survey_.want(source, 60, with_ladders(4, 500, 500));  // cut to the tokens
  survey_.hold(false);
  finish();
  for (const auto& [place, head] : survey_.heads()) {
    EXPECT_FALSE(head.ladder_stale);
    EXPECT_EQ(head.ladder->options.band, 60);
    EXPECT_EQ(head.ladder->options.columns, 60);
    EXPECT_EQ(head.summary, before.at(place).summary) << "not made twice";
    EXPECT_LT(head.ladder->find(convbasis::rung::band)->error, 1e-5) << "all is exact";
  }
}

TEST_F(HeadSurveyTest, LaddersCanBeWantedLaterAndNoMore) {
  const auto source = open(2, 2, 60);
  survey_.want(source, 60, options(4));
  survey_.start();
  finish();
  EXPECT_EQ(survey_.progress().ladders_total, 0);
  EXPECT_EQ(progress_text(survey_.progress()), "4 heads");
  const auto summaries = survey_.heads();
  survey_.want(source, 60, with_ladders(4));
  EXPECT_EQ(survey_.progress().ladders_total, 4);
  finish();
  const auto ladders = survey_.heads();
  for (const auto& [place, head] : ladders) {
    EXPECT_EQ(head.summary, summaries.at(place).summary);
    EXPECT_TRUE(head.ladder);
  }
  SurveyOptions none = with_ladders(4);
  none.ladders = false;
  survey_.want(source, 60, none);
  EXPECT_EQ(survey_.heads(), ladders) << "what is there stays";
  EXPECT_TRUE(survey_.progress().complete());
}

TEST_F(HeadSurveyTest, LongHeadsGetNoLadder) {
  const Index limit = HeadSurvey::ladder_limit;
  const auto source = open(1, 1, static_cast<int>(limit) + 1);
  survey_.want(source, limit + 1, with_ladders(4));
  EXPECT_EQ(survey_.progress().ladders_total, 0);
  survey_.want(source, limit, with_ladders(4));
  EXPECT_EQ(survey_.progress().ladders_total, 1);
}

TEST_F(HeadSurveyTest, ABrokenHeadHasNoLadderEither) {
  survey_.want(open(3, 2, 30, true), 30, with_ladders(4));
  survey_.start();
  finish();
  EXPECT_TRUE(survey_.progress().complete());
  EXPECT_FALSE(survey_.heads().at({1, 1}).ladder);
  EXPECT_THAT(survey_.heads().at({1, 1}).failure, testing::HasSubstr("layers.1"));
  EXPECT_TRUE(survey_.heads().at({2, 1}).ladder);
}

TEST_F(HeadSurveyTest, KOfNoLagVectorsMakesTheRungOfOne) {
  survey_.want(open(1, 1, 40), 40, with_ladders(0));
  survey_.start();
  finish();
  EXPECT_EQ(survey_.heads().at({0, 0}).summary->options.recover.k, 1);
  EXPECT_TRUE(survey_.heads().at({0, 0}).ladder->find(convbasis::rung::one_lag_vector));
}

TEST_F(HeadSurveyTest, ABrokenHeadIsExplainedAndTheOthersAreMade) {
  survey_.want(open(3, 2, 30, true), 30, options(4));
  survey_.start();
  finish();
  ASSERT_EQ(survey_.heads().size(), 6U);
  EXPECT_THAT(survey_.heads().at({1, 1}).failure, testing::HasSubstr("layers.1"));
  EXPECT_FALSE(survey_.heads().at({1, 1}).summary);
  EXPECT_TRUE(survey_.heads().at({2, 0}).summary);
  EXPECT_EQ(progress_text(survey_.progress()), "6 heads");
  const auto rows = head_rows(survey_);
  EXPECT_EQ(head_text(rows[3], HeadColumn::error), "–");
  EXPECT_THAT(head_details(rows[3]), testing::HasSubstr("layers.1"));
}

TEST_F(HeadSurveyTest, WakesAFewTimesASecondOnly) {
  survey_.want(open(10, 20, 30), 30, options(4));
  const auto began = std::chrono::steady_clock::now();
  survey_.start();
  finish();
  EXPECT_EQ(survey_.heads().size(), 200U);
  const auto quarters = (std::chrono::steady_clock::now() - began) / 250ms;
  EXPECT_LE(wakes_.load(), quarters + 3);
}

TEST_F(HeadSurveyTest, EndsWhileItRuns) {
  survey_.want(open(4, 8, 2048), 2048, options(4));
  survey_.start();
  std::this_thread::sleep_for(20ms);
}

HeadRow row(Index layer, Index head, double error, std::optional<Index> k, double sink = 0.5) {
  auto summary = std::make_shared<HeadSummary>();
  summary->n = 1024;
  summary->error = error;
  summary->k_for_target = k;
  summary->entropy = 3.14159;
  summary->relative_entropy = 0.4;
  summary->sink_mass = sink;
  summary->band_mass = 0.25;
  summary->errors = {{1, 1.5}, {16, error}};
  HeadRow row{layer, head, {}};
  row.known.summary = summary;
  return row;
}

/// With the errors of the rungs from the exact columns alone up, as many as there are.
HeadRow with_ladder(HeadRow row, std::vector<double> errors) {
  constexpr std::array keys{convbasis::rung::columns,  convbasis::rung::band,           convbasis::rung::rest_mass,
                            convbasis::rung::rank_one, convbasis::rung::one_lag_vector, convbasis::rung::lag_vectors};
  Ladder ladder;
  ladder.n = 1024;
  for (std::size_t x = 0; x < errors.size(); ++x) {
    convbasis::LadderRung rung;
    rung.key = keys.at(x);
    rung.band = 64;
    rung.columns = 16;
    rung.k = x == 5 ? 16 : 1;
    rung.error = errors[x];
    ladder.rungs.push_back(rung);
  }
  row.known.ladder = std::make_shared<const Ladder>(std::move(ladder));
  return row;
}

/// The target error is 5 %.
std::vector<HeadRow> ladder_rows() {
  return {with_ladder(row(0, 0, 0.9, {}), {0.8, 0.5, 0.4, 0.2, 0.04, 0.03}),
          with_ladder(row(0, 1, 0.02, 12), {0.8, 0.5, 0.4, 0.05, 0.045, 0.04}),
          with_ladder(row(1, 0, 1.2, {}), {1.9, 1.5, 1.4, 1.3, 1.2, 1.1}),
          row(1, 1, 0.5, {}),
          HeadRow{2, 0, {}},
          with_ladder(row(2, 1, 0.9, {}), {0.8, 0.5, 0.4, 0.2, 0.1, 0.03})};
}

std::vector<HeadRow> example_rows() {
  return {row(0, 0, 0.9, {}), row(0, 1, 0.031234, 12), row(1, 0, 1.2, {}, 0.75), HeadRow{1, 1, {}}, row(2, 0, 0.9, 3)};
}

std::vector<Place> order_of(const std::vector<HeadRow>& rows) {
  std::vector<Place> places;
  for (const HeadRow& row : rows) places.emplace_back(row.layer, row.head);
  return places;
}

TEST(HeadTable, SortsWithWhatIsNotKnownLast) {
  auto rows = example_rows();
  sort_heads(rows, std::array{HeadOrder{HeadColumn::error, true}});
  EXPECT_EQ(order_of(rows), (std::vector<Place>{{0, 1}, {0, 0}, {2, 0}, {1, 0}, {1, 1}}));
  sort_heads(rows, std::array{HeadOrder{HeadColumn::error, false}});
  EXPECT_EQ(order_of(rows), (std::vector<Place>{{1, 0}, {0, 0}, {2, 0}, {0, 1}, {1, 1}}));
  sort_heads(rows, std::array{HeadOrder{HeadColumn::error, false}, HeadOrder{HeadColumn::layer, false}});
  EXPECT_EQ(order_of(rows), (std::vector<Place>{{1, 0}, {2, 0}, {0, 0}, {0, 1}, {1, 1}}));
  sort_heads(rows, std::array{HeadOrder{HeadColumn::k_for_target, true}});
  EXPECT_EQ(order_of(rows), (std::vector<Place>{{2, 0}, {0, 1}, {0, 0}, {1, 0}, {1, 1}}));
  sort_heads(rows, {});
  EXPECT_EQ(order_of(rows), order_of(example_rows()));
}

TEST(HeadTable, WritesCells) {
  const auto rows = example_rows();
  EXPECT_EQ(head_text(rows[1], HeadColumn::error), "0.0312");
  EXPECT_EQ(head_text(rows[1], HeadColumn::k_for_target), "12");
  EXPECT_EQ(head_text(rows[0], HeadColumn::k_for_target), "none");
  EXPECT_EQ(head_text(rows[1], HeadColumn::best), "recover");
  EXPECT_EQ(head_text(rows[2], HeadColumn::best), "none < 100 %");
  for (const HeadColumn column : {HeadColumn::error, HeadColumn::k_for_target, HeadColumn::entropy, HeadColumn::best}) {
    EXPECT_EQ(head_text(rows[3], column), "–");
  }
  EXPECT_EQ(head_column_title(HeadColumn::k_for_target, {}), "k for 5\u00A0%");
  EXPECT_THAT(head_details(rows[0]), testing::HasSubstr("none to 256; lowest error 0.900 at k 16"));
  EXPECT_THAT(head_details(rows[3]), testing::HasSubstr("not looked at"));
}

TEST(HeadTable, Filters) {
  const auto left = [](std::string_view text) {
    const ParsedFilter parsed = parse_head_filter(text);
    EXPECT_EQ(parsed.problem, "");
    auto rows = example_rows();
    std::erase_if(rows, [&](const HeadRow& row) { return !passes(parsed.filter, row); });
    return order_of(rows);
  };
  EXPECT_EQ(left("layer 1"), (std::vector<Place>{{1, 0}, {1, 1}}));
  EXPECT_EQ(left("error<0.2"), (std::vector<Place>{{0, 1}}));
  EXPECT_EQ(left("sink > 60 %"), (std::vector<Place>{{1, 0}}));
  EXPECT_EQ(left("k < 300 layer 1-2"), (std::vector<Place>{{2, 0}}));
  EXPECT_EQ(left("k > 256"), (std::vector<Place>{{0, 0}, {1, 0}})) << "none is more than any k";
  EXPECT_THAT(parse_head_filter("size 3").problem,
              testing::HasSubstr("layer, head, error, k, rank, lag, lags, rung, entropy, sink or band"));
}

TEST(HeadTable, ReadsTheLadder) {
  auto rows = ladder_rows();
  const auto texts = [&](HeadColumn column) {
    std::vector<std::string> all;
    for (const HeadRow& row : rows) all.push_back(head_text(row, column));
    return all;
  };
  using testing::ElementsAre;
  EXPECT_THAT(texts(HeadColumn::rung), ElementsAre("1 lag vector", "rank one", "none", "–", "–", "16 lag vectors"));
  EXPECT_THAT(texts(HeadColumn::rank_one), ElementsAre("0.200", "0.0500", "1.30", "–", "–", "0.200"));
  EXPECT_THAT(texts(HeadColumn::one_lag_vector), ElementsAre("0.0400", "0.0450", "1.20", "–", "–", "0.100"));
  EXPECT_THAT(texts(HeadColumn::lag_vectors), ElementsAre("0.0300", "0.0400", "1.10", "–", "–", "0.0300"));
  EXPECT_THAT(texts(HeadColumn::best),
              ElementsAre("16 lag vectors", "recover", "none < 100 %", "recover", "–", "16 lag vectors"));
  sort_heads(rows, std::array{HeadOrder{HeadColumn::rung, true}});
  EXPECT_EQ(order_of(rows), (std::vector<Place>{{0, 1}, {0, 0}, {2, 1}, {1, 0}, {1, 1}, {2, 0}})) << "by place, not by name";
  rows = ladder_rows();
  EXPECT_THAT(head_details(rows[0]), testing::HasSubstr("\n   0.200  + rank one"));
  EXPECT_THAT(head_details(rows[3]), testing::Not(testing::HasSubstr("ladder")));
  rows[0].known.ladder_stale = true;
  EXPECT_TRUE(head_stale(rows[0], HeadColumn::rank_one));
  EXPECT_FALSE(head_stale(rows[0], HeadColumn::error));
  EXPECT_THAT(head_details(rows[0]), testing::HasSubstr("being made anew"));
}

TEST(HeadTable, OneLagVectorIsTheTopRungOfKOne) {
  HeadRow one = with_ladder(row(0, 0, 0.9, {}), {0.8, 0.5, 0.4, 0.2, 0.1});
  Ladder ladder = *one.known.ladder;
  ladder.options.k = 1;
  one.known.ladder = std::make_shared<const Ladder>(ladder);
  EXPECT_EQ(head_value(one, HeadColumn::lag_vectors), 0.1);
  EXPECT_EQ(head_text(one, HeadColumn::rung), "none");
}

TEST(HeadTable, FiltersByTheLadder) {
  const auto left = [](std::string_view text) {
    const ParsedFilter parsed = parse_head_filter(text);
    EXPECT_EQ(parsed.problem, "") << text;
    auto rows = ladder_rows();
    std::erase_if(rows, [&](const HeadRow& row) { return !passes(parsed.filter, row); });
    return order_of(rows);
  };
  EXPECT_EQ(left("lag < 0.1"), (std::vector<Place>{{0, 0}, {0, 1}}));
  EXPECT_EQ(left("rung = rank one"), (std::vector<Place>{{0, 1}}));
  EXPECT_EQ(left("Rung=1 Lag Vector lags<5%"), (std::vector<Place>{{0, 0}}));
  EXPECT_EQ(left("rung <= 1 lag vector, rank<0.1"), (std::vector<Place>{{0, 1}}));
  EXPECT_EQ(left("rung = k lag vectors"), (std::vector<Place>{{2, 1}}));
  EXPECT_EQ(left("rung none"), (std::vector<Place>{{1, 0}}));
  EXPECT_EQ(left("rung != none"), (std::vector<Place>{{0, 0}, {0, 1}, {2, 1}}));
  EXPECT_EQ(left("rung <= 4"), (std::vector<Place>{{0, 1}}));
  EXPECT_THAT(parse_head_filter("rung = rank").problem, testing::HasSubstr("one of columns, band, rest mass, rank one"));
  EXPECT_THAT(parse_head_filter("rung = bandit").problem, testing::HasSubstr("rung = columns"));
  EXPECT_THAT(parse_head_filter("lag = rank one").problem, testing::HasSubstr("a number"));
}

TEST(HeadTable, Medians) {
  const auto rows = ladder_rows();
  EXPECT_EQ(head_median_text(rows, HeadColumn::rank_one), "0.200");
  EXPECT_DOUBLE_EQ(head_median(rows, HeadColumn::one_lag_vector), (0.045 + 0.1) / 2.0);
  EXPECT_EQ(head_median_text(rows, HeadColumn::rung), "1 lag vector") << "the lower of two";
  EXPECT_EQ(head_median_text(rows, HeadColumn::k_for_target), "none") << "infinite, not unknown";
  EXPECT_EQ(head_median_text(rows, HeadColumn::layer), "");
  EXPECT_EQ(head_median_help(rows, HeadColumn::rank_one), "Median over 4 heads: 0.200.");
  EXPECT_TRUE(std::isnan(head_median({}, HeadColumn::error)));
  EXPECT_EQ(head_median_help({}, HeadColumn::error), "");
}

TEST(HeadTable, ExportsTheLadder) {
  const std::string text = heads_csv(ladder_rows());
  EXPECT_THAT(text, testing::HasSubstr("\n0,0,0.9,none,0.2,0.04,0.03,1 lag vector,3.14159,0.5,0.25,16 lag vectors\n"));
  EXPECT_THAT(text, testing::HasSubstr("\n1,0,1.2,none,1.3,1.2,1.1,none,"));
  EXPECT_THAT(text, testing::HasSubstr("\n1,1,0.5,none,,,,,3.14159,"));
}

TEST(HeadTable, ExportsAllDigits) {
  const auto rows = example_rows();
  const std::vector<std::string> remarks{"made by\na test"};
  EXPECT_EQ(heads_csv(rows, remarks),
            "# made by a test\n"
            "layer,head,error_at_k,k_for_target,rank_one_error,one_lag_vector_error,lag_vectors_error,first_rung,"
            "entropy_bits,sink_mass,band_mass,best_at_k\n"
            "0,0,0.9,none,,,,,3.14159,0.5,0.25,recover\n"
            "0,1,0.031234,12,,,,,3.14159,0.5,0.25,recover\n"
            "1,0,1.2,none,,,,,3.14159,0.75,0.25,none < 100 %\n"
            "1,1,,,,,,,,,,\n"
            "2,0,0.9,3,,,,,3.14159,0.5,0.25,recover\n");
  EXPECT_THAT(heads_tsv(rows), testing::StartsWith("layer\thead\t"));
  EXPECT_THAT(heads_tsv(rows), testing::HasSubstr("\n0\t1\t0.031234\t12\t"));
}

TEST(HeadTable, SaysHowLongItTakes) {
  const auto text = [](double seconds) {
    SurveyProgress progress;
    progress.done = 57;
    progress.total = 270;
    progress.running = true;
    progress.seconds_left = seconds;
    return progress_text(progress);
  };
  EXPECT_EQ(text(39.2), "57 of 270 heads, about 40 s left");
  EXPECT_EQ(text(0.2), "57 of 270 heads, about 1 s left");
  EXPECT_EQ(text(119.0), "57 of 270 heads, about 2 min left");
  EXPECT_EQ(text(7201.0), "57 of 270 heads, about 3 h left");
  EXPECT_EQ(text(0.0), "57 of 270 heads");
  SurveyProgress ladders;
  ladders.done = ladders.total = ladders.ladders_total = 270;
  ladders.ladders_done = 12;
  ladders.running = true;
  ladders.seconds_left = 170.0;
  EXPECT_EQ(progress_text(ladders), "270 heads, ladders of 12, about 3 min left");
}

}  // namespace
}  // namespace convscope
