#include "attention/tile_kernels.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <type_traits>

// Compiled once for every target, like kernels.cpp; see there.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention/tile_kernels.cpp"
#include "core/simd_targets.h"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace convbasis::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using Vectors = hn::ScalableTag<T>;
template <class T>
using Vector = hn::Vec<Vectors<T>>;

/// Register blocks: scores are score_keys x 3 vectors, outputs output_rows x 2 vectors: 12 accumulators of 16 registers, or 24
/// of AVX-512's 32. The rest holds the operands. Three vectors of queries (three numbers, where vectors have one lane) are a
/// whole number of output blocks.
constexpr bool many_registers = HWY_TARGET <= HWY_AVX3;
constexpr Index score_keys = many_registers ? 8 : 4;
constexpr Index output_rows = many_registers ? 12 : (HWY_TARGET == HWY_SCALAR ? 3 : 6);

template <class T>
Index Lanes() {
  return static_cast<Index>(hn::Lanes(Vectors<T>()));
}

template <class T>
Index GroupWidth() {
  return 3 * Lanes<T>();
}

template <class T>
void PackGroup(MatrixView<T> query, T factor, T* packed) {
  const Index width = GroupWidth<T>();
  for (Index c = 0; c < query.cols(); ++c) {
    for (Index x = 0; x < query.rows(); ++x) packed[c * width + x] = factor * query(x, c);
    std::fill(packed + c * width + query.rows(), packed + (c + 1) * width, T{0});
  }
}

template <class T>
void RowLengths(MatrixView<T> matrix, T* lengths) {
  const Vectors<T> d;
  const Index lanes = Lanes<T>();
  for (Index i = 0; i < matrix.rows(); ++i) {
    const T* row = matrix.data() + i * matrix.outerStride();
    auto sum = hn::Zero(d);
    Index c = 0;
    for (; c + lanes <= matrix.cols(); c += lanes) {
      const auto part = hn::LoadU(d, row + c);
      sum = hn::MulAdd(part, part, sum);
    }
    T total = hn::GetLane(hn::SumOfLanes(d, sum));
    for (; c < matrix.cols(); ++c) total += row[c] * row[c];
    lengths[i] = std::sqrt(total);
  }
}

/// Numbers that the power of two is made of, for each precision.
template <class T>
struct PowerOfTwo;

template <>
struct PowerOfTwo<float> {
  static constexpr int mantissa_bits = 23;
  static constexpr float lowest = -127.0F;     // 2^lowest has the bits of zero
  static constexpr float round = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number, kept in the lowest bits
  static constexpr float coefficients[] = {    // 2^r - 1 over r on [-1/2, 1/2]: relative error of 2^r below 9.2e-8
                                           0.693147004F, 0.240222424F, 0.0555073358F, 0.00967151299F, 0.00132647261F};
};

template <>
struct PowerOfTwo<double> {
  static constexpr int mantissa_bits = 52;
  static constexpr double lowest = -1023.0;
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double coefficients[] = {           // relative error below 3.4e-18
                                            0.6931471805599453,     0.2402265069591013,    0.055504108664820084,
                                            0.00961812910759412,    0.0013333558146774584, 0.0001540353045711177,
                                            1.5252733493162957e-05, 1.321543528245539e-06, 1.0178199557072967e-07,
                                            7.073783225001668e-09,  4.434773523149006e-10};
};

/// 2^x for x < 127 (1023): 2^r of the remainder r by a polynomial whose value at 0 is exactly 1, and the whole part added to the
/// exponent bits. Not a number stays so.
template <class T>
HWY_INLINE Vector<T> Exp2(Vector<T> x) {
  using Constants = PowerOfTwo<T>;
  const Vectors<T> d;
  const hn::RebindToSigned<Vectors<T>> integers;
  x = hn::Max(hn::Set(d, Constants::lowest), x);
  const auto round = hn::Set(d, Constants::round);
  const auto shifted = hn::Add(x, round);
  const auto r = hn::Sub(x, hn::Sub(shifted, round));
  constexpr int degree = static_cast<int>(std::size(Constants::coefficients));
  auto power = hn::Set(d, Constants::coefficients[degree - 1]);
  for (int k = degree - 2; k >= 0; --k) power = hn::MulAdd(power, r, hn::Set(d, Constants::coefficients[k]));
  power = hn::MulAdd(power, r, hn::Set(d, T{1}));
  const auto exponent = hn::ShiftLeft<Constants::mantissa_bits>(hn::BitCast(integers, shifted));
  return hn::BitCast(d, hn::Add(hn::BitCast(integers, power), exponent));
}

