/// \file
/// Runs the window's work - opening sources and analysing heads - on one background thread, so that a frame never waits.
#pragma once

#include "analysis/head_analysis.h"
#include "state/analysis_request.h"
#include "state/device_wish.h"
#include "state/source.h"

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

namespace convscope {

/// An error as the window shows it, and as an exit code where there is no window.
struct Failure {
  enum class Kind { argument, file, other };
  Kind kind = Kind::other;
  std::string text;  ///< one line
};

struct OpenResult {
  std::uint64_t id = 0;                  ///< as given to open()
  std::shared_ptr<const Source> source;  ///< null when it failed
  Failure failure;
};

/// An analysis and what it belongs to. For many tokens it comes in parts, each of which takes the place of the one before: first
/// what maps are drawn from, then errors over some rows, then, unless that would take too long, over all rows.
struct AnalysisResult {
  AnalysisRequest request;
  std::shared_ptr<const Source> source;
  std::shared_ptr<const convbasis::HeadAnalysis<float>> analysis;  ///< null when it failed
  std::uint64_t exact_id = 0;                                      ///< changes whenever the exact part does
  std::uint64_t approximation_id = 0;                              ///< another one for every request
  std::shared_ptr<const convbasis::Accelerator> accelerator;       ///< what was to help the CPU; null: nothing
  DeviceWish wish;                                                 ///< that it came from
  std::string device = "CPU";                                      ///< what did the work: "CPU", "GPU 0 (name)"
  bool last = false;                                               ///< there is no more to come for this request
  Failure failure;
};

struct Progress {
  bool busy = false;      ///< something is waiting, running, or finished and not taken yet
  std::string stage;      ///< "exact attention", ...
  double fraction = 0.0;  ///< of that stage, in [0, 1]
};

/// One worker thread. Of each kind of job only the newest waiting one is kept, and a newer job stops the running analysis, so
/// dragging a slider never builds a queue, and what a stopped analysis had found is never delivered. When only k, T, delta, eps
/// or the search changed, exact attention is not repeated; on another device it is.
///
/// All methods are for one thread (the window's); `wake` is called from the worker whenever a result can be taken.
/// Destruction stops the running work and waits for it: some milliseconds.
class AnalysisRunner {
 public:
  explicit AnalysisRunner(std::function<void()> wake);
  ~AnalysisRunner();
  AnalysisRunner(const AnalysisRunner&) = delete;
  AnalysisRunner& operator=(const AnalysisRunner&) = delete;

  void open(std::uint64_t id, SourceRecipe recipe);
  /// On the CPU, or where it can on the device, which must be known for so many tokens.
  void analyze(std::shared_ptr<const Source> source, const AnalysisRequest& request, const ChosenDevice& device = {});
  /// Stops the running analysis and forgets the waiting job. Opening files cannot be stopped; it reads headers only.
  void cancel();

  /// What has finished since the last call; empty when nothing has.
  std::optional<OpenResult> take_opened();
  std::optional<AnalysisResult> take_analysis();
  Progress progress() const;

 private:
  struct OpenJob {
    std::uint64_t id;
    SourceRecipe recipe;
  };
  struct AnalysisJob {
    std::shared_ptr<const Source> source;
    AnalysisRequest request;
    std::shared_ptr<const convbasis::Accelerator> accelerator;
    DeviceWish wish;
  };

  void work(const std::stop_token& quit);
  OpenResult run(const OpenJob& job) const;
  void run(const AnalysisJob& job, const std::stop_token& stop);
  void compute(const AnalysisJob& job, const std::stop_token& stop);
  AnalysisResult begin(const AnalysisJob& job, bool again);
  void publish(AnalysisResult result, const std::stop_token& stop);
  void report(std::string_view stage, double fraction);

  std::function<void()> wake_;

  // Touched by the worker only: the last one delivered, whose exact part can be used again.
  std::optional<AnalysisResult> last_;
  bool exact_accelerated_ = false;  // of that exact part
  std::uint64_t next_id_ = 1;

  mutable std::mutex mutex_;  // guards all that follows
  std::condition_variable_any work_arrived_;
  std::optional<OpenJob> waiting_open_;
  std::optional<AnalysisJob> waiting_analysis_;
  std::optional<OpenResult> opened_;
  std::optional<AnalysisResult> analysed_;
  std::stop_source running_{std::nostopstate};
  bool working_ = false;
  Progress progress_;  // but for busy

  std::jthread thread_;  // last: it starts when everything else exists, and stops first
};

}  // namespace convscope
