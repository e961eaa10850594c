/// \file
/// Measures the runtime curves of this machine in the background, while nothing else uses it.
#pragma once

#include "analysis/runtime_curve.h"
#include "attention/accelerator.h"
#include "core/run_context.h"
#include "state/idle_worker.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

using convbasis::CurvePoint;
using convbasis::Index;

/// What curves depend on; other than n.
struct RuntimeSetting {
  Index d = 64;                                                 ///< width of query, key and value
  Index k = 16;                                                 ///< lag vectors of the planted input
  Index degree = 2;                                             ///< of the features of method rank
  int threads = 0;                                              ///< 0: all
  std::shared_ptr<const convbasis::Accelerator> gpu = nullptr;  ///< measured beside the CPU; null: none
  bool operator==(const RuntimeSetting&) const = default;
};

struct RuntimeView {
  RuntimeSetting setting;
  std::vector<CurvePoint> points;   ///< so far
  std::vector<CurvePoint> earlier;  ///< of another setting, to show until `points` is complete; empty when there is none
  RuntimeSetting earlier_setting;
  enum class State : std::uint8_t { unasked, paused, measuring, stopped, done, failed };
  State state = State::unasked;
  Index n = 0;          ///< what is being measured, or would be
  std::string failure;  ///< one line, with State::failed
};

/// Measures 256, 512, ... 32768 tokens for exact attention, the conv schemes, the planner and low rank, and for exact and conv
/// attention on a GPU, one n after the other. A method that is expected to take over a second is not run: its time is carried on
/// from the n before and marked. A GPU that fails is left out from there on. A pause gives up the n that is being measured, so
/// that no time was taken while something else ran.
///
/// All methods are for one thread (the window's) and return at once; `wake` is called from a worker when points have arrived.
class RuntimeMeasurer {
 public:
  using Measure = std::function<std::vector<CurvePoint>(const convbasis::CurveRequest&, const convbasis::RunContext&)>;

  /// `measure` takes the times: convbasis::measure_curve, but for tests.
  explicit RuntimeMeasurer(std::function<void()> wake, Measure measure = {});

  /// Sets what is to be measured. Nothing happens until the first call, and nothing new while the setting stays.
  void want(const RuntimeSetting& wish);
  void pause(bool paused) { worker_.pause(paused); }
  /// Stops measuring, also for later settings, until again().
  void stop();
  /// Measures the wanted setting anew.
  void again();
  IdleWorker::State state() const { return worker_.state(); }

  RuntimeView view() const;

 private:
  /// The points of one setting, shared with the worker, which may outlast the wish for them.
  struct Curves {
    RuntimeSetting setting;
    std::vector<Index> sizes;
    mutable std::mutex mutex;
    std::vector<CurvePoint> points;
    std::size_t sizes_done = 0;
    bool gpu_failed = false;
  };

  static std::shared_ptr<Curves> make_curves(const RuntimeSetting& setting);
  static std::vector<CurvePoint> measure_at(Index n, std::vector<std::string> methods, Curves& curves, const Measure& measure,
                                            const std::stop_token& stop);
  static bool measure_next(Curves& curves, const Measure& measure, const std::stop_token& stop);
  static bool complete(const Curves& curves);
  void start();

  Measure measure_;
  bool stopped_ = false;
  std::shared_ptr<Curves> current_;             ///< null until the first want()
  std::shared_ptr<Curves> earlier_;             ///< complete ones of another setting, or null
  std::deque<std::shared_ptr<Curves>> recent_;  ///< begun ones, newest first
  IdleWorker worker_;                           ///< last: its thread ends before the rest goes
};

/// How long `method` is expected to take at n: from its last point in `points`, or by the cost model where it has none.
double expected_seconds(std::string_view method, Index n, const RuntimeSetting& setting, std::span<const CurvePoint> points);

}  // namespace convscope
