/// \file
/// The error against k of the head that is shown, computed in the background.
#pragma once

#include "analysis/error_by_k.h"
#include "analysis/head_analysis.h"
#include "analysis/yardsticks.h"
#include "state/analysis_request.h"
#include "state/idle_worker.h"

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace convscope {

using convbasis::KError;

/// The curve as far as it is known.
struct ErrorCurveView {
  std::vector<KError> points;  ///< k ascending
  Index largest = 0;           ///< the largest k that is looked at; 0 when there is no curve to compute
  bool complete = false;       ///< all of the ladder is there, and the smallest k below the target is settled
  std::string failure;         ///< why it never will be; empty normally
};

/// Computes the curve of one request at a time, whatever its k is: from one recovery, or one SVD, with the largest k. First 1, 2,
/// 3, 4, 6, 8, ..., then the k between two of them where the target error is passed. Recent curves are kept.
///
/// All methods are for one thread (the window's) and return at once; `wake` is called from a worker when a point has arrived.
class ErrorCurve {
 public:
  using Analysis = convbasis::HeadAnalysis<float>;

  explicit ErrorCurve(std::function<void()> wake);

  /// Sets whose curve is wanted: that of the request which `analysis` answers; null for none. Costs nothing while only k changes.
  void want(const std::shared_ptr<const Analysis>& analysis, const AnalysisRequest& request);
  /// The error to get below, as a share: 0.05 for 5 %.
  void set_target(double target);
  double target() const { return target_; }
  /// While paused nothing is computed; the point under way is begun again later.
  void pause(bool paused) { worker_.pause(paused); }
  IdleWorker::State state() const { return worker_.state(); }

  ErrorCurveView view() const;
  /// True when the curve is that of `request`, whatever its k.
  bool is_of(const AnalysisRequest& request) const;

 private:
  /// The points of one curve, shared with the worker, which may outlast the wish for it.
  struct Curve {
    AnalysisRequest key;  ///< k is 0
    Index largest = 0;
    mutable std::mutex mutex;
    std::vector<KError> points;
    bool complete = false;
  };

  /// What all points are computed from: one of the two, once there is anything.
  struct Parts {
    std::optional<convbasis::ConvBasis<float>> basis;
    std::optional<convbasis::MatrixFactors<float>> factors;
    Index count() const { return factors ? factors->left.cols() : basis->count(); }
  };

  void compute();
  static Parts find_parts(const Curve& curve, const Analysis& analysis, const convbasis::RunContext& context);
  static bool add_point(Curve& curve, const Analysis& analysis, std::optional<Parts>& parts, double target,
                        const std::stop_token& stop);

  double target_ = 0.05;
  std::shared_ptr<const Analysis> analysis_;
  std::shared_ptr<Curve> curve_;               ///< the wanted one; null for none
  std::deque<std::shared_ptr<Curve>> recent_;  ///< newest first
  IdleWorker worker_;                          ///< last: its thread ends before the rest goes
};

}  // namespace convscope
