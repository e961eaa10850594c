/// \file
/// Summaries of all heads of a source, made one after the other in the background.
#pragma once

#include "analysis/head_summary.h"
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

/// What is known about one head.
struct SurveyedHead {
  std::shared_ptr<const convbasis::HeadSummary> summary;  ///< null when it failed, or while it is waiting
  bool stale = false;                                     ///< its error still belongs to an earlier k
  std::string failure;                                    ///< why there is no summary, one line

  bool operator==(const SurveyedHead&) const = default;
};

struct SurveyProgress {
  Index done = 0, total = 0;  ///< heads
  bool running = false;       ///< work is waiting or under way, and not held
  bool held = false;          ///< work is waiting for hold(false)
  double seconds_left = 0.0;  ///< an estimate; 0 before the first head is done
};

/// "57 of 270 heads, about 40 s left" and the like.
std::string progress_text(const SurveyProgress& progress);

/// One worker thread of low priority: it leaves one processor to others, and hold(true) stops it within milliseconds. Results
/// arrive head by head and stay when the work is cancelled.
///
/// All methods are for one thread (the window's) and return at once. `wake` is called from the worker when poll() has something
/// to take, at most about four times a second but for the last head. Destruction stops the work and waits for it: some
/// milliseconds.
class HeadSurvey {
 public:
  using LayerHead = std::pair<Index, Index>;

  explicit HeadSurvey(std::function<void()> wake);
  ~HeadSurvey();
  HeadSurvey(const HeadSurvey&) = delete;
  HeadSurvey& operator=(const HeadSurvey&) = delete;

  /// Says what is to be known: every head of `source` (null: none) at its first n tokens (fewer where a layer has fewer; k and T
  /// are cut to them). The same wish again costs nothing. Results of another source, n or options are forgotten; where only
  /// k changed they stay, stale, until their errors are made anew.
  void want(std::shared_ptr<const Source> source, Index n, const convbasis::HeadSummaryOptions& options);
  /// Begins or goes on with all heads that lack a result, and after another want() begins by itself. Failed heads are tried
  /// again only after another want().
  void start();
  /// Stops the work until the next start(); keeps the results.
  void cancel();
  /// While held, nothing runs; the head under way is begun again afterwards.
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
  const convbasis::HeadSummaryOptions& options() const { return options_; }

 private:
  struct Job {
    LayerHead place;
    Index n = 0;
    convbasis::HeadSummaryOptions options;
    std::shared_ptr<const convbasis::HeadSummary> earlier;  ///< of another k
    std::shared_ptr<const Source> source;
  };
  struct Arrival {
    std::uint64_t round = 0;
    LayerHead place;
    SurveyedHead head;
    double seconds = 0.0;
  };

  void stop();
  void forget();
  void take_other_k();
  Job job_for(const convbasis::LayerInfo& layer, Index head) const;
  void work(const std::stop_token& quit);
  static SurveyedHead run(const Job& job, const std::stop_token& stop);

  // Of the window's thread.
  std::function<void()> wake_;
  std::shared_ptr<const Source> source_;
  Index n_ = 0;
  convbasis::HeadSummaryOptions options_;
  std::map<LayerHead, SurveyedHead> heads_;
  std::uint64_t version_ = 1;
  bool started_ = false;
  Index total_ = 0;
  double seconds_ = 0.0;  ///< that `measured_` heads took
  Index measured_ = 0;

  mutable std::mutex mutex_;  // guards all that follows
  std::condition_variable_any changed_;
  std::deque<Job> waiting_;
  std::uint64_t round_ = 1;  ///< results of earlier rounds are not wanted any more
  bool working_ = false;
  bool held_ = false;
  std::vector<Arrival> arrived_;
  std::stop_source running_{std::nostopstate};
  std::chrono::steady_clock::time_point last_wake_;

  std::jthread thread_;  // last: it starts when everything else exists, and stops first
};

}  // namespace convscope
