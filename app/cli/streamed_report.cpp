#include "cli/streamed_report.h"

#include "attention/exact_attention.h"
#include "cli/analysis_report.h"
#include "cli/console.h"
#include "core/memory.h"
#include "state/text.h"

#include <fmt/format.h>

#include <cstdio>

namespace convscope {
namespace {

using convbasis::StreamedAnalysis;
using convbasis::StreamedPlan;
using nlohmann::ordered_json;

template <class Number>
ordered_json or_null(const std::optional<Number>& number) {
  return number ? ordered_json(*number) : ordered_json(nullptr);
}

std::string path_text(const StreamedAnalysis& analysis) {
  return fmt::format("{}; {}", convbasis::kernel_instruction_set(), analysis.path);
}

ordered_json seconds_json(const convbasis::StreamedSeconds& seconds) {
  return {{"load", seconds.plant},  {"exact", nullptr},       {"recover", seconds.recover},
          {"apply", seconds.apply}, {"plan", seconds.plan},   {"values", seconds.values},
          {"check", seconds.check}, {"write", seconds.write}, {"exact_measurement", seconds.exact},
          {"total", seconds.total}};
}

ordered_json streamed_json(const StreamedAnalysis& analysis) {
  const StreamedPlan& plan = analysis.plan;
  const auto& exact = analysis.exact;
  ordered_json result;
  result["score_width"] = plan.scores.d;
  result["column_blocks"] = plan.blocks();
  result["block_columns"] = plan.block_columns;
  result["relative_error_sampled"] = analysis.relative_error;
  result["worst_row_error_sampled"] = analysis.worst_row_error;
  result["rows_sampled"] = analysis.rows.size();
  result["tokens_per_second"] = analysis.tokens_per_second();
  result["equivalent_gflops"] = 1e-9 * analysis.equivalent_operations_per_second();
  result["speed_up"] = analysis.speed_up();
  result["exact"] = {{"seconds", exact.seconds},
                     {"extrapolated", exact.extrapolated},
                     {"measured_seconds", exact.measured_seconds},
                     {"measured_n", exact.measured_n},
                     {"measured_value_width", exact.measured_width}};
  result["memory"] = {{"estimated_bytes", plan.memory},
                      {"available_bytes", or_null(plan.available)},
                      {"peak_bytes", or_null(convbasis::peak_memory())}};
  return result;
}

/// Minutes and hours are easier to grasp than thousands of seconds.
std::string long_time_text(double seconds) {
  if (seconds < 600.0) return seconds_text(seconds);
  if (seconds < 3.0 * 3600.0) return fmt::format("{:.0f} min", seconds / 60.0);
  return fmt::format("{:.1f} h", seconds / 3600.0);
}

}  // namespace

ordered_json to_json(const std::string& file, const StreamedAnalysis& analysis, const char* precision) {
  const StreamedPlan& plan = analysis.plan;
  const auto& options = plan.options.recover;
  ordered_json result;
  result["version"] = CONVSCOPE_VERSION;
  result["file"] = file;
  result["model"] = "";
  result["layer"] = 0;
  result["head"] = 0;
  result["kv_head"] = 0;
  result["n"] = plan.scores.n;
  result["d"] = plan.width;
  result["d_v"] = plan.value_width;
  result["scale"] = analysis.scale;
  result["precision"] = precision;
  result["method"] = "recover";
  result["search"] = convbasis::name_of(options.search);
  result["k_requested"] = options.k;
  result["k_found"] = analysis.starts.size();
  result["T"] = options.T;
  result["delta"] = options.delta;
  result["eps"] = options.eps;
  result["monotone"] = analysis.monotone;
  result["starts"] = analysis.starts;
  result["planted"] = {{"starts", analysis.planted_starts}, {"delta", analysis.planted_delta}, {"noise", plan.scores.noise}};
  // These compare every row with exact attention, which is not run.
  for (const char* key : {"relative_error", "max_abs_error", "max_score_error", "bound", "mean_total_variation"})
    result[key] = nullptr;
  result["total_variation_rows"] = 0;
  result["heldout_error"] = nullptr;
  result["ladder"] = ordered_json::array();
  result["rescued_rows"] = analysis.rescued.size();
  result["seconds"] = seconds_json(analysis.seconds);
  result["path"] = path_text(analysis);
  result["streamed"] = streamed_json(analysis);
  return result;
}

void print_plan(const std::string& file, const StreamedPlan& plan) {
  const std::string available =
      plan.available ? fmt::format(", {} available", bytes_text(static_cast<double>(*plan.available))) : "";
  print_field("file", printable(file));
  print_field("shape", fmt::format("n {}, d {}, d_v {}; scores from Q and K of width {}", plan.scores.n, plan.width,
                                   plan.value_width, plan.scores.d));
  print_field("column blocks", fmt::format("{} of {} columns", plan.blocks(), plan.block_columns));
  print_field("memory needed", fmt::format("at most about {}{}", bytes_text(static_cast<double>(plan.memory)), available));
  std::fflush(stdout);
}

void print_result(const StreamedAnalysis& analysis, const char* precision) {
  const auto& options = analysis.plan.options.recover;
  const auto& seconds = analysis.seconds;
  const auto& exact = analysis.exact;
  print_field("recover", fmt::format("T {}, delta {}, eps {}, {} search, {}, scale {}", options.T, three_digits(options.delta),
                                     three_digits(options.eps), convbasis::name_of(options.search), precision,
                                     three_digits(analysis.scale)));
  print_field("k found / requested", fmt::format("{} / {}", analysis.starts.size(), options.k));
  print_field("starts", starts_text(analysis.starts));
  print_field("search monotone", analysis.monotone ? "yes" : "no: the binary search may have missed starts");
  print_field("relative error",
              fmt::format("{} over {} sampled rows, at most {} in one row", three_digits(analysis.relative_error),
                          analysis.rows.size(), three_digits(analysis.worst_row_error)));
  print_field("rescued rows", fmt::format("{}", analysis.rescued.size()));
  print_field("time", fmt::format("{}: recover {}, plan {}, apply {}", seconds_text(analysis.conv_seconds()),
                                  seconds_text(seconds.recover), seconds_text(seconds.plan), seconds_text(seconds.apply)));
  print_field("time beside it",
              fmt::format("make Q and K {}, make V {}, check {}, measure exact {}, write {}; {} in all",
                          seconds_text(seconds.plant), seconds_text(seconds.values), seconds_text(seconds.check),
                          seconds_text(seconds.exact), seconds_text(seconds.write), seconds_text(seconds.total)));
  print_field("throughput", fmt::format("{:.4g} tokens/s, as exact attention at {:.4g} GF/s", analysis.tokens_per_second(),
                                        1e-9 * analysis.equivalent_operations_per_second()));
  print_field("exact attention", fmt::format("{}{}", long_time_text(exact.seconds),
                                             exact.extrapolated ? fmt::format(", extrapolated from {} at n {}, d_v {}",
                                                                              seconds_text(exact.measured_seconds),
                                                                              exact.measured_n, exact.measured_width)
                                                                : ""));
  print_field("speed-up", fmt::format("{:.3g}x{}", analysis.speed_up(), exact.extrapolated ? " (extrapolated)" : ""));
  if (const auto peak = convbasis::peak_memory()) print_field("memory taken", bytes_text(static_cast<double>(*peak)));
  print_field("path", path_text(analysis));
}

}  // namespace convscope
