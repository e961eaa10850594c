#include "state/error_curve.h"

#include "basis/recover.h"
#include "view/error_target.h"

#include <algorithm>
#include <array>
#include <utility>

namespace convscope {

namespace {

constexpr std::size_t most_recent = 16;
constexpr Index most_segments = 256;
/// Numbers that the lag vectors of the largest k may take: 32 MiB, and as much again for each of weights and spectra.
constexpr Index most_numbers = Index{1} << 23;
/// Beyond it a point takes so long that every other one is left out.
constexpr Index fine_ladder_limit = 16384;

Index largest_k(Index n) { return std::min({n, most_segments, std::max<Index>(most_numbers / n, 4)}); }

AnalysisRequest without_k(AnalysisRequest request) {
  request.k = 0;
  return request;
}

std::vector<Index> ladder_of(Index largest, Index n, Index found) {
  std::vector<Index> ladder = convbasis::k_ladder(std::min(largest, std::max<Index>(found, 1)));
  if (n > fine_ladder_limit) {
    const Index last = ladder.back();
    std::erase_if(ladder, [&](Index k) { return k != last && (k & (k - 1)) != 0; });
  }
  return ladder;
}

}  // namespace

ErrorCurve::ErrorCurve(std::function<void()> wake) : worker_(std::move(wake)) {}

void ErrorCurve::want(const std::shared_ptr<const Analysis>& analysis, const AnalysisRequest& request) {
  if (!analysis) {
    if (curve_) worker_.drop();
    curve_.reset();
    analysis_.reset();
    return;
  }
  const AnalysisRequest key = without_k(request);
  if (curve_ && curve_->key == key) return;
  analysis_ = analysis;
  const auto known = std::ranges::find_if(recent_, [&](const auto& curve) { return curve->key == key; });
  if (known != recent_.end()) {
    curve_ = *known;
    recent_.erase(known);
  } else {
    curve_ = std::make_shared<Curve>();
    curve_->key = key;
    curve_->largest = largest_k(analysis->n);
  }
  recent_.push_front(curve_);
  if (recent_.size() > most_recent) recent_.pop_back();
  compute();
}

void ErrorCurve::set_target(double target) {
  if (target == target_) return;
  target_ = target;
  if (curve_) compute();
}

void ErrorCurve::compute() {
  {
    const std::lock_guard lock(curve_->mutex);
    curve_->complete = false;
  }
  // The parts live as long as the task: while points are missing.
  auto parts = std::make_shared<std::optional<Parts>>();
  worker_.start([curve = curve_, analysis = analysis_, parts, target = target_](const std::stop_token& stop) {
    return add_point(*curve, *analysis, *parts, target, stop);
  });
}

ErrorCurve::Parts ErrorCurve::find_parts(const Curve& curve, const Analysis& analysis, const convbasis::RunContext& context) {
  if (analysis.rank) {
    return {.basis = {},
            .factors = convbasis::probability_factors<float>(analysis.head(), analysis.rank->lse, curve.largest, context)};
  }
  convbasis::RecoverOptions options = analysis.options;
  options.k = curve.largest;
  return {.basis = convbasis::recover<float>(convbasis::HeadScores<float>(analysis.head()), options, context).basis,
          .factors = {}};
}

bool ErrorCurve::add_point(Curve& curve, const Analysis& analysis, std::optional<Parts>& parts, double target,
                           const std::stop_token& stop) {
  convbasis::RunContext context;
  context.stop = stop;
  std::vector<KError> points;
  {
    const std::lock_guard lock(curve.mutex);
    points = curve.points;
  }
  if (!parts) parts = find_parts(curve, analysis, context);
  const auto k = next_k(points, ladder_of(curve.largest, analysis.n, parts->count()), target);
  if (k) {
    const convbasis::ExactPart<float>& exact = *analysis.exact;
    const std::array ks{*k};
    const auto rows = convbasis::view(exact.output);
    const auto added = parts->factors
                           ? convbasis::error_by_rank<float>(analysis.head(), exact.rows, rows, *parts->factors, ks, context)
                           : convbasis::error_by_k<float>(analysis.head(), exact.rows, rows, *parts->basis, ks, {}, context);
    points.insert(std::ranges::upper_bound(points, *k, {}, &KError::k), added.front());
  }
  const std::lock_guard lock(curve.mutex);
  curve.points = std::move(points);
  curve.complete = !k;
  return k.has_value();
}

bool ErrorCurve::is_of(const AnalysisRequest& request) const { return curve_ && curve_->key == without_k(request); }

ErrorCurveView ErrorCurve::view() const {
  if (!curve_) return {};
  ErrorCurveView view;
  view.largest = curve_->largest;
  view.failure = worker_.failure();
  const std::lock_guard lock(curve_->mutex);
  view.points = curve_->points;
  view.complete = curve_->complete;
  return view;
}

}  // namespace convscope
