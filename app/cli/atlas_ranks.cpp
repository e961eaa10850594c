#include "cli/atlas_ranks.h"

#include "core/errors.h"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace convscope {
namespace {

constexpr std::chrono::milliseconds pause_among_ranks{2};
constexpr std::chrono::milliseconds pause_alone{20};
constexpr std::chrono::milliseconds delivery{100};  ///< for the last messages to leave

/// Cuts the first word off.
std::string_view next_word(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

/// -1 where the word is no number.
Index number_of(std::string_view word) {
  Index value = -1;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size() ? value : -1;
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : "unknown";
}

std::string seconds_of(std::chrono::milliseconds time) {
  return fmt::format("{:g} s", std::chrono::duration<double>(time).count());
}

}  // namespace

AtlasLeader::AtlasLeader(RankTransport* ranks, Warn warn, RankTiming timing)
    : ranks_(ranks), warn_(std::move(warn)), timing_(timing), last_beat_(Clock::now()) {
  followers_.resize(ranks == nullptr ? 1 : static_cast<std::size_t>(ranks->size()));
  for (std::size_t rank = 1; rank < followers_.size(); ++rank) {
    followers_[rank].name = fmt::format("rank {}", rank);
    followers_[rank].heard = Clock::now();
  }
}

AtlasLeader::~AtlasLeader() {
  try {
    close();
  } catch (...) {
    // Only memory can be short here, and the followers give up by themselves.
  }
}

void AtlasLeader::run(const AtlasTask& task, std::span<const Index> todo,
                      const std::function<void(Index, const std::string&)>& finished, const convbasis::RunContext& context) {
  identity_ = task.identity;
  finished_ = finished;
  waiting_ = unfinished_ = std::set<Index>(todo.begin(), todo.end());
  AtlasWorkers workers(task.threads, task.look);
  const auto pause = ranks_ == nullptr ? pause_alone : pause_among_ranks;
  while (!unfinished_.empty()) {
    context.check();
    hand_out(workers);
    if (auto done = workers.take(pause)) {
      if (done->error) std::rethrow_exception(done->error);
      take(done->head, done->record);
    }
    listen();
    beat();
  }
}

void AtlasLeader::hand_out(AtlasWorkers& workers) {
  const auto next = [this] { return waiting_.extract(waiting_.begin()).value(); };
  while (workers.idle() > 0 && !waiting_.empty()) workers.give(next());
  for (std::size_t rank = 1; rank < followers_.size(); ++rank) {
    Follower& follower = followers_[rank];
    while (follower.welcome && !follower.lost && follower.idle > 0 && !waiting_.empty()) {
      const Index head = next();
      follower.heads.insert(head);
      --follower.idle;
      ranks_->send(static_cast<int>(rank), fmt::format("head {}", head));
    }
  }
}

void AtlasLeader::listen() {
  if (ranks_ == nullptr) return;
  while (const auto message = ranks_->receive()) {
    if (message->from > 0 && message->from < static_cast<int>(followers_.size())) hear(message->from, message->text);
  }
}

void AtlasLeader::hear(int rank, std::string_view text) {
  Follower& follower = followers_[static_cast<std::size_t>(rank)];
  follower.heard = Clock::now();
  if (follower.lost) warn_(fmt::format("{} is back", follower.name));
  follower.lost = false;
  const std::string_view word = next_word(text);
  if (word == "hello") {
    greet(follower, text);
  } else if (word == "record") {
    const Index head = number_of(next_word(text));
    ++follower.idle;
    follower.heads.erase(head);
    take(head, std::string(text));
  } else if (word == "failed") {
    if (!closed_) warn_(fmt::format("{} cannot help: {}", follower.name, text));
    follower.welcome = false;
    give_up(follower);
  } else if (word == "bye") {
    follower.gone = true;
    follower.welcome = false;
    give_up(follower);  // nothing is left when it was sent home
  }
}

void AtlasLeader::greet(Follower& follower, std::string_view text) {
  const Index threads = number_of(next_word(text));
  const std::string_view identity = next_word(text);
  follower.name += fmt::format(" on {}", text);
  if (closed_) return;  // too late to help
  if (identity != identity_) {
    warn_(fmt::format("{} has other files, options or another version of the program, so it gets no work", follower.name));
    return;
  }
  follower.welcome = true;
  follower.idle = static_cast<int>(std::clamp<Index>(threads, 1, 4096));
}

void AtlasLeader::give_up(Follower& follower) {
  for (const Index head : follower.heads) {
    if (unfinished_.contains(head)) waiting_.insert(head);
  }
  follower.heads.clear();
}

void AtlasLeader::beat() {
  const auto now = Clock::now();
  if (ranks_ == nullptr || now - last_beat_ < timing_.beat) return;
  last_beat_ = now;
  for (std::size_t rank = 1; rank < followers_.size(); ++rank) {
    Follower& follower = followers_[rank];
    if (follower.gone) continue;
    ranks_->send(static_cast<int>(rank), "alive");
    if (follower.lost || !follower.welcome || now - follower.heard < timing_.patience) continue;
    follower.lost = true;
    warn_(fmt::format("{} has been silent for {}; what it had under way ({} heads) goes to others", follower.name,
                      seconds_of(timing_.patience), follower.heads.size()));
    give_up(follower);
  }
}

void AtlasLeader::take(Index head, const std::string& record) {
  if (unfinished_.erase(head) == 0) return;  // somebody thought lost was quick enough after all
  waiting_.erase(head);
  finished_(head, record);
}

void AtlasLeader::close() {
  if (closed_ || ranks_ == nullptr) return;
  closed_ = true;
  unfinished_.clear();
  const auto each = [this](const std::string& text) {
    for (std::size_t rank = 1; rank < followers_.size(); ++rank) ranks_->send(static_cast<int>(rank), text);
  };
  const auto expected = [this] {
    return std::any_of(followers_.begin() + 1, followers_.end(), [](const Follower& one) { return !one.gone && !one.lost; });
  };
  each("done");
  const auto end = Clock::now() + timing_.patience;
  while (expected() && Clock::now() < end) {
    listen();
    beat();
    std::this_thread::sleep_for(pause_among_ranks);
  }
  const bool together = std::all_of(followers_.begin() + 1, followers_.end(), [](const Follower& one) { return one.gone; });
  each(together ? "leave together" : "leave apart");
  for (const auto sent = Clock::now(); !together && Clock::now() < sent + delivery;) {
    listen();
    std::this_thread::sleep_for(pause_among_ranks);
  }
  ranks_->finish(together);
}

namespace {

/// A rank that is led.
class Follower {
 public:
  Follower(const AtlasTask& task, RankTransport& ranks, RankTiming timing) : ranks_(ranks), timing_(timing) {
    workers_.emplace(task.threads, task.look);
    ranks_.send(0, fmt::format("hello {} {} {}", task.threads, task.identity, host_name()));
  }

