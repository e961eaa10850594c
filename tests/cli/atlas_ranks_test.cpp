// The conversation of the ranks, with threads for processes and queues for MPI: who dies, lags, lies or fails.

#include "cli/atlas_ranks.h"
#include "core/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>

namespace convscope {
namespace {

using namespace std::chrono_literals;
using convbasis::RunContext;
using ::testing::Contains;
using ::testing::HasSubstr;

/// The post between ranks. A rank that is dead neither sends nor receives.
class Post {
 public:
  explicit Post(int size) : boxes_(static_cast<std::size_t>(size)), dead_(static_cast<std::size_t>(size)) {}

  int size() const { return static_cast<int>(boxes_.size()); }
  void kill(int rank) { dead_[static_cast<std::size_t>(rank)] = true; }
  bool is_dead(int rank) const { return dead_[static_cast<std::size_t>(rank)]; }
  /// A message that `rank` gets as if `from` had sent it.
  void deliver(int from, int to, std::string text) {
    if (is_dead(from) || is_dead(to)) return;
    const std::scoped_lock lock(mutex_);
    boxes_[static_cast<std::size_t>(to)].push_back({from, std::move(text)});
  }
  std::optional<RankMessage> fetch(int rank) {
    const std::scoped_lock lock(mutex_);
    auto& box = boxes_[static_cast<std::size_t>(rank)];
    if (box.empty() || is_dead(rank)) return std::nullopt;
    RankMessage message = std::move(box.front());
    box.pop_front();
    return message;
  }

 private:
  std::mutex mutex_;
  std::vector<std::deque<RankMessage>> boxes_;
  std::deque<std::atomic<bool>> dead_;
};

class PostTransport final : public RankTransport {
 public:
  PostTransport(Post& post, int rank) : post_(post), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return post_.size(); }
  int processors() const override { return 1; }
  void send(int to, std::string text) override { post_.deliver(rank_, to, std::move(text)); }
  std::optional<RankMessage> receive() override { return post_.fetch(rank_); }
  void finish(bool together) override { ended_together = together; }

  std::optional<bool> ended_together;

 private:
  Post& post_;
  int rank_;
};

constexpr RankTiming quick{.beat = 20ms, .patience = 300ms};

AtlasTask task_of(std::chrono::milliseconds work, int threads = 2, std::string identity = "same") {
  return {.identity = std::move(identity), .threads = threads, .look = [work](Index head, const std::stop_token& stop) {
            const auto end = std::chrono::steady_clock::now() + work;
            while (std::chrono::steady_clock::now() < end) {
              if (stop.stop_requested()) throw convbasis::Cancelled();
              std::this_thread::sleep_for(1ms);
            }
            return "record of " + std::to_string(head);
          }};
}

/// A follower in a thread of its own. A dead one hears nothing more, and ends when it is tired of that.
struct FollowerThread {
  FollowerThread(Post& post, int rank, AtlasTask task, std::string failure = {})
      : transport(post, rank), thread([this, task = std::move(task), failure = std::move(failure)] {
          try {
            follow_atlas(task, failure, transport, {}, quick);
          } catch (const std::exception& thrown) {
            error = thrown.what();
          }
        }) {}
  PostTransport transport;
  std::string error;
  std::jthread thread;
};

/// A leader's run over heads 0 ... count - 1.
struct Lead {
  std::map<Index, int> finished;  ///< how often
  std::vector<std::string> warnings;

