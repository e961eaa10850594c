#include "basis/decompose.h"

#include <cmath>
#include <sstream>
#include <utility>

namespace convbasis {
namespace {

/// NaN in either vector makes them unequal.
template <Real T>
bool equal_within(std::span<const T> a, std::span<const T> b, double tolerance) {
  for (std::size_t t = 0; t < a.size(); ++t) {
    if (!(std::abs(static_cast<double>(a[t]) - static_cast<double>(b[t])) <= tolerance)) return false;
  }
  return true;
}

}  // namespace

template <Real T>
ConvBasis<T> decompose(const ScoreColumns<T>& matrix, double tolerance, const RunContext& context) {
  if (!(tolerance >= 0)) {
    std::ostringstream message;
    message << "tolerance is " << tolerance << "; it must be 0 or larger";
    throw InvalidArgument(message.str());
  }
  const auto n = static_cast<std::size_t>(matrix.size());
  std::vector<Index> starts;
  std::vector<std::vector<T>> lag_vectors;
  const std::vector<T> zero(n, T{0});
  std::vector<T> column(n);
  for (std::size_t j = 0; j < n; ++j) {
    context.check();
    const std::span<T> lags(column.data(), n - j);
    matrix.read(static_cast<Index>(j), lags);
    const std::span<const T> segment(lag_vectors.empty() ? zero : lag_vectors.back());
    if (equal_within<T>(lags, segment.first(n - j), tolerance)) continue;
    starts.push_back(static_cast<Index>(j));
    lag_vectors.emplace_back(lags.begin(), lags.end());
  }
  return ConvBasis<T>(matrix.size(), std::move(starts), std::move(lag_vectors));
}

template ConvBasis<float> decompose(const ScoreColumns<float>&, double, const RunContext&);
template ConvBasis<double> decompose(const ScoreColumns<double>&, double, const RunContext&);

}  // namespace convbasis
