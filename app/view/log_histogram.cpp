#include "view/log_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace convscope {

LogHistogram log_histogram(std::span<const double> values, std::size_t bins) {
  LogHistogram histogram;
  double low = std::numeric_limits<double>::infinity();
  double high = 0.0;
  for (const double value : values) {
    if (!std::isfinite(value)) {
      ++histogram.not_numbers;
    } else if (value <= 0.0) {
      ++histogram.zeros;
    } else {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (high == 0.0 || bins == 0) return histogram;
  double from = std::log(low);
  double to = std::log(high);
  if (to - from < std::log(2.0)) {
    const double middle = (from + to) / 2.0;
    from = middle - std::log(2.0) / 2.0;
    to = middle + std::log(2.0) / 2.0;
  }
  const double width = (to - from) / static_cast<double>(bins);
  for (std::size_t x = 0; x <= bins; ++x) histogram.edges.push_back(std::exp(from + width * static_cast<double>(x)));
  histogram.counts.assign(bins, 0.0);
  for (const double value : values) {
    if (!std::isfinite(value) || value <= 0.0) continue;
    const double place = (std::log(value) - from) / width;
    histogram.counts[std::min(static_cast<std::size_t>(std::max(place, 0.0)), bins - 1)] += 1.0;
  }
  return histogram;
}

}  // namespace convscope
