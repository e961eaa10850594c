/// \file
/// Summaries of all heads of a source and then their ladders, made one after the other in the background.
#pragma once

#include "analysis/head_summary.h"
#include "analysis/ladder.h"
#include "state/source.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace convscope {

/// What is to be known about every head.
struct SurveyOptions {
  convbasis::HeadSummaryOptions summary = {};
  convbasis::LadderOptions ladder = {.heldout = false, .yardsticks = false};
  bool ladders = false;  ///< make them too, once all summaries are there: they take up to twice as long

  bool operator==(const SurveyOptions&) const = default;
};

/// What is known about one head.
struct SurveyedHead {
  std::shared_ptr<const convbasis::HeadSummary> summary;  ///< null when it failed, or while it is waiting
  bool stale = false;                                     ///< its error still belongs to an earlier k
  std::string failure;                                    ///< why there is no summary, one line
  std::shared_ptr<const convbasis::Ladder> ladder;        ///< null when it failed, while it is waiting, or when none is wanted
  bool ladder_stale = false;                              ///< it still belongs to an earlier band, columns or k
  std::string ladder_failure;                             ///< why there is no ladder though it is wanted, one line

  bool operator==(const SurveyedHead&) const = default;
};

struct SurveyProgress {
  Index done = 0, total = 0;                  ///< heads
  Index ladders_done = 0, ladders_total = 0;  ///< heads with their ladders; 0 when none are wanted
  bool running = false;                       ///< work is waiting or under way, and not held
  bool held = false;                          ///< work is waiting for hold(false)
  double seconds_left = 0.0;                  ///< of the pass under way, an estimate; 0 before its first head is done

  bool complete() const { return done == total && ladders_done == ladders_total; }
};

/// "57 of 270 heads, about 40 s left", "270 heads, ladders of 12, about 3 min left" and the like.
std::string progress_text(const SurveyProgress& progress);

/// One worker thread of low priority, which leaves one processor to others. Results arrive head by head and stay when the work
/// is cancelled.
///
/// While held no head is begun. The one under way is not thrown away, or a long ladder would never be done beside somebody who
/// works: it goes on to its end on the one low-priority thread. Where more threads were at it, it is begun again with that one.
///
/// All methods are for one thread (the window's) and return at once. `wake` is called from the worker when poll() has something
/// to take, at most about four times a second but for the last head. Destruction stops the work and waits for it: some
/// milliseconds.
class HeadSurvey {
 public:
  using LayerHead = std::pair<Index, Index>;

  /// Longer heads get no ladder. Its time grows with n^2, twice that of a summary: on one thread 1 s at 8192 tokens, 4 s at
  /// 16384.
  static constexpr Index ladder_limit = 32768;

  explicit HeadSurvey(std::function<void()> wake);
  ~HeadSurvey();
  HeadSurvey(const HeadSurvey&) = delete;
  HeadSurvey& operator=(const HeadSurvey&) = delete;

  /// Says what is to be known: every head of `source` (null: none) at its first n tokens (fewer where a layer has fewer; k, T,
  /// band and columns are cut to them). The same wish again costs nothing. Results of another source, n or summary options are
  /// forgotten; where only k or the ladder's options changed they stay, stale, until they are made anew. Ladders that are there
  /// stay when no more are wanted.
  void want(std::shared_ptr<const Source> source, Index n, const SurveyOptions& options);
  /// Begins or goes on with all heads that lack a result, and after another want() begins by itself. Failed heads are tried
  /// again only after another want().
  void start();
  /// Stops the work until the next start(); keeps the results.
  void cancel();
  /// While held, nothing is begun; the head under way is still finished, on one thread.
  void hold(bool held);
  /// Takes what has finished. Call once a frame.
  void poll();

  /// True from start() to cancel().
  bool started() const { return started_; }

  /// By layer and head, without those that nothing is known about.
  const std::map<LayerHead, SurveyedHead>& heads() const { return heads_; }
  /// Another number whenever heads() is changed.
  std::uint64_t version() const { return version_; }
  SurveyProgress progress() const;
  const std::shared_ptr<const Source>& source() const { return source_; }
  Index n() const { return n_; }
  const SurveyOptions& options() const { return options_; }

 private:
  struct Job {
    LayerHead place;
    Index n = 0;
    SurveyOptions options;                                  ///< cut to n
    bool ladder = false;                                    ///< it is wanted, else the summary
    bool one_thread = false;                                ///< it was held once
    std::shared_ptr<const convbasis::HeadSummary> earlier;  ///< of another k
    std::shared_ptr<const Source> source;
  };
  struct Arrival {
    std::uint64_t round = 0;
    LayerHead place;
    bool ladder = false;
    SurveyedHead head;  ///< with what the job was for, nothing else
    double seconds = 0.0;
  };
  /// Finished jobs of a kind, for estimates.
  struct Pace {
    double seconds = 0.0;
    Index jobs = 0;
    double left(Index more) const { return jobs > 0 ? seconds / static_cast<double>(jobs) * static_cast<double>(more) : 0.0; }
  };

  void stop();
  void forget();
  void take_other_k();
  void take_other_ladder();
  std::deque<Job> jobs() const;
  Job job_for(const convbasis::LayerInfo& layer, Index head) const;
  void take(Arrival arrival);
  void work(const std::stop_token& quit);
  bool may_begin() const { return !waiting_.empty() && (!held_ || waiting_.front().one_thread); }
  static SurveyedHead run(const Job& job, const convbasis::RunContext& context);

  // Of the window's thread.
  std::function<void()> wake_;
  std::shared_ptr<const Source> source_;
  Index n_ = 0;
  SurveyOptions options_;
  std::map<LayerHead, SurveyedHead> heads_;
  std::uint64_t version_ = 1;
  bool started_ = false;
  Index total_ = 0;
  Pace summary_pace_, ladder_pace_;

  mutable std::mutex mutex_;  // guards all that follows
  std::condition_variable_any changed_;
  std::deque<Job> waiting_;
  std::uint64_t round_ = 1;  ///< results of earlier rounds are not wanted any more
  bool working_ = false;
  bool many_threads_ = false;  ///< are at work
  bool held_ = false;
  std::vector<Arrival> arrived_;
  std::stop_source running_{std::nostopstate};
  std::chrono::steady_clock::time_point last_wake_;

  std::jthread thread_;  // last: it starts when everything else exists, and stops first
};

}  // namespace convscope