  void run(RankTransport* transport, const AtlasTask& task, Index count, const std::function<void()>& each = {}) {
    std::vector<Index> todo(static_cast<std::size_t>(count));
    std::iota(todo.begin(), todo.end(), Index{0});
    AtlasLeader leader(
        transport, [this](const std::string& line) { warnings.push_back(line); }, quick);
    leader.run(task, todo,
               [&](Index head, const std::string& record) {
                 EXPECT_EQ(record, "record of " + std::to_string(head));
                 ++finished[head];
                 if (each) each();
               },
               {});
    leader.close();
  }
  void expect_each_once(Index count) const {
    ASSERT_EQ(std::ssize(finished), count);
    for (const auto& [head, times] : finished) EXPECT_EQ(times, 1) << head;
  }
};

TEST(AtlasRanks, AloneItDoesEveryHead) {
  for (const Index count : {0, 1, 2, 37}) {
    Lead lead;
    lead.run(nullptr, task_of(0ms, 3), count);
    lead.expect_each_once(count);
  }
}

TEST(AtlasRanks, HeadsAreSharedAndAllLeaveTogether) {
  Post post(4);
  PostTransport transport(post, 0);
  std::vector<std::unique_ptr<FollowerThread>> followers;
  for (int rank = 1; rank < 4; ++rank) followers.push_back(std::make_unique<FollowerThread>(post, rank, task_of(2ms)));
  Lead lead;
  lead.run(&transport, task_of(2ms), 60);
  lead.expect_each_once(60);
  EXPECT_TRUE(lead.warnings.empty());
  EXPECT_EQ(transport.ended_together, true);
  for (auto& follower : followers) {
    follower->thread.join();
    EXPECT_EQ(follower->error, "");
    EXPECT_EQ(follower->transport.ended_together, true);
  }
}

TEST(AtlasRanks, DeadRanksCostOnlyTime) {
  std::mt19937 rng(5);
  for (int round = 0; round < 3; ++round) {
    Post post(4);
    PostTransport transport(post, 0);
    std::vector<std::unique_ptr<FollowerThread>> followers;
    for (int rank = 1; rank < 4; ++rank) followers.push_back(std::make_unique<FollowerThread>(post, rank, task_of(5ms)));
    Lead lead;
    const std::size_t when = 3 + rng() % 20;
    lead.run(&transport, task_of(5ms), 60, [&] {
      if (lead.finished.size() == when) post.kill(1 + round % 3);
      if (round == 2 && lead.finished.size() == when + 5) post.kill(1);
    });
    lead.expect_each_once(60);
    EXPECT_EQ(transport.ended_together, false) << "a dead rank cannot agree";
    for (int rank = 1; rank < 4; ++rank) {
      FollowerThread& follower = *followers[static_cast<std::size_t>(rank - 1)];
      follower.thread.join();
      EXPECT_EQ(follower.error.empty(), !post.is_dead(rank));
    }
  }
}

TEST(AtlasRanks, HeadsOfASilentRankGoToOthers) {
  Post post(2);
  PostTransport transport(post, 0);
  post.deliver(1, 0, "hello 2 same nowhere");  // and nothing ever after
  Lead lead;
  lead.run(&transport, task_of(1ms), 20);
  lead.expect_each_once(20);
  EXPECT_THAT(lead.warnings, Contains(HasSubstr("rank 1 on nowhere has been silent for 0.3 s; what it had under way (2 heads)")));
}

TEST(AtlasRanks, ALateRecordIsTakenOnce) {
  Post post(2);
  PostTransport transport(post, 0);
  post.deliver(1, 0, "hello 1 same nowhere");
  Lead lead;
  bool sent = false;
  std::jthread late([&] {
    std::string head;
    while (head.empty()) {
      std::this_thread::sleep_for(1ms);
      const auto message = post.fetch(1);
      if (message && message->text.starts_with("head ")) head = message->text.substr(5);
    }
    std::this_thread::sleep_for(quick.patience + 200ms);  // by now it has been given to others
    for (int times = 0; times < 2; ++times) post.deliver(1, 0, "record " + head + " record of " + head);
    sent = true;
  });
  lead.run(&transport, task_of(40ms, 1), 20);
  late.join();
  EXPECT_TRUE(sent);
  lead.expect_each_once(20);
  EXPECT_THAT(lead.warnings, Contains(HasSubstr("is back")));
}

TEST(AtlasRanks, ARankThatCannotHelpSaysWhy) {
  Post post(3);
  PostTransport transport(post, 0);
  FollowerThread failing(post, 1, task_of(0ms), "x.npy: does not exist");
  AtlasTask broken = task_of(0ms);
  broken.look = [](Index, const std::stop_token&) -> std::string { throw std::bad_alloc(); };
  FollowerThread starving(post, 2, broken);
  Lead lead;
  lead.run(&transport, task_of(10ms), 40);
  lead.expect_each_once(40);
  EXPECT_THAT(lead.warnings, Contains(HasSubstr("cannot help: x.npy: does not exist")));
  EXPECT_THAT(lead.warnings, Contains(HasSubstr("cannot help: std::bad_alloc")));
  EXPECT_EQ(transport.ended_together, true);
}

TEST(AtlasRanks, ARankOfAnotherTaskGetsNoWork) {
  Post post(2);
  PostTransport transport(post, 0);
  AtlasTask other = task_of(0ms, 2, "other");
  other.look = [](Index, const std::stop_token&) -> std::string { return "wrong"; };
  FollowerThread follower(post, 1, other);
  Lead lead;
  lead.run(&transport, task_of(5ms), 30);
  lead.expect_each_once(30);
  EXPECT_THAT(lead.warnings, Contains(HasSubstr("other files, options or another version")));
}

TEST(AtlasRanks, AFailureOfTheLeaderSendsAllHome) {
  Post post(2);
  PostTransport transport(post, 0);
  FollowerThread follower(post, 1, task_of(1ms));
  AtlasTask broken = task_of(0ms);
  broken.look = [](Index, const std::stop_token&) -> std::string { throw convbasis::Error("broken"); };
  Lead lead;
  EXPECT_THROW(lead.run(&transport, broken, 10), convbasis::Error);
  follower.thread.join();
  EXPECT_EQ(follower.error, "");
  EXPECT_EQ(transport.ended_together, true);
}

TEST(AtlasRanks, WithoutALeaderAFollowerEnds) {
  Post post(2);
  FollowerThread follower(post, 1, task_of(1ms));
  follower.thread.join();
  EXPECT_THAT(follower.error, HasSubstr("rank 0 has been silent for 0.3 s"));
}

TEST(AtlasRanks, AStopEndsTheRun) {
  std::stop_source stop;
  RunContext context;
  context.stop = stop.get_token();
  AtlasLeader leader(nullptr, {});
  const std::vector<Index> todo = {0, 1, 2};
  std::jthread stopping([&] {
    std::this_thread::sleep_for(30ms);
    stop.request_stop();
  });
  EXPECT_THROW(leader.run(
                   task_of(1h), todo, [](Index, const std::string&) {}, context),
               convbasis::Cancelled);
}

TEST(AtlasRanks, StrangeMessagesDoNoHarm) {
  Post post(2);
  PostTransport transport(post, 0);
  for (const char* text : {"", "record", "record x y", "record 999999 z", "hello", "hello -3 same", "bye bye", "head 3"}) {
    post.deliver(1, 0, text);
  }
  Lead lead;
  lead.run(&transport, task_of(0ms), 8);
  lead.expect_each_once(8);
}

}  // namespace
}  // namespace convscope