/// Which queries of vector `v` of a group see a key that is hidden from the first `hidden` ones.
template <class T>
HWY_INLINE hn::Mask<Vectors<T>> Sees(Index v, Index hidden) {
  const Vectors<T> d;
  return hn::Ge(hn::Iota(d, static_cast<T>(v * Lanes<T>())), hn::Set(d, static_cast<T>(hidden)));
}

/// What is done with the scores of a register block.
template <class T>
struct Weigh {
  const T* shift;
  T* sums;

  template <bool Masked, Index Keys>
  HWY_INLINE void operator()(const Vector<T> (&scores)[Keys][3], Index hidden, T* weights) const {
    const Vectors<T> d;
    const Index lanes = Lanes<T>();
    for (Index v = 0; v < 3; ++v) {
      const auto shifts = hn::LoadU(d, shift + v * lanes);
      auto sum = hn::LoadU(d, sums + v * lanes);
      for (Index t = 0; t < Keys; ++t) {
        auto weight = Exp2<T>(hn::Sub(scores[t][v], shifts));
        if constexpr (Masked) weight = hn::IfThenElseZero(Sees<T>(v, hidden + t), weight);
        hn::StoreU(weight, d, weights + (3 * t + v) * lanes);
        sum = hn::Add(sum, weight);
      }
      hn::StoreU(sum, d, sums + v * lanes);
    }
  }
};

template <class T>
struct KeepScores {
  T* maximum;

  template <bool Masked, Index Keys>
  HWY_INLINE void operator()(const Vector<T> (&scores)[Keys][3], Index hidden, T* weights) const {
    const Vectors<T> d;
    const Index lanes = Lanes<T>();
    for (Index v = 0; v < 3; ++v) {
      auto best = hn::LoadU(d, maximum + v * lanes);
      for (Index t = 0; t < Keys; ++t) {
        auto value = scores[t][v];
        if constexpr (Masked) {
          value = hn::IfThenElse(Sees<T>(v, hidden + t), value, hn::Set(d, -std::numeric_limits<T>::infinity()));
        }
        hn::StoreU(value, d, weights + (3 * t + v) * lanes);
        best = hn::Max(best, value);
      }
      hn::StoreU(best, d, maximum + v * lanes);
    }
  }
};

/// Scores of Keys keys and the whole group, over the whole depth, handed to `finish` in registers. Query x sees key t of the
/// block when x >= hidden + t.
template <bool Masked, Index Keys, class T, class Finish>
HWY_INLINE void ScoreBlock(const ScoreTile<T>& tile, Index first, const Finish& finish) {
  const Vectors<T> d;
  const Index lanes = Lanes<T>();
  const T* HWY_RESTRICT key = tile.key + first * tile.key_stride;
  const T* HWY_RESTRICT query = tile.query;
  Vector<T> scores[Keys][3];
  for (Index t = 0; t < Keys; ++t) {
    for (Index v = 0; v < 3; ++v) scores[t][v] = hn::Zero(d);
  }
  for (Index c = 0; c < tile.depth; ++c) {
    const Vector<T> queries[3] = {hn::LoadU(d, query), hn::LoadU(d, query + lanes), hn::LoadU(d, query + 2 * lanes)};
    query += 3 * lanes;
    for (Index t = 0; t < Keys; ++t) {
      const auto factor = hn::Set(d, key[t * tile.key_stride + c]);
      for (Index v = 0; v < 3; ++v) scores[t][v] = hn::MulAdd(factor, queries[v], scores[t][v]);
    }
  }
  finish.template operator()<Masked, Keys>(scores, first - tile.visible, tile.weights + first * 3 * lanes);
}

