/// \file
/// The gradients of the head that is shown by each backward pass, made in the background.
#pragma once

#include "analysis/head_analysis.h"
#include "state/analysis_request.h"
#include "state/training_request.h"
#include "state/watched_job.h"
#include "training/gradients.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace convscope {

/// A comparison, of either precision, and what made it: "CPU", "GPU 0 (name)".
struct HeadComparison : convbasis::GradientComparison<double> {
  std::string device = "CPU";
};

/// Compares the gradients of one request at a time, as `convscope train --head-gradients` does. The last comparison stays until
/// the next is there. While nobody looks nothing is made.
///
/// All methods are for one thread (the window's) and return at once; `wake` is called from the worker when poll() has something
/// to take.
class HeadGradients {
 public:
  using Analysis = convbasis::HeadAnalysis<float>;
  using Comparison = HeadComparison;

  /// Of longer heads the gradients of the first so many tokens are compared: the exact backward costs n^2 d.
  static constexpr Index token_limit = 8192;

  explicit HeadGradients(std::function<void()> wake) : job_(std::move(wake)) {}

  /// Sets whose gradients are wanted: those of the head that `analysis` is of, with the tokens and Recover's parameters of
  /// `request`, and for an output gradient of random normal numbers of this seed. Null for none.
  void want(std::shared_ptr<const Analysis> analysis, const AnalysisRequest& request, std::uint64_t seed,
            Precision precision = Precision::f64, const ChosenDevice& device = {});
  /// Nothing is begun while it is not; what runs is stopped.
  void show(bool shown) { job_.show(shown); }
  /// Takes what has finished, and begins what is wanted. Call once a frame.
  void poll();

  /// The last one that was made; null before the first.
  const std::shared_ptr<const Comparison>& comparison() const { return job_.result(); }
  Index n() const { return job_.made_of() ? job_.made_of()->n : 0; }  ///< tokens of comparison()
  /// comparison() is not that of the wanted request.
  bool stale() const { return job_.stale(); }
  bool busy() const { return job_.busy(); }
  /// The wanted one is still to come.
  bool pending() const { return job_.pending(); }
  /// Why there is none for the wanted request, one line; empty normally.
  std::string failure() const { return job_.failure(); }

 private:
  /// What a comparison depends on.
  struct Key {
    std::uint64_t source = 0;
    Index layer = 0, head = 0, n = 0;
    convbasis::RecoverOptions recover;
    std::uint64_t seed = 0;
    Precision precision = Precision::f64;
    std::shared_ptr<const convbasis::Accelerator> accelerator;
    bool operator==(const Key&) const = default;
  };

  template <convbasis::Real T>
  static HeadComparison compare(const Analysis& analysis, const Key& key, const convbasis::RunContext& context);

  std::shared_ptr<const Analysis> analysis_;
  WatchedJob<Key, Comparison> job_;  ///< last: its thread ends before the rest goes
};

}  // namespace convscope
