#include "state/latest_job.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

namespace convscope {
namespace {

using namespace std::chrono_literals;

template <class Condition>
bool becomes_true(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + 30s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

TEST(LatestJob, DeliversOnceAndWakes) {
  std::atomic<int> wakes = 0;
  LatestJob<int> job([&] { ++wakes; });
  EXPECT_FALSE(job.busy());
  EXPECT_FALSE(job.take());
  job.start([](const convbasis::RunContext&) { return 7; });
  ASSERT_TRUE(becomes_true([&] { return wakes > 0; }));
  EXPECT_EQ(job.take(), 7);
  EXPECT_FALSE(job.take());
  EXPECT_FALSE(job.busy());
}

TEST(LatestJob, ANewerJobStopsTheOlderWhoseResultNeverAppears) {
  LatestJob<int> job({});
  std::atomic<bool> running = false;
  job.start([&](const convbasis::RunContext& context) {
    running = true;
    while (!context.stop.stop_requested()) std::this_thread::yield();
    return 1;  // even a job that does not care to throw
  });
  ASSERT_TRUE(becomes_true([&] { return running.load(); }));
  job.start([](const convbasis::RunContext&) { return 2; });
  std::optional<int> result;
  ASSERT_TRUE(becomes_true([&] { return (result = job.take()).has_value(); }));
  EXPECT_EQ(result, 2);
}

TEST(LatestJob, SaysWhyAJobFailed) {
  LatestJob<int> job({});
  job.start([](const convbasis::RunContext&) -> int { throw std::runtime_error("no more paper"); });
  ASSERT_TRUE(becomes_true([&] { return !job.failure().empty(); }));
  EXPECT_EQ(job.failure(), "no more paper");
  EXPECT_FALSE(job.take());
  job.start([](const convbasis::RunContext&) { return 3; });
  EXPECT_EQ(job.failure(), "");
}

TEST(LatestJob, EndsWhileAJobRuns) {
  std::atomic<bool> running = false;
  LatestJob<int> job({});
  job.start([&](const convbasis::RunContext& context) {
    running = true;
    while (true) context.check();
    return 0;
  });
  ASSERT_TRUE(becomes_true([&] { return running.load(); }));
}

}  // namespace
}  // namespace convscope
