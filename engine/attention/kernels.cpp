#include "attention/kernels.h"

#include "attention/exact_attention.h"

#include <algorithm>
#include <limits>
#include <string>

// One binary for all x86-64 machines: this file is compiled once for every target below by Highway, which picks the best at run
// time. foreach_target.h must come before highway.h.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention/kernels.cpp"
#include "core/simd_targets.h"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace convbasis::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using Vectors = hn::ScalableTag<T>;
template <class T>
using Vec = hn::Vec<Vectors<T>>;

/// Rows of one register block: with two vectors a row, 24 accumulators fit AVX-512's 32 registers and 12 fit 16 registers. The
/// multiply-adds of a step must outlast their latency, which 8 accumulators only just do.
constexpr Index register_rows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;

template <class T>
Index PanelWidth() {
  return 2 * static_cast<Index>(hn::Lanes(Vectors<T>()));
}

template <class T>
void PackTransposed(MatrixView<T> source, T* packed) {
  const Index width = PanelWidth<T>();
  const Index depth = source.cols();
  for (Index first = 0; first < source.rows(); first += width) {
    T* panel = packed + first * depth;
    const Index used = std::min(width, source.rows() - first);
    for (Index c = 0; c < depth; ++c) {
      for (Index x = 0; x < used; ++x) panel[c * width + x] = source(first + x, c);
      std::fill(panel + c * width + used, panel + (c + 1) * width, T{0});
    }
  }
}

template <class T>
void PackColumns(MatrixView<T> source, T* packed) {
  const Vectors<T> vectors;
  const Index lanes = static_cast<Index>(hn::Lanes(vectors));
  const Index width = PanelWidth<T>();
  const Index depth = source.rows();
  for (Index c = 0; c < depth; ++c) {
    const T* row = source.data() + c * source.outerStride();
    T* place = packed + c * width;
    Index first = 0;
    for (; first + width <= source.cols(); first += width) {
      hn::StoreU(hn::LoadU(vectors, row + first), vectors, place + first * depth);
      hn::StoreU(hn::LoadU(vectors, row + first + lanes), vectors, place + first * depth + lanes);
    }
    if (first == source.cols()) continue;
    std::copy(row + first, row + source.cols(), place + first * depth);
    std::fill(place + first * depth + source.cols() - first, place + first * depth + width, T{0});
  }
}

/// A register block: Rows x one panel, over the whole depth.
template <Index Rows, class T>
HWY_INLINE void MultiplyBlock(Index depth, const T* HWY_RESTRICT left, Index left_stride, const T* HWY_RESTRICT panel,
                              T* HWY_RESTRICT target, Index target_stride, bool accumulate) {
  const Vectors<T> vectors;
  const Index lanes = static_cast<Index>(hn::Lanes(vectors));
  hn::Vec<Vectors<T>> low[Rows];
  hn::Vec<Vectors<T>> high[Rows];
  for (Index r = 0; r < Rows; ++r) {
    low[r] = accumulate ? hn::LoadU(vectors, target + r * target_stride) : hn::Zero(vectors);
    high[r] = accumulate ? hn::LoadU(vectors, target + r * target_stride + lanes) : hn::Zero(vectors);
  }
  for (Index c = 0; c < depth; ++c) {
    const auto right_low = hn::LoadU(vectors, panel + c * 2 * lanes);
    const auto right_high = hn::LoadU(vectors, panel + c * 2 * lanes + lanes);
    for (Index r = 0; r < Rows; ++r) {
      const auto factor = hn::Set(vectors, left[r * left_stride + c]);
      low[r] = hn::MulAdd(factor, right_low, low[r]);
      high[r] = hn::MulAdd(factor, right_high, high[r]);
    }
  }
  for (Index r = 0; r < Rows; ++r) {
    hn::StoreU(low[r], vectors, target + r * target_stride);
    hn::StoreU(high[r], vectors, target + r * target_stride + lanes);
  }
}

template <class T>
void Multiply(Index rows, Index depth, Index panels, const T* left, Index left_stride, const T* packed, Index panel_stride,
              T* target, Index target_stride, bool accumulate) {
  const Index width = PanelWidth<T>();
  for (Index p = 0; p < panels; ++p) {
    const T* panel = packed + p * panel_stride;
    Index i = 0;
    for (; i + register_rows <= rows; i += register_rows) {
      MultiplyBlock<register_rows>(depth, left + i * left_stride, left_stride, panel, target + i * target_stride + p * width,
                                   target_stride, accumulate);
    }
    for (; i + 3 <= rows; i += 3) {
      MultiplyBlock<3>(depth, left + i * left_stride, left_stride, panel, target + i * target_stride + p * width, target_stride,
                       accumulate);
    }
    for (; i < rows; ++i) {
      MultiplyBlock<1>(depth, left + i * left_stride, left_stride, panel, target + i * target_stride + p * width, target_stride,
                       accumulate);
    }
  }
}

