#include "cli/fit_report.h"

#include "cli/analysis_report.h"
#include "cli/console.h"
#include "state/text.h"

#include <fmt/format.h>

#include <cmath>

namespace convscope {
namespace {

using convbasis::HeadAnalysis;
using convbasis::Ladder;
using convbasis::LadderRung;
using convbasis::Real;
using nlohmann::ordered_json;

/// Whether no step of the fit raised its objective, but by rounding.
bool is_monotone(const convbasis::StructuredFit& fit) {
  for (std::size_t step = 1; step < fit.objective.size(); ++step) {
    if (!(fit.objective[step] <= fit.objective[step - 1] + 1e-9 * static_cast<double>(fit.size()))) return false;
  }
  return true;
}

const char* name_of(convbasis::ColumnRule rule) { return rule == convbasis::ColumnRule::whole ? "whole" : "outside-band"; }

std::string error_text(double error) { return std::isnan(error) ? "-" : three_digits(error); }

}  // namespace

std::string rung_text(const LadderRung& rung) {
  using namespace convbasis;
  const std::string exact = fmt::format("band {}, {} columns", rung.band, rung.columns);
  if (rung.key == rung::columns) return fmt::format("{} columns", rung.columns);
  if (rung.key == rung::band) return exact;
  if (rung.key == rung::rest_mass) return exact + ", rest even";
  if (rung.key == rung::rank_one || rung.key == rung::wider_band) return exact + ", rest of rank one";
  if (rung.key == rung::nonnegative_rank) return fmt::format("{}, non-negative rank {}", exact, rung.rank);
  if (rung.key == rung::truncated_svd) return fmt::format("truncated SVD, rank {}", rung.rank);
  return fmt::format("{}, {} lag vector{}", exact, rung.k, rung.k == 1 ? "" : "s");
}

ordered_json ladder_json(const Ladder& ladder) {
  ordered_json rungs = ordered_json::array();
  for (const LadderRung& rung : ladder.rungs) {
    rungs.push_back({{"key", rung.key},
                     {"band", rung.band},
                     {"columns", rung.columns},
                     {"k", rung.k},
                     {"rank", rung.rank},
                     {"error", rung.error},
                     {"heldout_error", rung.heldout_error},
                     {"cost", rung.cost},
                     {"seconds", rung.seconds}});
  }
  return rungs;
}

void print_ladder(const Ladder& ladder) {
  TextTable table({"ladder", "made of", "error", "held out", "cost", "time"}, 2);
  for (const LadderRung& rung : ladder.rungs) {
    table.add({rung.key, rung_text(rung), error_text(rung.error), error_text(rung.heldout_error),
               fmt::format("{:.0f}", rung.cost), seconds_text(rung.seconds)});
  }
  fmt::print("\n");
  table.print();
  fmt::print("cost: multiply-adds for each of the n d_v numbers of V; exact attention has {:.0f}\n",
             static_cast<double>(ladder.n));
}

template <Real T>
ordered_json fit_json(const HeadInput<T>& input, const HeadAnalysis<T>& analysis, const Ladder& ladder) {
  const auto& fit = *analysis.fit;
  const auto starts = fit.lags.starts();
  ordered_json result = head_json(input, analysis);
  result["method"] = "fit";
  result["k_requested"] = analysis.options.k;
  result["k_found"] = fit.k();
  result["band"] = fit.exact.band;
  result["columns"] = fit.exact.columns;
  result["column_rule"] = name_of(analysis.fit_options.column_rule);
  result["rounds"] = fit.rounds;
  result["sampled"] = fit.sampled;
  result["objective"] = fit.objective;
  // Belong to Recover.
  for (const char* key : {"search", "T", "delta", "eps"}) result[key] = nullptr;
  result["monotone"] = is_monotone(fit);
  result["starts"] = std::vector<Index>(starts.begin(), starts.end());
  result["planted"] = planted_json(input);
  result["relative_error"] = analysis.error.relative_error;
  result["max_abs_error"] = analysis.error.max_abs_error;
  result["max_score_error"] = nullptr;  // fits model probabilities
  result["bound"] = nullptr;
  result["mean_total_variation"] = analysis.error.mean_total_variation;
  result["total_variation_rows"] = analysis.error.total_variation_rows;
  result["heldout_error"] = analysis.heldout_error;
  result["ladder"] = ladder_json(ladder);
  result["rescued_rows"] = analysis.apply.rescued_rows();
  result["seconds"] = {{"load", input.seconds},
                       {"exact", analysis.seconds.exact},
                       {"recover", nullptr},
                       {"fit", analysis.seconds.recover},
                       {"apply", analysis.seconds.apply}};
  result["path"] = path_text(analysis);
  result["streamed"] = nullptr;
  return result;
}

template <Real T>
void print_fit_table(const HeadInput<T>& input, const HeadAnalysis<T>& analysis) {
  const auto& fit = *analysis.fit;
  const auto& error = analysis.error;
  const auto& seconds = analysis.seconds;
  print_head(input, analysis);
  print_field("fit", fmt::format("band {}, {} columns, {} rounds, {}{}", fit.exact.band, fit.exact.columns.size(), fit.rounds,
                                 precision_name<T>, fit.sampled ? ", from a sample of the rows" : ""));
  print_field("exact columns", fit.exact.columns.empty() ? "none" : starts_text(fit.exact.columns));
  print_field("k found / requested", fmt::format("{} / {}", fit.k(), analysis.options.k));
  print_field("starts", fit.k() == 0 ? "none: the rest has rank one" : starts_text(fit.lags.starts()));
  print_field("objective monotone", is_monotone(fit) ? "yes"
                                    : fit.sampled    ? "no: smoothing raises it at times"
                                                     : "no: a step of the fit raised it");
  print_field("relative error", three_digits(error.relative_error));
  print_field("held-out error", std::isnan(analysis.heldout_error)
                                    ? "not measured"
                                    : three_digits(analysis.heldout_error) + " (fitted on even rows, odd rows measured)");
  print_field("max abs error", three_digits(error.max_abs_error));
  print_field("mean total variation",
              fmt::format("{} over {} rows", three_digits(error.mean_total_variation), error.total_variation_rows));
  print_field("rescued rows", fmt::format("{}", analysis.apply.rescued_rows()));
  print_field("time", fmt::format("load {}, exact {}, fit {}, apply {}", seconds_text(input.seconds), seconds_text(seconds.exact),
                                  seconds_text(seconds.recover), seconds_text(seconds.apply)));
  print_field("path", path_text(analysis));
}

template ordered_json fit_json(const HeadInput<float>&, const HeadAnalysis<float>&, const Ladder&);
template ordered_json fit_json(const HeadInput<double>&, const HeadAnalysis<double>&, const Ladder&);
template void print_fit_table(const HeadInput<float>&, const HeadAnalysis<float>&);
template void print_fit_table(const HeadInput<double>&, const HeadAnalysis<double>&);

}  // namespace convscope
