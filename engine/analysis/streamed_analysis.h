/// \file
/// One planted head that is out of the ordinary analysis' reach: V and the output are made, multiplied, checked and handed on
/// block by block of columns, so that memory is O(n (block + k)) however wide V is. Exact attention is extrapolated, not run.
#pragma once

#include "basis/recover.h"
#include "core/run_context.h"
#include "data/planted.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace convbasis {

/// The rule of `analyze`: true when exact attention, n (n + 1) / 2 (d + d_v) multiply-adds, takes more than 5e12 of them (about a
/// minute on a two-core desktop), or Q, K, V and both outputs, n (2 d + 3 d_v) numbers of `number_size` bytes, more than 4 GiB.
bool needs_streaming(const PlantedOptions& input, std::size_t number_size);

struct StreamedOptions {
  RecoverOptions recover = {};
  std::optional<double> scale = std::nullopt;  ///< of the scores; unset: 1 / sqrt(score width)
  Index block_columns = 0;                     ///< columns of V at a time; 0: 64, or fewer where memory is short
  Index sampled_rows = 64;                     ///< rows that are compared with a direct sum in double
  double exact_seconds = 0.3;                  ///< least time for measuring exact attention, unless all of the input takes less
  std::uint64_t memory_limit = 0;              ///< bytes; 0: what the machine has available
};

/// What a streamed analysis will do and take. A plain value, made before any work.
struct StreamedPlan {
  StreamedOptions options;
  PlantedOptions scores;                        ///< what Q and K are made from; its d is the score width, min(d, 64)
  Index width = 0;                              ///< d, as asked
  Index value_width = 0;                        ///< d_v
  Index block_columns = 0;                      ///< of all blocks but perhaps the last
  std::uint64_t memory = 0;                     ///< estimated peak, bytes: for any number of threads and any starts
  std::optional<std::uint64_t> available = {};  ///< what it was compared with, bytes; nothing where the system does not tell

  Index blocks() const { return (value_width + block_columns - 1) / block_columns; }
  Index columns(Index block) const { return std::min(block_columns, value_width - block * block_columns); }
};

/// Throws InvalidArgument (options out of range), Error when the run would take more memory than there is.
template <Real T>
StreamedPlan plan_streamed(const PlantedOptions& input, const StreamedOptions& options);

struct StreamedSeconds {
  double plant = 0.0;    ///< making Q and K
  double recover = 0.0;  ///< finding the basis
  double plan = 0.0;     ///< exponentials and the spectra of the lags
  double values = 0.0;   ///< making V, all blocks
  double apply = 0.0;    ///< multiplying, all blocks, rescued rows included
  double check = 0.0;    ///< direct sums of the sampled rows
  double exact = 0.0;    ///< measuring exact attention at a smaller size
  double write = 0.0;    ///< handing on the output
  double total = 0.0;    ///< from start to end
};

/// Exact attention at the full size, from the shortest of three times of the first `measured_n` tokens and `measured_width`
/// columns of V: times (n / measured_n)^2 for the triangle and (d + d_v) / (d + measured_width) for the operations of one entry,
/// d the score width.
struct ExactEstimate {
  double seconds = 0.0;
  bool extrapolated = false;  ///< false when the whole input was small enough to be measured
  double measured_seconds = 0.0;
  Index measured_n = 0;
  Index measured_width = 0;
};

struct StreamedAnalysis {
  StreamedPlan plan;
  double scale = 0.0;
  std::vector<Index> planted_starts;  ///< the truth
  double planted_delta = 0.0;
  std::vector<Index> starts;     ///< found
  bool monotone = true;          ///< Recovery::monotone
  std::vector<Index> rows;       ///< that were compared with a direct sum, ascending
  double relative_error = 0.0;   ///< ||Y~ - Y||_F / ||Y||_F over these rows
  double worst_row_error = 0.0;  ///< the largest ||Y~_i - Y_i|| / ||Y_i|| among them
  std::vector<Index> rescued;    ///< rows that were recomputed in any block, ascending
  std::string path;              ///< ApplyReport::path
  ExactEstimate exact;
  StreamedSeconds seconds;

  /// What attention itself took, without making the input, checking and writing: recover, plan and apply.
  double conv_seconds() const { return seconds.recover + seconds.plan + seconds.apply; }
  double tokens_per_second() const;
  /// Operations of exact attention, n^2 (d + d_v) with the score width d, over conv_seconds().
  double equivalent_operations_per_second() const;
  double speed_up() const { return exact.seconds / conv_seconds(); }
};

/// Takes the next columns of the output, from left to right; n rows each.
template <Real T>
using ColumnSink = std::function<void(MatrixView<T> block, const RunContext& context)>;

/// Runs the plan. `sink`, when given, gets every block of the output. Progress: the fraction of all column blocks under a stage
/// name such as "12 of 48 column blocks", after those of planting and recover. V is make_values(seed). Throws what `sink`
/// throws, Cancelled.
template <Real T>
StreamedAnalysis analyze_streamed(const StreamedPlan& plan, const ColumnSink<T>& sink = {}, const RunContext& context = {});

}  // namespace convbasis
