/// \file
/// Attention by whichever way is cheaper on this machine: exact, or recover and convolutions. Mathematics page, section 3.
#pragma once

#include "attention/head.h"
#include "basis/apply.h"
#include "basis/recover.h"
#include "core/cost_model.h"
#include "core/run_context.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace convbasis {

/// What is to be computed, as far as its cost goes.
struct AttentionShape {
  Index n = 0;
  Index width = 0;        ///< d, of query and key
  Index value_width = 0;  ///< d_v
  int threads = 1;
  bool float64 = false;
};

/// Expected wall-clock nanoseconds of exact attention.
double expected_exact_ns(const AttentionShape& shape, const CostModel& model = cost_model());
/// Of recover: k lag vectors from `starts` on, and the probes of T entries that find them.
double expected_recover_ns(const AttentionShape& shape, std::span<const Index> starts, Index T,
                           const CostModel& model = cost_model());
/// Of everything after recover: exponentials, plan and apply. `starts` ascend from 0. No row is expected to need a rescue.
double expected_apply_ns(const AttentionShape& shape, std::span<const Index> starts, const CostModel& model = cost_model());

/// Where k segments are expected to start before they are known: evenly spread.
std::vector<Index> expected_starts(Index n, Index k);

/// The conv way is taken when it is expected to be this many times as fast as exact attention: predictions are not that exact,
/// and exact attention has no error.
inline constexpr double conv_advantage = 1.25;

struct AttentionChoice {
  double exact_ns = 0.0;  ///< expected time of exact attention
  double conv_ns = 0.0;   ///< of the conv way, or of what is left of it
  bool conv() const { return conv_advantage * conv_ns <= exact_ns; }
};

/// Before anything is computed: exact attention, or recover for `options` and all that follows.
AttentionChoice choose_attention(const AttentionShape& shape, const RecoverOptions& options,
                                 const CostModel& model = cost_model());
/// Once the starts are known and recover is paid for.
AttentionChoice choose_attention(const AttentionShape& shape, std::span<const Index> starts,
                                 const CostModel& model = cost_model());

struct PlannedReport {
  AttentionChoice before;                ///< before recover
  std::optional<AttentionChoice> after;  ///< after recover, where it was done
  std::optional<ApplyReport> apply;      ///< empty: the output is that of exact_attention(), bit for bit
  std::string path;                      ///< for people: which way and why
};

/// output = attention of the head, n x d_v, by the way that is expected to be cheaper: first before recover is done, then again
/// with the starts that it found. The conv way is as good as the basis found with `options` (see recover.h), whatever is
/// chosen here; exact attention has no such error. Cost: that of the way, and of recover where its result turns out too dear.
/// Thread-safe. Throws InvalidArgument, Cancelled.
template <Real T>
PlannedReport planned_attention(const HeadView<T>& head, const RecoverOptions& options, MutableMatrixView<T> output,
                                const RunContext& context = {});

}  // namespace convbasis
