#include "basis/row_product.h"

#include "attention/kernels.h"

#include <algorithm>
#include <array>
#include <vector>

// Compiled once for every instruction set, as attention/kernels.cpp is; foreach_target.h must come before highway.h.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "basis/row_product.cpp"
#include "core/simd_targets.h"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace convbasis::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Doubles = hn::ScalableTag<double>;

HWY_INLINE hn::Vec<Doubles> LoadDoubles(const double* from) { return hn::LoadU(Doubles(), from); }
HWY_INLINE hn::Vec<Doubles> LoadDoubles(const float* from) {
  return hn::PromoteTo(Doubles(), hn::LoadU(hn::Rebind<float, Doubles>(), from));
}

template <class T>
void AddWeightedRows(MatrixView<T> value, const double* weights, Index weight_stride, double* sums) {
  const Doubles vectors;
  const Index lanes = static_cast<Index>(hn::Lanes(vectors));
  const Index columns = value.cols();
  Index c = 0;
  for (; c + 2 * lanes <= columns; c += 2 * lanes) {
    hn::Vec<Doubles> low[rows_at_once];
    hn::Vec<Doubles> high[rows_at_once];
    for (Index r = 0; r < rows_at_once; ++r) {
      low[r] = hn::LoadU(vectors, sums + r * columns + c);
      high[r] = hn::LoadU(vectors, sums + r * columns + c + lanes);
    }
    for (Index j = 0; j < value.rows(); ++j) {
      const T* row = value.data() + j * value.outerStride() + c;
      const auto value_low = LoadDoubles(row);
      const auto value_high = LoadDoubles(row + lanes);
      for (Index r = 0; r < rows_at_once; ++r) {
        const auto weight = hn::Set(vectors, weights[r * weight_stride + j]);
        low[r] = hn::MulAdd(weight, value_low, low[r]);
        high[r] = hn::MulAdd(weight, value_high, high[r]);
      }
    }
    for (Index r = 0; r < rows_at_once; ++r) {
      hn::StoreU(low[r], vectors, sums + r * columns + c);
      hn::StoreU(high[r], vectors, sums + r * columns + c + lanes);
    }
  }
  for (; c < columns; ++c) {
    for (Index r = 0; r < rows_at_once; ++r) {
      double sum = sums[r * columns + c];
      for (Index j = 0; j < value.rows(); ++j) sum += weights[r * weight_stride + j] * static_cast<double>(value(j, c));
      sums[r * columns + c] = sum;
    }
  }
}

void AddWeightedRowsF32(MatrixView<float> value, const double* weights, Index weight_stride, double* sums) {
  AddWeightedRows(value, weights, weight_stride, sums);
}
void AddWeightedRowsF64(MatrixView<double> value, const double* weights, Index weight_stride, double* sums) {
  AddWeightedRows(value, weights, weight_stride, sums);
}

}  // namespace convbasis::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace convbasis {

HWY_EXPORT(AddWeightedRowsF32);
HWY_EXPORT(AddWeightedRowsF64);

template <>
void add_weighted_rows(MatrixView<float> value, const double* weights, Index weight_stride, double* sums) {
  HWY_DYNAMIC_DISPATCH(AddWeightedRowsF32)(value, weights, weight_stride, sums);
}
template <>
void add_weighted_rows(MatrixView<double> value, const double* weights, Index weight_stride, double* sums) {
  HWY_DYNAMIC_DISPATCH(AddWeightedRowsF64)(value, weights, weight_stride, sums);
}

namespace {

/// probabilities[j - first] = P~_ij of one row for j in [first, first + count), 0 above the diagonal.
template <Real T>
void fill_row(const ConvBasis<T>& scores, Index row, double log_sum, Index first, Index count, double* probabilities) {
  const Index causal = std::clamp<Index>(row + 1 - first, 0, count);
  for (Index j = first; j < first + causal;) {
    const Index r = scores.segment_of(j);
    const Index end = std::min(scores.end(r), first + causal);
    const auto lags = scores.lag_vector(r);
    for (; j < end; ++j) probabilities[j - first] = static_cast<double>(lags[static_cast<std::size_t>(row - j)]);
  }
  kernels::exp_shifted<double>(probabilities, causal, log_sum, probabilities);
  std::fill(probabilities + causal, probabilities + count, 0.0);
}

}  // namespace

template <Real T>
void apply_rows(const ConvWeights<T>& weights, MatrixView<T> value, std::span<const Index> rows, Matrix<double>& result) {
  constexpr Index tile = 128;  // rows of V that stay in the first-level cache while all columns are summed
  std::array<double, rows_at_once> log_sums{};
  for (std::size_t r = 0; r < rows.size(); ++r) log_sums[r] = weights.log_row_sum(rows[r]);
  std::array<double, rows_at_once * tile> probabilities{};
  result.setZero(rows_at_once, value.cols());
  for (Index first = 0; first <= rows.back(); first += tile) {
    const Index count = std::min(tile, rows.back() + 1 - first);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      fill_row(weights.scores, rows[r], log_sums[r], first, count, probabilities.data() + static_cast<Index>(r) * tile);
    }
    add_weighted_rows<T>(convbasis::rows(value, first, count), probabilities.data(), tile, result.data());
  }
}

template void apply_rows(const ConvWeights<float>&, MatrixView<float>, std::span<const Index>, Matrix<double>&);
template void apply_rows(const ConvWeights<double>&, MatrixView<double>, std::span<const Index>, Matrix<double>&);

}  // namespace convbasis
#endif
