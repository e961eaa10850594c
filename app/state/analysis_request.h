/// \file
/// What the window wants to see, as a value: two equal requests have the same result.
#pragma once

#include "analysis/rank_approximation.h"
#include "basis/recover.h"
#include "basis/structured_fit.h"
#include "core/types.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace convscope {

using convbasis::Index;

/// How the approximation is found.
enum class Method : std::uint8_t { recover, fit, rank };
/// "recover", "fit", "rank": as the command line calls them.
constexpr std::string_view name_of(Method method) {
  return method == Method::rank ? "rank" : method == Method::fit ? "fit" : "recover";
}

/// One head of one source, the number of tokens, the parameters of Recover (see convbasis::RecoverOptions), what a structured fit
/// keeps exactly (see convbasis::StructuredOptions), and which low rank (see convbasis::RankOptions).
struct AnalysisRequest {
  std::uint64_t source = 0;  ///< Source::id()
  Index layer = 0;
  Index head = 0;
  Index n = 1;  ///< tokens from the start of the text
  Method method = Method::recover;
  Index k = convbasis::RecoverOptions{}.k;  ///< of a fit it may be 0; of an SVD the rank
  Index T = convbasis::RecoverOptions{}.T;
  double delta = convbasis::RecoverOptions{}.delta;
  double eps = convbasis::RecoverOptions{}.eps;
  convbasis::Search search = convbasis::RecoverOptions{}.search;
  /// Segments chosen by hand, ascending; empty: those that Recover finds. Let go of when another parameter of Recover is turned.
  std::vector<Index> starts = {};
  Index band = convbasis::StructuredOptions{}.band;        ///< w, the lags that a fit keeps exactly
  Index columns = convbasis::StructuredOptions{}.columns;  ///< c, the columns that it does
  convbasis::RankKind rank_kind = convbasis::RankOptions{}.kind;
  Index degree = convbasis::RankOptions{}.degree;  ///< of polynomial features
  bool all_rows = false;  ///< exact attention of all rows, however long that takes; else of some where n is large

  bool operator==(const AnalysisRequest&) const = default;

  convbasis::RecoverOptions options() const { return {.k = k, .T = T, .delta = delta, .eps = eps, .search = search}; }
  convbasis::StructuredOptions fit_options() const { return {.band = band, .columns = columns, .k = k}; }
  convbasis::RankOptions rank_options() const { return {.kind = rank_kind, .k = k, .degree = degree}; }

  bool is_svd() const { return method == Method::rank && rank_kind == convbasis::RankKind::svd; }
  bool is_features() const { return method == Method::rank && rank_kind == convbasis::RankKind::features; }
  /// The error against k is a curve: of segments that Recover finds, or of the rank of an SVD.
  bool has_error_curve() const { return method == Method::recover || is_svd(); }
};

/// True when exact attention is the same for both, so that only the approximation has to be computed anew.
bool same_exact_part(const AnalysisRequest& a, const AnalysisRequest& b);

/// The nearest valid request for a source of `tokens` tokens: n into [1, tokens], k and T into [1, n], k of an SVD to what
/// that takes, band and columns into [0, n], the degree into [0, convbasis::max_exp_degree], delta and eps to finite numbers >=
/// 0, starts ascending and below n. A NaN becomes the default: it would not even equal itself.
AnalysisRequest clamped(AnalysisRequest request, Index tokens);

}  // namespace convscope