template <Index Keys, class T, class Finish>
HWY_INLINE void ScoreBlockMaybeMasked(const ScoreTile<T>& tile, Index first, const Finish& finish) {
  if (first + Keys - 1 > tile.visible) {
    ScoreBlock<true, Keys>(tile, first, finish);
  } else {
    ScoreBlock<false, Keys>(tile, first, finish);
  }
}

template <class T, class Finish>
HWY_INLINE void ForAllKeys(const ScoreTile<T>& tile, const Finish& finish) {
  Index t = 0;
  for (; t + score_keys <= tile.keys; t += score_keys) ScoreBlockMaybeMasked<score_keys>(tile, t, finish);
  for (; t < tile.keys; ++t) ScoreBlockMaybeMasked<1>(tile, t, finish);
}

template <class T>
void Exponentiate(Index keys, T* weights, const T* shift, T* sums) {
  const Vectors<T> d;
  const Index lanes = Lanes<T>();
  for (Index v = 0; v < 3; ++v) {
    const auto shifts = hn::LoadU(d, shift + v * lanes);
    auto sum = hn::LoadU(d, sums + v * lanes);
    for (Index t = 0; t < keys; ++t) {
      T* place = weights + (3 * t + v) * lanes;
      const auto weight = Exp2<T>(hn::Sub(hn::LoadU(d, place), shifts));
      hn::StoreU(weight, d, place);
      sum = hn::Add(sum, weight);
    }
    hn::StoreU(sum, d, sums + v * lanes);
  }
}

/// output_rows queries x one panel of values, over `keys`.
template <class T>
HWY_INLINE void OutputBlock(Index keys, const T* HWY_RESTRICT weights, const T* HWY_RESTRICT values, T* HWY_RESTRICT target,
                            Index target_stride) {
  const Vectors<T> d;
  const Index lanes = Lanes<T>();
  Vector<T> low[output_rows];
  Vector<T> high[output_rows];
  for (Index x = 0; x < output_rows; ++x) {
    low[x] = hn::LoadU(d, target + x * target_stride);
    high[x] = hn::LoadU(d, target + x * target_stride + lanes);
  }
  for (Index t = 0; t < keys; ++t) {
    const auto value_low = hn::LoadU(d, values);
    const auto value_high = hn::LoadU(d, values + lanes);
    for (Index x = 0; x < output_rows; ++x) {
      const auto weight = hn::Set(d, weights[x]);
      low[x] = hn::MulAdd(weight, value_low, low[x]);
      high[x] = hn::MulAdd(weight, value_high, high[x]);
    }
    values += 2 * lanes;
    weights += 3 * lanes;
  }
  for (Index x = 0; x < output_rows; ++x) {
    hn::StoreU(low[x], d, target + x * target_stride);
    hn::StoreU(high[x], d, target + x * target_stride + lanes);
  }
}

template <class T>
void AddValues(const ValueTile<T>& tile) {
  const Index panel_width = 2 * Lanes<T>();
  for (Index p = 0; p < tile.panels; ++p) {
    for (Index x = 0; x < GroupWidth<T>(); x += output_rows) {
      const Index seen = std::min(tile.keys, tile.visible + x + output_rows);
      OutputBlock(seen, tile.weights + x, tile.values + p * tile.panel_stride,
                  tile.target + x * tile.target_stride + p * panel_width, tile.target_stride);
    }
  }
}

