#include "state/runtime_measurer.h"

#include "analysis/planned_attention.h"
#include "analysis/rank_approximation.h"
#include "core/cost_model.h"
#include "core/errors.h"
#include "core/threads.h"
#include "view/runtime_fit.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace convscope {

namespace {

constexpr std::array<const char*, 7> methods{"exact", "conv_full",  "conv_partitioned", "planned",
                                             "rank",  "cuda_exact", "cuda_conv"};
constexpr Index smallest_n = 256;
constexpr Index largest_n = 32768;
constexpr std::size_t most_recent = 8;
constexpr double longest_run = 1.0;  // seconds
constexpr double seconds_per_point = 0.6;
constexpr int most_repeats = 25;
constexpr double steady_spread = 0.04;
constexpr Index probe = 8;  // T of planted inputs

convbasis::CurveRequest request_for(const RuntimeSetting& setting, Index n) {
  convbasis::CurveRequest request;
  request.n = {n};
  request.k = {setting.k};
  request.d = setting.d;
  request.degree = setting.degree;
  request.max_repeats = most_repeats;
  request.seconds_per_point = seconds_per_point;
  request.steady_spread = steady_spread;
  return request;
}

bool is_of_gpu(std::string_view method) { return method.starts_with("cuda_"); }

}  // namespace

double expected_seconds(std::string_view method, Index n, const RuntimeSetting& setting, std::span<const CurvePoint> points) {
  const std::vector<CurvePoint> known = points_of(points, method);
  if (!known.empty()) return extrapolated(known.back(), n).seconds;
  convbasis::RunContext context;
  context.threads = setting.threads;
  const convbasis::AttentionShape shape{
      .n = n, .width = setting.d, .value_width = setting.d, .threads = convbasis::thread_count(context)};
  constexpr double nanosecond = 1e-9;
  const double exact = convbasis::expected_exact_ns(shape) * nanosecond;
  if (method == "exact" || method == "cuda_exact") return exact;  // a GPU nobody has measured takes no longer than the CPU
  if (method == "rank") {
    if (!convbasis::feature_problem(setting.degree, setting.d, setting.d).empty()) return std::numeric_limits<double>::infinity();
    return exact * convbasis::lowrank_cost(n, setting.d, setting.d, setting.degree) /
           convbasis::exact_cost(n, setting.d, setting.d);
  }
  const std::vector<Index> starts = convbasis::expected_starts(n, setting.k);
  if (method == "conv_full") {
    // k segments, each with a transform of every column of V there and back.
    const double numbers = static_cast<double>(setting.k) * static_cast<double>(n) * static_cast<double>(setting.d);
    return numbers * convbasis::cost_model().transform_of(n) / static_cast<double>(shape.threads) * nanosecond;
  }
  const double conv =
      (convbasis::expected_recover_ns(shape, starts, probe) + convbasis::expected_apply_ns(shape, starts)) * nanosecond;
  return method == "planned" ? std::min(exact, conv) : conv;
}

RuntimeMeasurer::RuntimeMeasurer(std::function<void()> wake, Measure measure)
    : measure_(std::move(measure)), worker_(std::move(wake)) {
  if (!measure_) {
    measure_ = [](const convbasis::CurveRequest& request, const convbasis::RunContext& context) {
      return convbasis::measure_curve(request, context);
    };
  }
}

std::shared_ptr<RuntimeMeasurer::Curves> RuntimeMeasurer::make_curves(const RuntimeSetting& setting) {
  auto curves = std::make_shared<Curves>();
  curves->setting = setting;
  for (Index n = smallest_n; n <= largest_n; n *= 2) {
    if (n >= 2 * setting.k) curves->sizes.push_back(n);
  }
  return curves;
}

bool RuntimeMeasurer::complete(const Curves& curves) {
  const std::lock_guard lock(curves.mutex);
  return curves.sizes_done == curves.sizes.size();
}

void RuntimeMeasurer::want(const RuntimeSetting& wish) {
  RuntimeSetting setting = wish;
  setting.d = std::max<Index>(2, setting.d + setting.d % 2);  // planted inputs have an even width
  if (current_ && current_->setting == setting) return;
  if (current_ && complete(*current_)) earlier_ = current_;
  const auto known = std::ranges::find_if(recent_, [&](const auto& curves) { return curves->setting == setting; });
  current_ = known != recent_.end() ? *known : make_curves(setting);
  worker_.drop();
  if (!stopped_) start();
}