template <class T>
void ExpShifted(const T* in, Index count, T shift, T* out) {
  const Vectors<T> vectors;
  const Index lanes = static_cast<Index>(hn::Lanes(vectors));
  const auto shifts = hn::Set(vectors, shift);
  const auto smallest = hn::Set(vectors, std::numeric_limits<T>::min());
  const auto exp_of = [&](auto value) HWY_ATTR {
    const auto weight = hn::Exp(vectors, hn::Sub(value, shifts));
    return hn::IfThenElseZero(hn::Ge(weight, smallest), weight);
  };
  Index i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(exp_of(hn::LoadU(vectors, in + i)), vectors, out + i);
  for (; i < count; ++i) out[i] = hn::GetLane(exp_of(hn::Set(vectors, in[i])));
}

template <class T>
void MultiplyVector(MatrixView<T> matrix, const T* vector, T scale, T* out) {
  const Vectors<T> vectors;
  const Index lanes = static_cast<Index>(hn::Lanes(vectors));
  const Index depth = matrix.cols();
  for (Index t = 0; t < matrix.rows(); ++t) {
    const T* row = matrix.data() + t * matrix.outerStride();
    auto sum = hn::Zero(vectors);
    Index c = 0;
    for (; c + lanes <= depth; c += lanes) sum = hn::MulAdd(hn::LoadU(vectors, row + c), hn::LoadU(vectors, vector + c), sum);
    T total = hn::GetLane(hn::SumOfLanes(vectors, sum));
    for (; c < depth; ++c) total += row[c] * vector[c];
    out[t] = scale * total;
  }
}

template <class T>
T MultiplyAdds(Index repeats) {
  const Vectors<T> d;
  constexpr Index chains = 2 * register_rows;
  Vec<T> sums[chains];
  for (Index i = 0; i < chains; ++i) sums[i] = hn::Set(d, static_cast<T>(i));
  // Factors that the compiler does not know; every sum tends to a fixed point.
  const auto factor = hn::Set(d, T{1} / static_cast<T>(repeats + 2));
  const auto term = hn::Set(d, static_cast<T>(repeats));
  for (Index r = 0; r < repeats; ++r) {
    for (Index i = 0; i < chains; ++i) sums[i] = hn::MulAdd(sums[i], factor, term);
  }
  for (Index i = 1; i < chains; ++i) sums[0] = hn::Add(sums[0], sums[i]);
  return hn::GetLane(hn::SumOfLanes(d, sums[0]));
}

template <class T>
Index MultiplyAddsOfOneRepeat() {
  return register_rows * PanelWidth<T>();
}

