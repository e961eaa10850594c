#include "cli/rank_report.h"

#include "cli/analysis_report.h"
#include "cli/console.h"
#include "state/text.h"

#include <fmt/format.h>

namespace convscope {
namespace {

using convbasis::HeadAnalysis;
using convbasis::RankKind;
using convbasis::Real;
using nlohmann::ordered_json;

}  // namespace

template <Real T>
ordered_json rank_json(const HeadInput<T>& input, const HeadAnalysis<T>& analysis) {
  const auto& rank = *analysis.rank;
  const bool svd = rank.options.kind == RankKind::svd;
  const ordered_json none = nullptr;
  ordered_json result = head_json(input, analysis);
  result["method"] = "rank";
  result["rank_kind"] = convbasis::name_of(rank.options.kind);
  result["degree"] = svd ? none : ordered_json(rank.options.degree);
  result["features"] = svd ? none : ordered_json(rank.rank);
  result["k_requested"] = svd ? ordered_json(rank.options.k) : none;
  result["k_found"] = rank.rank;
  result["singular_values"] = rank.singular;
  result["rows_not_positive"] = svd ? none : ordered_json(rank.features->not_positive);
  result["by_features"] = svd ? none : ordered_json(rank.features->by_features);
  // Belong to Recover.
  for (const char* key : {"search", "T", "delta", "eps", "monotone"}) result[key] = nullptr;
  result["starts"] = ordered_json::array();
  result["planted"] = planted_json(input);
  result["relative_error"] = analysis.error.relative_error;
  result["unmasked_error"] = svd ? ordered_json(rank.unmasked_error) : none;
  result["max_abs_error"] = analysis.error.max_abs_error;
  result["max_score_error"] = nullptr;  // low rank models probabilities
  result["bound"] = nullptr;
  result["mean_total_variation"] = analysis.error.mean_total_variation;
  result["total_variation_rows"] = analysis.error.total_variation_rows;
  result["heldout_error"] = nullptr;
  result["ladder"] = ordered_json::array();
  result["rescued_rows"] = analysis.apply.rescued_rows();
  result["seconds"] = {{"load", input.seconds},
                       {"exact", analysis.seconds.exact},
                       {"recover", nullptr},
                       {"rank", analysis.seconds.recover},
                       {"apply", nullptr}};
  result["path"] = path_text(analysis);
  result["streamed"] = nullptr;
  return result;
}

template <Real T>
void print_rank_table(const HeadInput<T>& input, const HeadAnalysis<T>& analysis) {
  const auto& rank = *analysis.rank;
  const auto& error = analysis.error;
  const auto& seconds = analysis.seconds;
  print_head(input, analysis);
  print_field("low rank", fmt::format("{}, {}", describe(rank), precision_name<T>));
  print_field("rank", fmt::format("{}", rank.rank));
  print_field("relative error", three_digits(error.relative_error));
  if (rank.options.kind == RankKind::svd) {
    print_field("singular values",
                fmt::format("{} ... {}", three_digits(rank.singular.front()), three_digits(rank.singular.back())));
    print_field("unmasked error", three_digits(rank.unmasked_error) + " (with what is above the diagonal)");
  }
  if (rank.features) {
    const auto& polynomial = rank.features->scores.polynomial();
    print_field("polynomial", fmt::format("for scores {} ... {}, within {} of exp, relatively", three_digits(polynomial.low),
                                          three_digits(polynomial.high), three_digits(polynomial.relative_error)));
    print_field("rows not positive", fmt::format("{}", rank.features->not_positive));
  }
  print_field("max abs error", three_digits(error.max_abs_error));
  print_field("mean total variation",
              fmt::format("{} over {} rows", three_digits(error.mean_total_variation), error.total_variation_rows));
  print_field("time", fmt::format("load {}, exact {}, low rank {}", seconds_text(input.seconds), seconds_text(seconds.exact),
                                  seconds_text(seconds.recover)));
  print_field("path", path_text(analysis));
}

template ordered_json rank_json(const HeadInput<float>&, const HeadAnalysis<float>&);
template ordered_json rank_json(const HeadInput<double>&, const HeadAnalysis<double>&);
template void print_rank_table(const HeadInput<float>&, const HeadAnalysis<float>&);
template void print_rank_table(const HeadInput<double>&, const HeadAnalysis<double>&);

}  // namespace convscope
