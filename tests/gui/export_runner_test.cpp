// Exports in the background: steps in order, errors, cancelling.
#include "state/export_runner.h"

#include "core/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace convscope {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class RunnerTest : public testing::Test {
 protected:
  ExportOutcome wait() {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (std::chrono::steady_clock::now() < deadline) {
      if (auto outcome = runner_.poll()) return *outcome;
      std::this_thread::sleep_for(1ms);
    }
    ADD_FAILURE() << "the export did not end";
    return {};
  }

  std::atomic<int> wakes_{0};
  ExportRunner runner_{[this] { ++wakes_; }};
};

TEST_F(RunnerTest, StepsRunInOrderAndOnTheirThreads) {
  const auto window = std::this_thread::get_id();
  std::vector<std::string> order;
  int painted = 0;
  ASSERT_TRUE(
      runner_.start({.path = "x",
                     .prepare = [&](const auto&) { order.emplace_back(std::this_thread::get_id() == window ? "?" : "prepare"); },
                     .paint =
                         [&] {
                           order.emplace_back(std::this_thread::get_id() == window ? "paint" : "?");
                           return ++painted == 3;
                         },
                     .write = [&](const auto&) { order.emplace_back(std::this_thread::get_id() == window ? "?" : "write"); }}));
  EXPECT_TRUE(runner_.busy());
  EXPECT_FALSE(runner_.start({}));
  const ExportOutcome outcome = wait();
  EXPECT_THAT(order, testing::ElementsAre("prepare", "paint", "paint", "paint", "write"));
  EXPECT_EQ(outcome.path, "x");
  EXPECT_FALSE(outcome.failure);
  EXPECT_FALSE(outcome.cancelled);
  EXPECT_FALSE(runner_.busy());
  EXPECT_GT(wakes_.load(), 3);
}

TEST_F(RunnerTest, ErrorsOfEachStepAreTold) {
  const auto broken = [](const auto&) { throw convbasis::FileError("x.png", "disk full"); };
  bool wrote = false;
  runner_.start({.path = "x", .prepare = broken, .paint = {}, .write = [&](const auto&) { wrote = true; }});
  ExportOutcome outcome = wait();
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, Failure::Kind::file);
  EXPECT_EQ(outcome.failure->text, "x.png: disk full");
  runner_.start({.path = "x",
                 .prepare = {},
                 .paint = []() -> bool { throw std::runtime_error("no picture"); },
                 .write = [&](const auto&) { wrote = true; }});
  outcome = wait();
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->text, "no picture");
  EXPECT_FALSE(wrote);
  runner_.start({.path = "x", .prepare = {}, .paint = {}, .write = broken});
  EXPECT_TRUE(wait().failure);
}

TEST_F(RunnerTest, CancelStopsEachStep) {
  bool wrote = false;
  const auto until_stopped = [](const convbasis::RunContext& context) {
    while (true) {
      context.check();
      std::this_thread::sleep_for(1ms);
    }
  };
  const auto write = [&](const convbasis::RunContext&) { wrote = true; };
  runner_.start({.path = "x", .prepare = until_stopped, .paint = {}, .write = write});
  runner_.cancel();
  EXPECT_TRUE(wait().cancelled);
  runner_.start({.path = "x", .prepare = {}, .paint = [] { return false; }, .write = write});
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(runner_.poll());
    std::this_thread::sleep_for(1ms);
  }
  runner_.cancel();
  EXPECT_TRUE(wait().cancelled);
  runner_.start({.path = "x", .prepare = {}, .paint = {}, .write = until_stopped});
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(runner_.poll());
    std::this_thread::sleep_for(1ms);
  }
  runner_.cancel();
  EXPECT_TRUE(wait().cancelled);
  EXPECT_FALSE(wrote);
}

TEST_F(RunnerTest, EndsWhileWorkIsUnderWay) {
  runner_.start({.path = "x",
                 .prepare =
                     [](const convbasis::RunContext& context) {
                       while (true) context.check();
                     },
                 .paint = {},
                 .write = {}});
}

}  // namespace
}  // namespace convscope
