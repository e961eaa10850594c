/// \file
/// The inner loops of exact attention, compiled for several instruction sets and chosen at run time. Internal to the engine. No
/// function here allocates or throws.
///
/// Scores are kept transposed: one row for each key, one column for each query of a group. A query is then a lane, so its maximum
/// and its sum need no step across lanes, keys are read where they lie, and the weights come out in the order in which the
/// product with the values reads them. Scores are in base 2: the queries are packed times scale * log2(e).
#pragma once

#include "core/types.h"

namespace convbasis::kernels {

/// Queries of a group on this machine: three vectors, which with the keys of a register block fills the registers.
template <Real T>
Index group_width();

/// packed[c * group_width + x] = factor * query[x][c], zero for x >= query.rows(). query.rows() <= group_width.
template <Real T>
void pack_group(MatrixView<T> query, T factor, T* packed);

/// lengths[i] = |row i|, in T: infinite when its square overflows.
template <Real T>
void row_lengths(MatrixView<T> matrix, T* lengths);

/// The scores of one group of queries and some keys.
template <Real T>
struct ScoreTile {
  const T* query;  ///< from pack_group(): depth x group_width
  Index depth;     ///< d
  const T* key;    ///< keys x depth, key_stride apart
  Index key_stride;
  Index keys;
  Index visible;  ///< query x sees key t when t <= visible + x
  T* weights;     ///< keys x group_width, written
};

/// weights[t][x] = 2^(score - shift[x]), zero where the key is not seen; sums[x] += the weights of x.
/// The scores must be below shift + 64 (float) or + 500 (double). Relative error of the power: 2 units of T's rounding; powers
/// below T's smallest normal number are wrong by less than that number, and exactly zero from half of it down.
template <Real T>
void weigh(const ScoreTile<T>& tile, const T* shift, T* sums);

/// weights[t][x] = score, -infinity where the key is not seen; maximum[x] is raised to the largest.
template <Real T>
void score(const ScoreTile<T>& tile, T* maximum);

/// The second half of weigh() on what score() wrote: weights become 2^(weights - shift[x]); sums[x] += the weights of x.
/// Bit for bit what weigh() gives.
template <Real T>
void exponentiate(Index keys, T* weights, const T* shift, T* sums);

/// The weights of one group of queries and some values.
template <Real T>
struct ValueTile {
  const T* weights;  ///< keys x group_width
  Index keys;
  Index visible;    ///< as in ScoreTile
  const T* values;  ///< as pack_columns() packs them, panel_stride apart
  Index panels;
  Index panel_stride;
  T* target;  ///< group_width x (panels * panel_width), target_stride apart
  Index target_stride;
};

/// target[x][c] += sum_t weights[t][x] * values(t, c). Keys that no query of a register block sees are skipped.
template <Real T>
void add_values(const ValueTile<T>& tile);

}  // namespace convbasis::kernels