// Dispatch works on plain functions, so each template gets a name for each precision.
Index PanelWidthF32() { return PanelWidth<float>(); }
Index PanelWidthF64() { return PanelWidth<double>(); }
void PackTransposedF32(MatrixView<float> source, float* packed) { PackTransposed(source, packed); }
void PackTransposedF64(MatrixView<double> source, double* packed) { PackTransposed(source, packed); }
void PackColumnsF32(MatrixView<float> source, float* packed) { PackColumns(source, packed); }
void PackColumnsF64(MatrixView<double> source, double* packed) { PackColumns(source, packed); }
void MultiplyF32(Index rows, Index depth, Index panels, const float* left, Index left_stride, const float* packed,
                 Index panel_stride, float* target, Index target_stride, bool accumulate) {
  Multiply(rows, depth, panels, left, left_stride, packed, panel_stride, target, target_stride, accumulate);
}
void MultiplyF64(Index rows, Index depth, Index panels, const double* left, Index left_stride, const double* packed,
                 Index panel_stride, double* target, Index target_stride, bool accumulate) {
  Multiply(rows, depth, panels, left, left_stride, packed, panel_stride, target, target_stride, accumulate);
}
void ExpShiftedF32(const float* in, Index count, float shift, float* out) { ExpShifted(in, count, shift, out); }
void ExpShiftedF64(const double* in, Index count, double shift, double* out) { ExpShifted(in, count, shift, out); }
void MultiplyVectorF32(MatrixView<float> matrix, const float* vector, float scale, float* out) {
  MultiplyVector(matrix, vector, scale, out);
}
void MultiplyVectorF64(MatrixView<double> matrix, const double* vector, double scale, double* out) {
  MultiplyVector(matrix, vector, scale, out);
}
float MultiplyAddsF32(Index repeats) { return MultiplyAdds<float>(repeats); }
double MultiplyAddsF64(Index repeats) { return MultiplyAdds<double>(repeats); }
Index MultiplyAddsOfOneRepeatF32() { return MultiplyAddsOfOneRepeat<float>(); }
Index MultiplyAddsOfOneRepeatF64() { return MultiplyAddsOfOneRepeat<double>(); }
std::string InstructionSet() {
  switch (HWY_TARGET) {
    case HWY_AVX3:
      return "AVX-512";
    case HWY_AVX2:
      return "AVX2";
    case HWY_SSE4:
      return "SSE4";
    default:
      return hwy::TargetName(HWY_TARGET);
  }
}

}  // namespace convbasis::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace convbasis {
namespace kernels {

HWY_EXPORT(PanelWidthF32);
HWY_EXPORT(PanelWidthF64);
HWY_EXPORT(PackTransposedF32);
HWY_EXPORT(PackTransposedF64);
HWY_EXPORT(PackColumnsF32);
HWY_EXPORT(PackColumnsF64);
HWY_EXPORT(MultiplyF32);
HWY_EXPORT(MultiplyF64);
HWY_EXPORT(ExpShiftedF32);
HWY_EXPORT(ExpShiftedF64);
HWY_EXPORT(MultiplyVectorF32);
HWY_EXPORT(MultiplyVectorF64);
HWY_EXPORT(MultiplyAddsF32);
HWY_EXPORT(MultiplyAddsF64);
HWY_EXPORT(MultiplyAddsOfOneRepeatF32);
HWY_EXPORT(MultiplyAddsOfOneRepeatF64);
HWY_EXPORT(InstructionSet);

template <>
Index panel_width<float>() {
  return HWY_DYNAMIC_DISPATCH(PanelWidthF32)();
}
template <>
Index panel_width<double>() {
  return HWY_DYNAMIC_DISPATCH(PanelWidthF64)();
}
template <>
void pack_transposed(MatrixView<float> source, float* packed) {
  HWY_DYNAMIC_DISPATCH(PackTransposedF32)(source, packed);
}
template <>
void pack_transposed(MatrixView<double> source, double* packed) {
  HWY_DYNAMIC_DISPATCH(PackTransposedF64)(source, packed);
}
template <>
void pack_columns(MatrixView<float> source, float* packed) {
  HWY_DYNAMIC_DISPATCH(PackColumnsF32)(source, packed);
}
template <>
void pack_columns(MatrixView<double> source, double* packed) {
  HWY_DYNAMIC_DISPATCH(PackColumnsF64)(source, packed);
}
template <>
void multiply(Index rows, Index depth, Index panels, const float* left, Index left_stride, const float* packed,
              Index panel_stride, float* target, Index target_stride, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(MultiplyF32)
  (rows, depth, panels, left, left_stride, packed, panel_stride, target, target_stride, accumulate);
}
template <>
void multiply(Index rows, Index depth, Index panels, const double* left, Index left_stride, const double* packed,
              Index panel_stride, double* target, Index target_stride, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(MultiplyF64)
  (rows, depth, panels, left, left_stride, packed, panel_stride, target, target_stride, accumulate);
}
template <>
void exp_shifted(const float* in, Index count, float shift, float* out) {
  HWY_DYNAMIC_DISPATCH(ExpShiftedF32)(in, count, shift, out);
}
template <>
void exp_shifted(const double* in, Index count, double shift, double* out) {
  HWY_DYNAMIC_DISPATCH(ExpShiftedF64)(in, count, shift, out);
}
template <>
void multiply_vector(MatrixView<float> matrix, const float* vector, float scale, float* out) {
  HWY_DYNAMIC_DISPATCH(MultiplyVectorF32)(matrix, vector, scale, out);
}
template <>
void multiply_vector(MatrixView<double> matrix, const double* vector, double scale, double* out) {
  HWY_DYNAMIC_DISPATCH(MultiplyVectorF64)(matrix, vector, scale, out);
}
template <>
float multiply_adds(Index repeats) {
  return HWY_DYNAMIC_DISPATCH(MultiplyAddsF32)(repeats);
}
template <>
double multiply_adds(Index repeats) {
  return HWY_DYNAMIC_DISPATCH(MultiplyAddsF64)(repeats);
}
template <>
Index multiply_adds_of_one_repeat<float>() {
  return HWY_DYNAMIC_DISPATCH(MultiplyAddsOfOneRepeatF32)();
}
template <>
Index multiply_adds_of_one_repeat<double>() {
  return HWY_DYNAMIC_DISPATCH(MultiplyAddsOfOneRepeatF64)();
}

std::string instruction_set() { return HWY_DYNAMIC_DISPATCH(InstructionSet)(); }

}  // namespace kernels

std::string kernel_instruction_set() { return kernels::instruction_set(); }

}  // namespace convbasis
#endif
