#include "state/analysis_request.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace convscope {

namespace {

double clamped_or(double value, double fallback) {
  return std::isnan(value) ? fallback : std::clamp(value, 0.0, std::numeric_limits<double>::max());
}

}  // namespace

bool same_exact_part(const AnalysisRequest& a, const AnalysisRequest& b) {
  return a.source == b.source && a.layer == b.layer && a.head == b.head && a.n == b.n;
}

AnalysisRequest clamped(AnalysisRequest request, Index tokens) {
  const convbasis::RecoverOptions defaults;
  request.n = std::clamp<Index>(request.n, 1, std::max<Index>(tokens, 1));
  request.k = std::clamp<Index>(request.k, request.method == Method::fit ? 0 : 1, request.n);
  if (request.is_svd()) request.k = std::min(request.k, convbasis::svd_rank_limit);
  request.degree = std::clamp<Index>(request.degree, 0, convbasis::max_exp_degree);
  request.T = std::clamp<Index>(request.T, 1, request.n);
  request.band = std::clamp<Index>(request.band, 0, request.n);
  request.columns = std::clamp<Index>(request.columns, 0, request.n);
  request.delta = clamped_or(request.delta, defaults.delta);
  request.eps = clamped_or(request.eps, defaults.eps);
  std::erase_if(request.starts, [&](Index start) { return start < 0 || start >= request.n; });
  std::ranges::sort(request.starts);
  const auto twice = std::ranges::unique(request.starts);
  request.starts.erase(twice.begin(), twice.end());
  return request;
}

}  // namespace convscope