void RuntimeMeasurer::start() {
  if (complete(*current_)) return;
  std::erase(recent_, current_);
  recent_.push_front(current_);
  if (recent_.size() > most_recent) recent_.pop_back();
  worker_.start(
      [curves = current_, measure = measure_](const std::stop_token& stop) { return measure_next(*curves, measure, stop); });
}

void RuntimeMeasurer::stop() {
  stopped_ = true;
  worker_.drop();
}

void RuntimeMeasurer::again() {
  stopped_ = false;
  if (!current_) return;
  std::erase(recent_, current_);
  {
    const std::lock_guard lock(current_->mutex);
    if (!current_->points.empty()) earlier_ = current_;
  }
  current_ = make_curves(current_->setting);
  start();
}

std::vector<CurvePoint> RuntimeMeasurer::measure_at(Index n, std::vector<std::string> methods, Curves& curves,
                                                    const Measure& measure, const std::stop_token& stop) {
  convbasis::CurveRequest request = request_for(curves.setting, n);
  request.methods = std::move(methods);
  convbasis::RunContext context;
  context.stop = stop;
  context.threads = curves.setting.threads;
  context.accelerator = curves.setting.gpu.get();
  if (request.methods.empty()) return {};
  try {
    return measure(request, context);
  } catch (const convbasis::Cancelled&) {
    throw;
  } catch (const convbasis::Error&) {
    // Which of them failed is not said; without those of the GPU it is an error like any other.
    if (std::erase_if(request.methods, is_of_gpu) == 0) throw;
  }
  {
    const std::lock_guard lock(curves.mutex);
    curves.gpu_failed = true;
  }
  return measure_at(n, std::move(request.methods), curves, measure, stop);
}

bool RuntimeMeasurer::measure_next(Curves& curves, const Measure& measure, const std::stop_token& stop) {
  std::vector<CurvePoint> points;
  std::size_t done = 0;
  bool with_gpu = false;
  {
    const std::lock_guard lock(curves.mutex);
    points = curves.points;
    done = curves.sizes_done;
    with_gpu = curves.setting.gpu && !curves.gpu_failed;
  }
  if (done == curves.sizes.size()) return false;
  const Index n = curves.sizes[done];
  std::vector<std::string> wanted;
  std::vector<CurvePoint> added;
  for (const char* method : methods) {
    if (is_of_gpu(method) && !with_gpu) continue;
    if (expected_seconds(method, n, curves.setting, points) <= longest_run) {
      wanted.emplace_back(method);
    } else if (const auto known = points_of(points, method); !known.empty()) {
      added.push_back(extrapolated(known.back(), n));
    }
  }
  const std::vector<CurvePoint> measured = measure_at(n, std::move(wanted), curves, measure, stop);
  if (stop.stop_requested()) throw convbasis::Cancelled();  // what was measured while the user came back is not trusted
  added.insert(added.end(), measured.begin(), measured.end());
  const std::lock_guard lock(curves.mutex);
  curves.points.insert(curves.points.end(), added.begin(), added.end());
  return ++curves.sizes_done < curves.sizes.size();
}

RuntimeView RuntimeMeasurer::view() const {
  RuntimeView view;
  if (!current_) return view;
  using State = RuntimeView::State;
  view.setting = current_->setting;
  {
    const std::lock_guard lock(current_->mutex);
    view.points = current_->points;
    const bool done = current_->sizes_done == current_->sizes.size();
    view.n = done ? 0 : current_->sizes[current_->sizes_done];
    view.state = done ? State::done : stopped_ ? State::stopped : State::measuring;
  }
  view.failure = worker_.failure();
  if (!view.failure.empty()) view.state = State::failed;
  if (view.state == State::measuring && worker_.state() == IdleWorker::State::paused) view.state = State::paused;
  if (view.state != State::done && earlier_) {
    const std::lock_guard lock(earlier_->mutex);
    view.earlier = earlier_->points;
    view.earlier_setting = earlier_->setting;
  }
  return view;
}

}  // namespace convscope
