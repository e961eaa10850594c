#include "cli/analysis_report.h"

#include "attention/exact_attention.h"
#include "cli/console.h"
#include "state/text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace convscope {
namespace {

using convbasis::HeadAnalysis;
using convbasis::Real;
using nlohmann::ordered_json;

}  // namespace

template <Real T>
std::string path_text(const HeadAnalysis<T>& analysis) {
  return fmt::format("{}; {}", convbasis::kernel_instruction_set(), analysis.apply.path);
}

std::string starts_text(std::span<const Index> starts) {
  constexpr std::size_t shown = 12;
  const std::string text = fmt::format("{}", fmt::join(starts.first(std::min(shown, starts.size())), " "));
  return starts.size() <= shown ? text : fmt::format("{} ... ({} in all)", text, starts.size());
}

template <Real T>
ordered_json planted_json(const HeadInput<T>& input) {
  if (!input.planted) return nullptr;
  return {{"starts", input.planted->starts}, {"delta", input.planted->delta}, {"noise", input.planted->noise}};
}

template <Real T>
ordered_json head_json(const HeadInput<T>& input, const HeadAnalysis<T>& analysis) {
  const auto head = analysis.head();
  ordered_json result;
  result["version"] = CONVSCOPE_VERSION;
  result["file"] = input.file;
  result["model"] = input.model;
  result["layer"] = input.layer;
  result["head"] = input.head;
  result["kv_head"] = input.kv_head;
  result["n"] = head.size();
  result["d"] = head.width();
  result["d_v"] = head.value_width();
  result["scale"] = head.scale;
  result["precision"] = precision_name<T>;
  return result;
}

template <Real T>
void print_head(const HeadInput<T>& input, const HeadAnalysis<T>& analysis) {
  const auto head = analysis.head();
  print_field("file", printable(input.file));
  if (!input.model.empty()) print_field("model", printable(input.model));
  print_field("head", fmt::format("layer {}, head {}, key/value head {}", input.layer, input.head, input.kv_head));
  print_field("shape", fmt::format("n {}, d {}, d_v {}, scale {}", head.size(), head.width(), head.value_width(),
                                   three_digits(head.scale)));
}

template <Real T>
ordered_json to_json(const HeadInput<T>& input, const HeadAnalysis<T>& analysis) {
  const auto& options = analysis.options;
  const auto starts = analysis.recovery.basis.starts();
  ordered_json result = head_json(input, analysis);
  result["method"] = "recover";
  result["search"] = convbasis::name_of(options.search);
  result["k_requested"] = options.k;
  result["k_found"] = analysis.recovery.basis.count();
  result["T"] = options.T;
  result["delta"] = options.delta;
  result["eps"] = options.eps;
  result["monotone"] = analysis.recovery.monotone;
  result["starts"] = std::vector<Index>(starts.begin(), starts.end());
  result["planted"] = planted_json(input);
  result["relative_error"] = analysis.error.relative_error;
  result["max_abs_error"] = analysis.error.max_abs_error;
  result["max_score_error"] = analysis.error.max_score_error;
  result["bound"] = analysis.bound ? ordered_json(*analysis.bound) : ordered_json(nullptr);
  result["mean_total_variation"] = analysis.error.mean_total_variation;
  result["total_variation_rows"] = analysis.error.total_variation_rows;
  result["heldout_error"] = nullptr;  // belongs to fitted bases; Recover holds nothing out
  result["ladder"] = ordered_json::array();
  result["rescued_rows"] = analysis.apply.rescued_rows();
  result["seconds"] = {{"load", input.seconds},
                       {"exact", analysis.seconds.exact},
                       {"recover", analysis.seconds.recover},
                       {"apply", analysis.seconds.apply}};
  result["path"] = path_text(analysis);
  result["streamed"] = nullptr;  // streamed_report.cpp
  return result;
}

template <Real T>
void print_table(const HeadInput<T>& input, const HeadAnalysis<T>& analysis) {
  const auto& options = analysis.options;
  const auto& error = analysis.error;
  const auto& seconds = analysis.seconds;
  print_head(input, analysis);
  print_field("recover", fmt::format("T {}, delta {}, eps {}, {} search, {}", options.T, three_digits(options.delta),
                                     three_digits(options.eps), convbasis::name_of(options.search), precision_name<T>));
  print_field("k found / requested", fmt::format("{} / {}", analysis.recovery.basis.count(), options.k));
  print_field("starts", starts_text(analysis.recovery.basis.starts()));
  print_field("search monotone", analysis.recovery.monotone ? "yes" : "no: the binary search may have missed starts");
  print_field("relative error", three_digits(error.relative_error));
  print_field("max abs error", three_digits(error.max_abs_error));
  print_field("max score error", three_digits(error.max_score_error));
  print_field("bound", analysis.bound ? three_digits(*analysis.bound)
                                      : "none: it needs eps <= delta / (5 T) and scores within 2 eps of a conv basis");
  print_field("mean total variation",
              fmt::format("{} over {} rows", three_digits(error.mean_total_variation), error.total_variation_rows));
  print_field("rescued rows", fmt::format("{}", analysis.apply.rescued_rows()));
  print_field("time", fmt::format("load {}, exact {}, recover {}, apply {}", seconds_text(input.seconds),
                                  seconds_text(seconds.exact), seconds_text(seconds.recover), seconds_text(seconds.apply)));
  print_field("path", path_text(analysis));
}

template ordered_json planted_json(const HeadInput<float>&);
template ordered_json planted_json(const HeadInput<double>&);
template std::string path_text(const HeadAnalysis<float>&);
template std::string path_text(const HeadAnalysis<double>&);
template ordered_json head_json(const HeadInput<float>&, const HeadAnalysis<float>&);
template ordered_json head_json(const HeadInput<double>&, const HeadAnalysis<double>&);
template void print_head(const HeadInput<float>&, const HeadAnalysis<float>&);
template void print_head(const HeadInput<double>&, const HeadAnalysis<double>&);
template ordered_json to_json(const HeadInput<float>&, const HeadAnalysis<float>&);
template ordered_json to_json(const HeadInput<double>&, const HeadAnalysis<double>&);
template void print_table(const HeadInput<float>&, const HeadAnalysis<float>&);
template void print_table(const HeadInput<double>&, const HeadAnalysis<double>&);

}  // namespace convscope
