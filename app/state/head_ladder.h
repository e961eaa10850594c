/// \file
/// The ladder of the head that is shown, made in the background: what each ingredient explains, and what it costs.
#pragma once

#include "analysis/head_analysis.h"
#include "analysis/ladder.h"
#include "state/analysis_request.h"
#include "state/watched_job.h"

#include <functional>
#include <memory>
#include <string>

namespace convscope {

/// Makes the ladder of one request at a time. The last one stays until the next is there. While nobody looks nothing is made.
///
/// All methods are for one thread (the window's) and return at once; `wake` is called from the worker when poll() has something
/// to take.
class HeadLadder {
 public:
  using Analysis = convbasis::HeadAnalysis<float>;
  using Ladder = convbasis::Ladder;

  explicit HeadLadder(std::function<void()> wake) : job_(std::move(wake)) {}

  /// Sets whose ladder is wanted: that of the head, tokens, k, band and columns of the request which `analysis` answers; null for
  /// none. What only Recover reads changes nothing.
  void want(std::shared_ptr<const Analysis> analysis, const AnalysisRequest& request);
  /// Nothing is begun while it is not; what runs is stopped.
  void show(bool shown) { job_.show(shown); }
  /// Takes what has finished, and begins what is wanted. Call once a frame.
  void poll();

  /// The last one that was made; null before the first.
  const std::shared_ptr<const Ladder>& ladder() const { return job_.result(); }
  /// ladder() is not that of the wanted request.
  bool stale() const { return job_.stale(); }
  bool busy() const { return job_.busy(); }
  /// The wanted one is still to come.
  bool pending() const { return job_.pending(); }
  /// Why there is none for the wanted request, one line; empty normally.
  std::string failure() const { return job_.failure(); }

 private:
  /// What a ladder depends on.
  struct Key {
    std::uint64_t source = 0;
    Index layer = 0, head = 0, n = 0, k = 0, band = 0, columns = 0;
    Index rows = 0;  ///< whose exact output is known
    bool operator==(const Key&) const = default;
  };

  std::shared_ptr<const Analysis> analysis_;
  WatchedJob<Key, Ladder> job_;  ///< last: its thread ends before the rest goes
};

/// What a rung is made of, for people: "16 columns + band of 64".
std::string rung_label(const convbasis::LadderRung& rung);
/// Its ingredient in a sentence, for a tooltip.
std::string_view rung_help(std::string_view key);

}  // namespace convscope
