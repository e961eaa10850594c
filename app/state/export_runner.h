/// \file
/// Carries out one export at a time without holding up a frame: prepare on a worker, paint on the window's thread in short steps,
/// write on a worker.
#pragma once

#include "core/run_context.h"
#include "state/analysis_runner.h"

#include <atomic>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace convscope {

/// The three parts of an export. What they share they hold by shared pointers: a cancelled one may be dropped at any time.
struct ExportSteps {
  std::filesystem::path path;                                 ///< for the message
  std::function<void(const convbasis::RunContext&)> prepare;  ///< worker; may be empty
  std::function<bool()> paint;                              ///< window's thread, some milliseconds; true when done; may be empty
  std::function<void(const convbasis::RunContext&)> write;  ///< worker; writes atomically and checks for a stop before it does
};

struct ExportOutcome {
  std::filesystem::path path;
  bool cancelled = false;
  std::optional<Failure> failure;  ///< nothing was written then
};

/// All methods are for the window's thread and return at once. Destruction stops the work and waits for it.
class ExportRunner {
 public:
  /// `wake` is called from any thread when poll() has something to do.
  explicit ExportRunner(std::function<void()> wake);
  ~ExportRunner();
  ExportRunner(const ExportRunner&) = delete;
  ExportRunner& operator=(const ExportRunner&) = delete;

  /// False, and nothing is done, while another export is under way.
  bool start(ExportSteps steps);
  /// Stops the work; the outcome comes with a later poll(). Nothing is written, unless it already had been.
  void cancel();
  /// Does the next step. The outcome, once, when it is over. Call once a frame.
  std::optional<ExportOutcome> poll();

  bool busy() const { return stage_ != Stage::idle; }
  Progress progress() const;

 private:
  enum class Stage { idle, preparing, painting, writing };

  void enter(Stage stage);
  void run_on_worker(std::function<void(const convbasis::RunContext&)> work);
  void paint();
  void next();
  /// Keeps what the exception being handled says.
  void note_failure();
  std::optional<ExportOutcome> finish();

  std::function<void()> wake_;
  Stage stage_ = Stage::idle;
  ExportSteps steps_;
  std::stop_source stop_;
  std::optional<Failure> failure_;  // this and the next are written by the worker before worker_done_
  bool cancelled_ = false;

  mutable std::mutex mutex_;
  Progress progress_;
  std::atomic<bool> worker_done_{false};
  std::jthread worker_;  // last
};

}  // namespace convscope
