#include "basis/structured_fit.h"

#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace convbasis {

void require_valid(const StructuredOptions& options, Index size) {
  const auto within = [size](const char* name, Index value) {
    if (value < 0 || value > size) throw InvalidArgument(fmt::format("{} is {}; it must be in [0, {}]", name, value, size));
  };
  within("band", options.band);
  within("columns", options.columns);
  if (options.k < 0) throw InvalidArgument(fmt::format("k is {}; it must be at least 0", options.k));
  if (options.rounds < 1) throw InvalidArgument(fmt::format("rounds is {}; it must be at least 1", options.rounds));
  if (!(options.tolerance >= 0.0)) {
    throw InvalidArgument(fmt::format("tolerance is {}; it must be 0 or larger", options.tolerance));
  }
}

bool ExactEntries::has_column(Index column) const { return std::ranges::binary_search(columns, column); }

double StructuredFit::rest(Index row, Index column) const {
  if (column > row || exact.contains(row, column)) return 0.0;
  const double factors = row_factor[static_cast<std::size_t>(row)] * column_factor[static_cast<std::size_t>(column)];
  return k() == 0 ? factors : factors * lags.entry(row, column);
}

template <Real T>
void StructuredFit::rest_tile(Index row, Index column, MutableMatrixView<T> tile) const {
  const std::span<const double> b = std::span(column_factor).subspan(static_cast<std::size_t>(column));
  std::vector<double> g(static_cast<std::size_t>(tile.cols()), 1.0);
  for (Index x = 0; x < tile.rows(); ++x) {
    const Index i = row + x;
    const Index outside = std::clamp<Index>(i - exact.band - column + 1, 0, tile.cols());  // b is 0 on the exact columns
    if (k() > 0 && outside > 0) lags.row(i, column, std::span(g).first(static_cast<std::size_t>(outside)));
    const double a = row_factor[static_cast<std::size_t>(i)];
    for (Index y = 0; y < outside; ++y) {
      const auto at = static_cast<std::size_t>(y);
      tile(x, y) = static_cast<T>(a * b[at] * g[at]);
    }
    tile.row(x).tail(tile.cols() - outside).setZero();
  }
}

template <Real T>
void StructuredFit::probability_tile(const HeadView<T>& head, Index row, Index column, MutableMatrixView<T> tile) const {
  convbasis::probability_tile<T>(head, lse, row, column, tile);
  Matrix<T> rest(tile.rows(), tile.cols());
  rest_tile<T>(row, column, mutable_view(rest));
  std::vector<bool> whole(static_cast<std::size_t>(tile.cols()));  // columns that are exact
  for (Index y = 0; y < tile.cols(); ++y) whole[static_cast<std::size_t>(y)] = exact.has_column(column + y);
  for (Index x = 0; x < tile.rows(); ++x) {
    const Index outside = std::clamp<Index>(row + x - exact.band - column + 1, 0, tile.cols());
    for (Index y = 0; y < outside; ++y) {
      if (!whole[static_cast<std::size_t>(y)]) tile(x, y) = rest(x, y);
    }
  }
}

template void StructuredFit::rest_tile(Index, Index, MutableMatrixView<float>) const;
template void StructuredFit::rest_tile(Index, Index, MutableMatrixView<double>) const;
template void StructuredFit::probability_tile(const HeadView<float>&, Index, Index, MutableMatrixView<float>) const;
template void StructuredFit::probability_tile(const HeadView<double>&, Index, Index, MutableMatrixView<double>) const;

}  // namespace convbasis
