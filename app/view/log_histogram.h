/// \file
/// A histogram of sizes that spread over many decades.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace convscope {

struct LogHistogram {
  std::vector<double> edges;    ///< ascending, one more than there are bins; empty when no value is above 0
  std::vector<double> counts;   ///< of [edge, next edge), the last one included
  std::size_t zeros = 0;        ///< values that a logarithmic axis cannot hold
  std::size_t not_numbers = 0;  ///< NaN and infinity
};

/// Bins of equal width in the logarithm from the smallest to the largest value above 0, at least a factor of 2 apart in all.
/// `values` are not negative. Cost O(values).
LogHistogram log_histogram(std::span<const double> values, std::size_t bins);

}  // namespace convscope