// Dispatch works on plain functions, so each template gets a name for each precision.
Index GroupWidthF32() { return GroupWidth<float>(); }
Index GroupWidthF64() { return GroupWidth<double>(); }
void PackGroupF32(MatrixView<float> query, float factor, float* packed) { PackGroup(query, factor, packed); }
void PackGroupF64(MatrixView<double> query, double factor, double* packed) { PackGroup(query, factor, packed); }
void RowLengthsF32(MatrixView<float> matrix, float* lengths) { RowLengths(matrix, lengths); }
void RowLengthsF64(MatrixView<double> matrix, double* lengths) { RowLengths(matrix, lengths); }
void WeighF32(const ScoreTile<float>& tile, const float* shift, float* sums) { ForAllKeys(tile, Weigh<float>{shift, sums}); }
void WeighF64(const ScoreTile<double>& tile, const double* shift, double* sums) { ForAllKeys(tile, Weigh<double>{shift, sums}); }
void ScoreF32(const ScoreTile<float>& tile, float* maximum) { ForAllKeys(tile, KeepScores<float>{maximum}); }
void ScoreF64(const ScoreTile<double>& tile, double* maximum) { ForAllKeys(tile, KeepScores<double>{maximum}); }
void ExponentiateF32(Index keys, float* weights, const float* shift, float* sums) { Exponentiate(keys, weights, shift, sums); }
void ExponentiateF64(Index keys, double* weights, const double* shift, double* sums) { Exponentiate(keys, weights, shift, sums); }
void AddValuesF32(const ValueTile<float>& tile) { AddValues(tile); }
void AddValuesF64(const ValueTile<double>& tile) { AddValues(tile); }

}  // namespace convbasis::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace convbasis::kernels {

HWY_EXPORT(GroupWidthF32);
HWY_EXPORT(GroupWidthF64);
HWY_EXPORT(PackGroupF32);
HWY_EXPORT(PackGroupF64);
HWY_EXPORT(RowLengthsF32);
HWY_EXPORT(RowLengthsF64);
HWY_EXPORT(WeighF32);
HWY_EXPORT(WeighF64);
HWY_EXPORT(ScoreF32);
HWY_EXPORT(ScoreF64);
HWY_EXPORT(ExponentiateF32);
HWY_EXPORT(ExponentiateF64);
HWY_EXPORT(AddValuesF32);
HWY_EXPORT(AddValuesF64);

template <>
Index group_width<float>() {
  return HWY_DYNAMIC_DISPATCH(GroupWidthF32)();
}
template <>
Index group_width<double>() {
  return HWY_DYNAMIC_DISPATCH(GroupWidthF64)();
}
template <>
void pack_group(MatrixView<float> query, float factor, float* packed) {
  HWY_DYNAMIC_DISPATCH(PackGroupF32)(query, factor, packed);
}
template <>
void pack_group(MatrixView<double> query, double factor, double* packed) {
  HWY_DYNAMIC_DISPATCH(PackGroupF64)(query, factor, packed);
}
template <>
void row_lengths(MatrixView<float> matrix, float* lengths) {
  HWY_DYNAMIC_DISPATCH(RowLengthsF32)(matrix, lengths);
}
template <>
void row_lengths(MatrixView<double> matrix, double* lengths) {
  HWY_DYNAMIC_DISPATCH(RowLengthsF64)(matrix, lengths);
}
template <>
void weigh(const ScoreTile<float>& tile, const float* shift, float* sums) {
  HWY_DYNAMIC_DISPATCH(WeighF32)(tile, shift, sums);
}
template <>
void weigh(const ScoreTile<double>& tile, const double* shift, double* sums) {
  HWY_DYNAMIC_DISPATCH(WeighF64)(tile, shift, sums);
}
template <>
void score(const ScoreTile<float>& tile, float* maximum) {
  HWY_DYNAMIC_DISPATCH(ScoreF32)(tile, maximum);
}
template <>
void score(const ScoreTile<double>& tile, double* maximum) {
  HWY_DYNAMIC_DISPATCH(ScoreF64)(tile, maximum);
}
template <>
void exponentiate(Index keys, float* weights, const float* shift, float* sums) {
  HWY_DYNAMIC_DISPATCH(ExponentiateF32)(keys, weights, shift, sums);
}
template <>
void exponentiate(Index keys, double* weights, const double* shift, double* sums) {
  HWY_DYNAMIC_DISPATCH(ExponentiateF64)(keys, weights, shift, sums);
}
template <>
void add_values(const ValueTile<float>& tile) {
  HWY_DYNAMIC_DISPATCH(AddValuesF32)(tile);
}
template <>
void add_values(const ValueTile<double>& tile) {
  HWY_DYNAMIC_DISPATCH(AddValuesF64)(tile);
}

}  // namespace convbasis::kernels
#endif
