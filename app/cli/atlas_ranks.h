/// \file
/// An atlas by several processes: rank 0 hands out heads one by one, looks at some itself, and collects the records; the others
/// follow. A rank that is silent for a while is taken for dead, and its heads go back to those that wait. A rank that comes back
/// is welcome: the record of a head is the same whoever makes it.
///
/// Messages are a word and what belongs to it. From followers: "hello THREADS IDENTITY HOST", "alive", "record HEAD TEXT",
/// "failed WHY", "bye"; from the leader: "head HEAD", "alive", "done" (answered by "bye"), "leave together" or "leave apart".
#pragma once

#include "cli/atlas_workers.h"
#include "cli/rank_transport.h"
#include "core/run_context.h"

#include <chrono>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

struct RankTiming {
  std::chrono::milliseconds beat{1000};       ///< between signs of life
  std::chrono::milliseconds patience{10000};  ///< after which a silent rank is taken for dead
};

/// What every rank needs to look at heads.
struct AtlasTask {
  std::string identity;  ///< of program, files and options, without spaces: ranks of another one get no work
  int threads = 1;       ///< heads at once
  AtlasWorkers::Look look;
};

/// Rank 0, or the only process. Used by one thread.
class AtlasLeader {
 public:
  using Warn = std::function<void(const std::string& line)>;

  /// `ranks` may be null: no others. It must outlive the leader.
  AtlasLeader(RankTransport* ranks, Warn warn, RankTiming timing = {});
  /// Calls close() where that has not been done.
  ~AtlasLeader();
  AtlasLeader(const AtlasLeader&) = delete;
  AtlasLeader& operator=(const AtlasLeader&) = delete;

  /// Calls `finished` for every head in `todo` once, in any order. Throws what `look` and `finished` throw, and Cancelled.
  void run(const AtlasTask& task, std::span<const Index> todo,
           const std::function<void(Index head, const std::string& record)>& finished, const convbasis::RunContext& context);
  /// Sends the others home and waits for their answer, no longer than the timing's patience.
  void close();

 private:
  using Clock = std::chrono::steady_clock;
  struct Follower {
    bool welcome = false;  ///< has said hello, and is of the same task
    bool lost = false;     ///< has been silent for too long
    bool gone = false;     ///< has said bye
    int idle = 0;          ///< heads that it could begin
    std::set<Index> heads;
    std::string name;  ///< for people
    Clock::time_point heard;
  };

  void hand_out(AtlasWorkers& workers);
  void listen();
  void hear(int rank, std::string_view text);
  void greet(Follower& follower, std::string_view text);
  void give_up(Follower& follower);
  void beat();
  void take(Index head, const std::string& record);

  RankTransport* ranks_;
  Warn warn_;
  RankTiming timing_;
  std::vector<Follower> followers_;  ///< by rank; that of rank 0 is not used
  std::string identity_;
  std::function<void(Index, const std::string&)> finished_;
  std::set<Index> waiting_, unfinished_;
  Clock::time_point last_beat_;
  bool closed_ = false;
};

/// Any other rank: looks at heads until it is sent home. With a `failure` it looks at none, and the leader is told why. Throws
/// Error when the leader has been silent for too long, Cancelled.
void follow_atlas(const AtlasTask& task, const std::string& failure, RankTransport& ranks, const convbasis::RunContext& context,
                  RankTiming timing = {});

}  // namespace convscope
