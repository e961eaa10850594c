#include "core/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <cmath>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace convbasis {
namespace {

class Threads : public testing::TestWithParam<int> {};

TEST_P(Threads, EveryItemIsDoneOnceByAWorkerInRange) {
  const RunContext context{.threads = GetParam()};
  ASSERT_EQ(thread_count(context), GetParam());
  for (const Index count : {0, 1, 2, 3, 4, 5, 6, 100, 1000}) {
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
    std::atomic<bool> worker_in_range = true;
    parallel_for(context, count, [&](Index item, int worker) {
      ++calls.at(static_cast<std::size_t>(item));
      if (worker < 0 || worker >= GetParam()) worker_in_range = false;
    });
    for (const auto& times : calls) EXPECT_EQ(times, 1);
    EXPECT_TRUE(worker_in_range);
  }
}

TEST_P(Threads, WritesOfTheBodyAreVisibleAfterTheLoop) {
  std::vector<Index> squares(500);
  parallel_for({.threads = GetParam()}, 500, [&](Index item, int) { squares[static_cast<std::size_t>(item)] = item * item; });
  for (Index item = 0; item < 500; ++item) EXPECT_EQ(squares[static_cast<std::size_t>(item)], item * item);
}

TEST_P(Threads, ScratchOfAWorkerIsNeverUsedByTwoThreadsAtOnce) {
  std::vector<std::atomic<int>> users(static_cast<std::size_t>(GetParam()));
  std::atomic<bool> shared = false;
  parallel_for({.threads = GetParam()}, 300, [&](Index, int worker) {
    auto& user = users.at(static_cast<std::size_t>(worker));
    if (++user != 1) shared = true;
    --user;
  });
  EXPECT_FALSE(shared);
}

TEST_P(Threads, RethrowsTheBodysExceptionAndStopsTheLoop) {
  std::atomic<Index> calls = 0;
  try {
    parallel_for({.threads = GetParam()}, 1'000'000, [&](Index item, int) {
      ++calls;
      if (item == 10) throw std::out_of_range("item 10");
    });
    FAIL() << "no exception";
  } catch (const std::out_of_range& error) {
    EXPECT_STREQ(error.what(), "item 10");
  }
  EXPECT_LT(calls, 1'000'000);
}

TEST_P(Threads, ThrowsCancelledAfterAStopRequest) {
  std::stop_source source;
  std::atomic<Index> calls = 0;
  EXPECT_THROW(parallel_for({.threads = GetParam(), .stop = source.get_token()}, 1'000'000,
                            [&](Index, int) {
                              if (++calls == 10) source.request_stop();
                            }),
               Cancelled);
  EXPECT_LT(calls, 1'000'000);
}

TEST_P(Threads, DoesNothingWhenStoppedBefore) {
  std::stop_source source;
  source.request_stop();
  std::atomic<Index> calls = 0;
  EXPECT_THROW(parallel_for({.threads = GetParam(), .stop = source.get_token()}, 20, [&](Index, int) { ++calls; }), Cancelled);
  EXPECT_EQ(calls, 0);
}

TEST_P(Threads, ReportsEveryStepOnceAndNeverFromTwoThreads) {
  std::atomic<int> inside = 0;
  std::atomic<bool> overlapped = false;
  std::vector<double> fractions;
  std::set<std::string, std::less<>> stages;
  const RunContext context{.threads = GetParam(), .progress = [&](std::string_view stage, double fraction) {
                             if (++inside != 1) overlapped = true;
                             stages.emplace(stage);
                             fractions.push_back(fraction);
                             --inside;
                           }};
  parallel_for(
      context, 64, [](Index, int) {}, "some stage");
  EXPECT_FALSE(overlapped);
  EXPECT_EQ(stages, (std::set<std::string, std::less<>>{"some stage"}));
  ASSERT_EQ(fractions.size(), 64U);
  for (std::size_t step = 0; step < fractions.size(); ++step) {
    EXPECT_DOUBLE_EQ(fractions[step], static_cast<double>(step + 1) / 64.0);
  }
}

TEST_P(Threads, ReportsNothingWithoutAStage) {
  std::atomic<int> reports = 0;
  const RunContext context{.threads = GetParam(), .progress = [&](std::string_view, double) { ++reports; }};
  parallel_for(context, 64, [](Index, int) {});
  EXPECT_EQ(reports, 0);
}

TEST_P(Threads, AnExceptionOfTheProgressCallbackIsRethrown) {
  const RunContext context{.threads = GetParam(),
                           .progress = [](std::string_view, double) { throw std::domain_error("progress"); }};
  EXPECT_THROW(parallel_for(
                   context, 64, [](Index, int) {}, "stage"),
               std::domain_error);
}

TEST_P(Threads, LoopsNest) {
  std::atomic<Index> calls = 0;
  const RunContext context{.threads = GetParam()};
  parallel_for(context, 7, [&](Index, int) { parallel_for(context, 11, [&](Index, int) { ++calls; }); });
  EXPECT_EQ(calls, 77);
}

TEST_P(Threads, AnExceptionInsideAnInnerLoopReachesTheCallerOfTheOuterOne) {
  const RunContext context{.threads = GetParam()};
  for (int repeat = 0; repeat < 20; ++repeat) {
    EXPECT_THROW(parallel_for(context, 9,
                              [&](Index outer, int) {
                                parallel_for(context, 9, [&](Index inner, int) {
                                  if (outer == 4 && inner == 4) throw std::out_of_range("inner");
                                });
                              }),
                 std::out_of_range);
  }
}

TEST_P(Threads, AsManyThreadsAsAskedForWorkAtOnceEvenOnFewerCores) {
  const int count = GetParam();
  for (int repeat = 0; repeat < 10; ++repeat) {
    std::barrier everyone(count);  // hangs, and so fails by its time limit, unless all items run at the same time
    std::set<std::thread::id> ids;
    std::mutex mutex;
    parallel_for({.threads = count}, count, [&](Index, int) {
      everyone.arrive_and_wait();
      const std::scoped_lock lock(mutex);
      ids.insert(std::this_thread::get_id());
    });
    EXPECT_EQ(ids.size(), static_cast<std::size_t>(count));
  }
}

TEST_P(Threads, ManyShortLoopsOneAfterTheOther) {
  std::vector<Index> sums(static_cast<std::size_t>(GetParam()));
  constexpr Index loops = 3000;
  for (Index loop = 0; loop < loops; ++loop) {
    parallel_for({.threads = GetParam()}, 7, [&](Index item, int worker) { sums[static_cast<std::size_t>(worker)] += item; });
  }
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), Index{0}), loops * 21);
}

