#include "analysis/runtime_curve.h"

#include "analysis/planned_attention.h"
#include "analysis/rank_approximation.h"
#include "attention/accelerator.h"
#include "attention/exact_attention.h"
#include "basis/apply.h"
#include "basis/recover.h"
#include "core/errors.h"
#include "core/stopwatch.h"
#include "data/planted.h"
#include "lowrank/lowrank_attention.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

namespace convbasis {
namespace {

constexpr std::array<std::string_view, 7> all_methods{"exact", "conv_full",  "conv_partitioned", "planned",
                                                      "rank",  "cuda_exact", "cuda_conv"};
constexpr std::size_t least_steady = 5;

bool is_wanted(const CurveRequest& request, std::string_view method) {
  return request.methods.empty() || std::ranges::find(request.methods, method) != request.methods.end();
}

/// One method at one (n, k): how to run it once, and the times so far.
struct Line {
  std::string method;
  Index k;
  std::function<void()> run;
  std::vector<double> seconds;
  double total = 0.0;
};

/// Planted inputs and outputs of one n, shared by the methods that are compared there.
template <Real T>
class Bench {
 public:
  Bench(const CurveRequest& request, Index n, const RunContext& context)
      : request_(request),
        accelerator_(context.accelerator),
        context_(context),
        n_(n),
        output_(n, request.d),
        lse_(static_cast<std::size_t>(n)) {
    context_.accelerator = nullptr;  // the lines of the GPU go there on their own
  }

  /// Exact attention and features first, then for each k both conv schemes and the planner; the GPU's where it has done them.
  std::vector<Line> lines() {
    std::vector<Line> result;
    for (const Index k : request_.k) {
      if (k > n_) continue;
      PlantedOptions options{.n = n_, .d = request_.d, .k = k};
      options.T = std::min(options.T, std::max<Index>(1, n_ / k / 2));
      inputs_.push_back({k, options.T, make_planted<T>(options)});
    }
    if (inputs_.empty()) return result;
    if (n_ <= request_.exact_limit) {
      result.push_back(
          {"exact",
           0,
           [this] { exact_attention<T>(inputs_.front().planted.head.view(), mutable_view(output_), lse_, context_); },
           {}});
    }
    if (n_ <= request_.exact_limit) add_accelerated(inputs_.front(), true, result);
    if (is_wanted(request_, "rank")) {
      result.push_back(
          {"rank",
           feature_count(request_.d, request_.degree),
           [this] { lowrank_attention<T>(inputs_.front().planted.head.view(), {.degree = request_.degree}, context_); },
           {}});
    }
    for (const Input& input : inputs_) {
      if (n_ <= request_.full_length_limit) {
        result.push_back({"conv_full",
                          input.k,
                          [this, &input] {
                            apply_full_length<T>(*weigh(input), input.planted.head.view().value, mutable_view(output_), context_);
                          },
                          {}});
      }
      result.push_back({"conv_partitioned",
                        input.k,
                        [this, &input] {
                          const ConvAttentionPlan<T> plan(weigh(input), request_.d, {}, context_);
                          plan.apply(input.planted.head.view().value, mutable_view(output_), context_);
                        },
                        {}});
      result.push_back({"planned",
                        input.k,
                        [this, &input] {
                          planned_attention<T>(input.planted.head.view(), recover_options(input), mutable_view(output_),
                                               context_);
                        },
                        {}});
      add_accelerated(input, false, result);
    }
    return result;
  }

 private:
  struct Input {
    Index k, T_probe;
    Planted<T> planted;
  };

  static RecoverOptions recover_options(const Input& input) {
    return {.k = input.k, .T = input.T_probe, .delta = input.planted.delta, .eps = 0.0};
  }

  /// A line of the accelerator, if it can do it.
  void add_accelerated(const Input& input, bool exact, std::vector<Line>& lines) {
    if constexpr (std::same_as<T, float>) {
      const std::string method = exact ? "cuda_exact" : "cuda_conv";
      if (accelerator_ == nullptr || !is_wanted(request_, method)) return;
      const auto run = [this, &input, exact] { return exact ? accelerated_exact(input) : accelerated_conv(input); };
      if (!run()) return;
      lines.push_back({method,
                       exact ? 0 : input.k,
                       [run, method] {
                         if (!run()) throw Error(method + " failed on the GPU; leave it out, or measure again");
                       },
                       {}});
    }
  }
  bool accelerated_exact(const Input& input) {
    return accelerator_->exact_attention(input.planted.head.view(), mutable_view(output_), lse_, context_);
  }
  /// Recover is the CPU's.
  bool accelerated_conv(const Input& input) {
    RunContext there = context_;
    there.accelerator = accelerator_;
    const ConvAttentionPlan<T> plan(weigh(input), request_.d, {}, there);
    const ApplyReport report = plan.apply(input.planted.head.view().value, mutable_view(output_), there);
    return report.path.starts_with(accelerator_->name());
  }

  /// Recover and exponentials: part of every conv time.
  std::shared_ptr<const ConvWeights<T>> weigh(const Input& input) const {
    const Recovery<T> recovery = recover<T>(HeadScores<T>(input.planted.head.view()), recover_options(input), context_);
    return std::make_shared<const ConvWeights<T>>(exponentiate(recovery.basis, context_));
  }