  void follow(const convbasis::RunContext& context) {
    while (!left_) {
      context.check();
      hand_in();
      while (const auto message = left_ ? std::nullopt : ranks_.receive()) hear(message->text);
      if (!left_) beat();
    }
  }

 private:
  using Clock = std::chrono::steady_clock;

  void hand_in() {
    if (!workers_) return std::this_thread::sleep_for(pause_among_ranks);
    const auto done = workers_->take(pause_among_ranks);
    if (!done) return;
    if (!done->error) return ranks_.send(0, fmt::format("record {} {}", done->head, done->record));
    try {
      std::rethrow_exception(done->error);
    } catch (const std::exception& error) {
      ranks_.send(0, fmt::format("failed {}", error.what()));
    }
  }

  void hear(std::string_view text) {
    heard_ = Clock::now();
    const std::string_view word = next_word(text);
    if (word == "head" && workers_) workers_->give(number_of(text));
    if (word == "done") {
      workers_.reset();
      ranks_.send(0, "bye");
    }
    if (word == "leave") {
      left_ = true;
      ranks_.finish(text == "together");
    }
  }

  void beat() {
    const auto now = Clock::now();
    if (now - heard_ > timing_.patience) {
      throw convbasis::Error(fmt::format("rank 0 has been silent for {}, so this rank ends", seconds_of(timing_.patience)));
    }
    if (now - last_beat_ < timing_.beat) return;
    last_beat_ = now;
    ranks_.send(0, "alive");
  }

  RankTransport& ranks_;
  RankTiming timing_;
  std::optional<AtlasWorkers> workers_;
  Clock::time_point heard_ = Clock::now(), last_beat_ = heard_;
  bool left_ = false;
};

}  // namespace

void follow_atlas(const AtlasTask& task, const std::string& failure, RankTransport& ranks, const convbasis::RunContext& context,
                  RankTiming timing) {
  Follower follower(task, ranks, timing);
  if (!failure.empty()) ranks.send(0, "failed " + failure);
  follower.follow(context);
}

}  // namespace convscope
