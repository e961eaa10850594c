#include "core/cost_model.h"

#include "core/errors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

namespace convbasis {
namespace {

struct Shared {
  std::mutex mutex;
  CostModel model;
};

/// Made at its first use, so that other static objects may plan too.
Shared& shared() {
  static Shared one;
  return one;
}

}  // namespace

double CostModel::transform_of(Index block) const {
  const int log_block = static_cast<int>(std::bit_width(static_cast<std::size_t>(block))) - 1;
  return transform[static_cast<std::size_t>(std::clamp(log_block, smallest_log_block, largest_log_block) - smallest_log_block)];
}

double CostModel::spectral_of(double bytes) const {
  const double most = static_cast<double>(spectral.size() - 1);
  const double place = std::clamp(0.5 * std::log2(std::max(1.0, bytes) / smallest_working_set), 0.0, most);
  const auto below = std::min(static_cast<std::size_t>(place), spectral.size() - 2);
  return std::lerp(spectral[below], spectral[below + 1], place - static_cast<double>(below));
}

bool is_plausible(const CostModel& model) {
  // The slowest machine that one would use and the fastest there will be are far inside.
  const auto all = [](const auto& values) {
    return std::all_of(values.begin(), values.end(), [](double ns) { return ns >= 1e-6 && ns <= 1e6; });
  };
  return all(model.transform) && all(model.spectral) &&
         all(std::array{model.direct, model.exact, model.exact_score, model.recover, model.exponential, model.conv_value,
                        model.exact_double, model.conv_double}) &&
         all(std::array{1e-3 * model.exact_call, 1e-3 * model.conv_call});
}

CostModel cost_model() {
  const std::scoped_lock lock(shared().mutex);
  return shared().model;
}

void set_cost_model(const CostModel& model) {
  if (!is_plausible(model))
    throw InvalidArgument("the cost model holds a number that is no time; each must be finite and above 0");
  const std::scoped_lock lock(shared().mutex);
  shared().model = model;
}

}  // namespace convbasis