TEST_P(Threads, LoopsOfSeveralThreadsDoNotMix) {
  constexpr Index loops = 300;
  std::vector<Index> sums(4);
  {
    std::vector<std::jthread> callers;
    for (Index caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&, caller] {
        for (Index loop = 0; loop < loops; ++loop) {
          std::atomic<Index> sum = 0;
          try {
            parallel_for({.threads = GetParam()}, 10, [&](Index item, int) {
              sum += item + caller;
              if (item == 9 && loop % 3 == 0) throw std::out_of_range(std::to_string(caller));
            });
            EXPECT_NE(loop % 3, 0);
            EXPECT_EQ(sum, 45 + 10 * caller);
          } catch (const std::out_of_range& error) {
            EXPECT_EQ(loop % 3, 0);
            EXPECT_EQ(error.what(), std::to_string(caller));
          }
          ++sums[static_cast<std::size_t>(caller)];
        }
      });
    }
  }
  EXPECT_EQ(sums, std::vector<Index>(4, loops));
}

INSTANTIATE_TEST_SUITE_P(Counts, Threads, testing::Values(1, 2, 5), testing::PrintToStringParamName());

TEST(ThreadCount, ZeroMeansAtLeastOne) { EXPECT_GE(thread_count({}), 1); }

TEST(ThreadOrder, OneThreadGoesInAscendingOrder) {
  Index expected = 0;
  parallel_for({.threads = 1}, 100, [&](Index item, int) { EXPECT_EQ(item, expected++); });
  EXPECT_EQ(expected, 100);
}

}  // namespace
}  // namespace convbasis