  const CurveRequest& request_;
  const Accelerator* accelerator_;
  RunContext context_;
  Index n_;
  std::vector<Input> inputs_;
  Matrix<T> output_;
  std::vector<double> lse_;
};

/// True when more repeats would hardly move the median.
bool is_steady(std::vector<double> seconds, double spread) {
  const std::size_t count = seconds.size();
  if (spread <= 0.0 || count < least_steady) return false;
  std::ranges::sort(seconds);
  return seconds[count - 1 - count / 4] - seconds[count / 4] <= spread * seconds[count / 2];
}

/// Runs all lines in turn, again and again, so that a slow moment of the machine hits every method alike.
void measure(std::vector<Line>& lines, const CurveRequest& request, const RunContext& context) {
  for (int repeat = 0; repeat < request.max_repeats; ++repeat) {
    for (Line& line : lines) {
      if (repeat > 0 && (line.total >= request.seconds_per_point || is_steady(line.seconds, request.steady_spread))) continue;
      context.check();
      if (repeat == 0 && line.method != "exact") line.run();  // plans and caches warm; exact is long enough not to mind
      Stopwatch watch;
      line.run();
      line.seconds.push_back(watch.lap());
      line.total += line.seconds.back();
    }
  }
}

CurvePoint summarise(const Line& line, Index n, const CurveRequest& request) {
  std::vector<double> sorted = line.seconds;
  std::sort(sorted.begin(), sorted.end());
  const std::size_t middle = sorted.size() / 2;
  const double median = sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2.0;
  return {line.method,
          n,
          line.k,
          request.d,
          request.precision,
          median,
          sorted.front(),
          sorted.back(),
          static_cast<int>(sorted.size()),
          false};
}

void require_valid(const CurveRequest& request) {
  const auto require = [](bool holds, const std::string& problem) {
    if (!holds) throw InvalidArgument(problem);
  };
  require(!request.n.empty() && !request.k.empty(), "n and k each need at least one value");
  for (const Index n : request.n)
    require(n >= 2 && n <= (Index{1} << 24), "n is " + std::to_string(n) + "; it must be between 2 and 2^24");
  for (const Index k : request.k) require(k >= 1, "k is " + std::to_string(k) + "; it must be at least 1");
  require(request.d >= 2 && request.d % 2 == 0, "d is " + std::to_string(request.d) + "; it must be even and at least 2");
  require(request.max_repeats >= 1, "max_repeats is " + std::to_string(request.max_repeats) + "; it must be at least 1");
  require(request.steady_spread >= 0.0, "steady_spread is " + std::to_string(request.steady_spread) + "; it must be 0 or larger");
  for (const std::string& method : request.methods) {
    require(
        std::ranges::find(all_methods, method) != all_methods.end(),
        "method is \"" + method + "\"; it must be exact, conv_full, conv_partitioned, planned, rank, cuda_exact or cuda_conv");
  }
  if (is_wanted(request, "rank")) {
    require(request.degree >= 0 && request.degree <= max_exp_degree,
            "degree is " + std::to_string(request.degree) + "; it must be in [0, " + std::to_string(max_exp_degree) + "]");
    const std::string problem = feature_problem(request.degree, request.d, request.d);
    require(problem.empty(), problem);
  }
  const Index smallest = *std::min_element(request.n.begin(), request.n.end());
  const Index largest = *std::max_element(request.k.begin(), request.k.end());
  require(largest <= smallest / 2,
          "k is " + std::to_string(largest) + "; it must be at most half of the smallest n, " + std::to_string(smallest));
}

/// Exact time by n^2 from the largest measured n, for an n that was too long to measure.
std::optional<CurvePoint> extrapolated_exact(const std::vector<CurvePoint>& points, Index n) {
  const CurvePoint* base = nullptr;
  for (const CurvePoint& point : points) {
    if (point.method == "exact" && !point.extrapolated && (base == nullptr || point.n > base->n)) base = &point;
  }
  if (base == nullptr) return std::nullopt;
  const double ratio = static_cast<double>(n) / static_cast<double>(base->n);
  CurvePoint point = *base;
  point.n = n;
  point.seconds = point.seconds_min = point.seconds_max = base->seconds * ratio * ratio;
  point.repeats = 0;
  point.extrapolated = true;
  return point;
}

template <Real T>
std::vector<CurvePoint> measure_all(const CurveRequest& request, const RunContext& context,
                                    const std::function<void(const CurvePoint&)>& each) {
  std::vector<CurvePoint> points;
  const auto add = [&](const CurvePoint& point) {
    points.push_back(point);
    if (each) each(point);
  };
  std::vector<Index> sizes = request.n;
  std::sort(sizes.begin(), sizes.end());  // exact times are extrapolated from the smaller sizes
  double done = 0.0;
  for (const Index n : sizes) {
    RunContext quiet = context;
    quiet.progress = {};
    Bench<T> bench(request, n, quiet);
    std::vector<Line> lines = bench.lines();
    std::erase_if(lines, [&](const Line& line) { return !is_wanted(request, line.method); });
    measure(lines, request, context);
    if (n > request.exact_limit) {
      if (const auto point = extrapolated_exact(points, n)) add(*point);
    }
    for (const Line& line : lines) add(summarise(line, n, request));
    context.report("curve", ++done / static_cast<double>(request.n.size()));
  }
  return points;
}

}  // namespace

std::string_view name_of(Precision precision) { return precision == Precision::f32 ? "f32" : "f64"; }

std::vector<CurvePoint> measure_curve(const CurveRequest& request, const RunContext& context,
                                      const std::function<void(const CurvePoint&)>& each) {
  require_valid(request);
  return request.precision == Precision::f32 ? measure_all<float>(request, context, each)
                                             : measure_all<double>(request, context, each);
}

}  // namespace convbasis
