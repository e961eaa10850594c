/// \file
/// Recover(k, T, delta, eps): finds a conv basis of a score matrix from few of its entries.
/// Conv-Basis paper, Algorithms 2 and 3; mathematics page, section 2.
#pragma once

#include "basis/conv_basis.h"
#include "basis/score_columns.h"
#include "core/run_context.h"

#include <string_view>
#include <vector>

namespace convbasis {

/// How the first differing column is looked for.
enum class Search {
  binary,  ///< O(log n) probes; finds the first such column only where the predicate is monotone
  scan,    ///< every column in turn; always the first
};
std::string_view name_of(Search search);

struct RecoverOptions {
  Index k = 16;        ///< most segments to find, 1 <= k <= n
  Index T = 8;         ///< entries of a column that a probe reads, 1 <= T <= n
  double delta = 0.5;  ///< separation of neighbouring lag vectors in the 1-norm over T entries, >= 0
  double eps = 0.01;   ///< noise of a score entry, >= 0; the guarantee wants eps <= delta / (5 T)
  Search search = Search::binary;

  bool operator==(const RecoverOptions&) const = default;

  /// A column differs when its distance is at least this: delta - 2 T eps.
  double threshold() const { return delta - 2.0 * static_cast<double>(T) * eps; }
};

/// One look at a column: the predicate distance >= threshold.
struct Probe {
  Index round;      ///< which start was looked for, from 0
  Index low, high;  ///< interval of candidate columns before the probe, both included
  Index column;
  double distance;  ///< || h_column[0..T-1] - v ||_1
  double threshold;
  bool differs;
};

template <Real T>
struct Recovery {
  ConvBasis<T> basis;
  std::vector<Probe> trace;  ///< in the order they were made
  /// False when a probed column, to the right of the start found last, does not differ from the lag vector before that
  /// start, although the start itself did: the predicate is then not monotone and a binary search may have missed starts.
  bool monotone = true;
};

/// Throws InvalidArgument, naming the parameter, its value and its range, unless `options` fit a matrix of `size` columns.
void require_valid(const RecoverOptions& options, Index size);

/// The Recover algorithm on the columns of `scores`. basis.count() < k means that fewer segments were needed.
/// Cost: O(k log n) probes of T entries (binary) or up to n probes (scan), and O(k n) entries for the lag vectors.
/// Throws InvalidArgument (require_valid), Cancelled.
template <Real T>
Recovery<T> recover(const ScoreColumns<T>& scores, const RecoverOptions& options, const RunContext& context = {});

/// The basis with these starts, chosen by hand: ascending, in [0, n). Its lag vectors are the columns that start its segments, as
/// for a recovered one; no probe is made. Cost: O(k n) entries. Throws InvalidArgument, Cancelled.
template <Real T>
Recovery<T> recover_at(const ScoreColumns<T>& scores, std::vector<Index> starts, const RunContext& context = {});

}  // namespace convbasis
