#include "basis/structured_sums.h"

#include "attention/exact_rows.h"
#include "attention/kernels.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace convbasis {
namespace {

constexpr Index rows_at_once = 256;

/// Columns [first, last) of one segment, at most one tile of RowScores wide.
struct ColumnPiece {
  Index first, last, segment;
};

std::vector<ColumnPiece> column_pieces(Index n, Index width, std::span<const Index> starts) {
  std::vector<ColumnPiece> pieces;
  Index segment = starts.empty() ? -1 : 0;
  for (Index first = 0; first < n;) {
    Index last = std::min(n, (first / width + 1) * width);
    const bool has_next = segment >= 0 && segment + 1 < std::ssize(starts);
    if (has_next) last = std::min(last, starts[static_cast<std::size_t>(segment) + 1]);
    pieces.push_back({first, last, segment});
    if (has_next && last == starts[static_cast<std::size_t>(segment) + 1]) ++segment;
    first = last;
  }
  return pieces;
}

/// Shows the probabilities of chosen rows, a piece of columns at a time. Immutable; any thread may read.
template <Real T>
class ProbabilityReader {
 public:
  ProbabilityReader(const HeadView<T>& head, const WeightedRows& rows) : rows_(rows) {
    const std::span<const Index> all(rows.rows);
    for (std::size_t first = 0; first < all.size(); first += static_cast<std::size_t>(rows_at_once)) {
      chunks_.emplace_back(head, all.subspan(first, std::min<std::size_t>(rows_at_once, all.size() - first)));
    }
  }

  struct Scratch {
    typename RowScores<T>::Tile tile;
    std::vector<T> probability = std::vector<T>(static_cast<std::size_t>(RowScores<T>::tile_keys));
  };

  /// visit(x, count, scores, probabilities) for each chosen row (the x-th) that has entries in the piece with i - j >= band, in
  /// order; they are the first `count` of the piece.
  template <class Visit>
  void read(const ColumnPiece& piece, Index band, Scratch& own, const RunContext& context, const Visit& visit) const {
    for (std::size_t c = 0; c < chunks_.size(); ++c) {
      const RowScores<T>& chunk = chunks_[c];
      if (chunk.rows().back() < piece.first + band) continue;
      context.check();
      chunk.compute(piece.first, piece.last - piece.first, own.tile);
      for (Index y = chunk.first_to_see(piece.first + band); y < std::ssize(chunk.rows()); ++y) {
        const auto x = c * static_cast<std::size_t>(rows_at_once) + static_cast<std::size_t>(y);
        const Index count = std::min(piece.last - piece.first, rows_.rows[x] - band - piece.first + 1);
        const T* scores = own.tile.row(y);
        kernels::exp_shifted<T>(scores, count, static_cast<T>(rows_.lse[x]), own.probability.data());
        visit(x, count, scores, own.probability.data());
      }
    }
  }

 private:
  const WeightedRows& rows_;
  std::vector<RowScores<T>> chunks_;
};

/// What one piece of columns adds to the sums over rows and diagonals.
struct PieceSums {
  std::vector<double> row;
  std::vector<double> reversed;  // lag t at n - 1 - t: ascending with the columns
  double log_sum = 0.0;
};

/// Everything one row adds, in double; entries of exact columns are zero by then.
template <Real T>
void add_row(Index count, const T* scores, const T* probability, double lse, double weight, double& row, double* column,
             double* reversed, double& log_sum) {
  double sum = 0.0;
  double logs = 0.0;
  for (Index y = 0; y < count; ++y) {
    const auto p = static_cast<double>(probability[y]);
    sum += p;
    logs += p * (static_cast<double>(scores[y]) - lse);
    column[y] += weight * p;
  }
  row += sum;
  log_sum += weight * logs;
  if (reversed == nullptr) return;
  for (Index y = 0; y < count; ++y) reversed[y] += weight * static_cast<double>(probability[y]);
}

/// Pieces that are summed side by side before they are joined, in their order: as many as memory of some n numbers each allows,
/// whatever the number of threads.
Index pieces_at_once(Index n) { return std::clamp<Index>((Index{1} << 21) / n, 4, 32); }

void require_fitting(Index n, const WeightedRows& rows) {
  if (rows.weight.size() == rows.rows.size() && rows.lse.size() == rows.rows.size()) return;
  throw InvalidArgument(fmt::format("{} rows of {} have {} weights and {} log-sum-exps; they need as many of each",
                                    rows.rows.size(), n, rows.weight.size(), rows.lse.size()));
}

}  // namespace

WeightedRows WeightedRows::every(std::span<const double> lse, Index first, Index step) {
  WeightedRows chosen;
  for (Index i = first; i < std::ssize(lse); i += step) {
    chosen.rows.push_back(i);
    chosen.weight.push_back(1.0);
    chosen.lse.push_back(lse[static_cast<std::size_t>(i)]);
  }
  return chosen;
}

template <Real T>
ColumnSums column_sums(const HeadView<T>& head, const WeightedRows& rows, Index band, const RunContext& context) {
  const Index n = head.size();
  require_fitting(n, rows);
  const ProbabilityReader<T> reader(head, rows);
  const std::vector<ColumnPiece> pieces = column_pieces(n, RowScores<T>::tile_keys, {});
  const std::vector<double> zeros(static_cast<std::size_t>(n), 0.0);
  ColumnSums sums{zeros, zeros, zeros};
  std::vector<typename ProbabilityReader<T>::Scratch> scratch(static_cast<std::size_t>(thread_count(context)));
  parallel_for(context, std::ssize(pieces), [&](Index item, int worker) {
    const ColumnPiece& piece = pieces[static_cast<std::size_t>(item)];
    double* squares = sums.squares.data() + piece.first;
    double* squares_outside = sums.squares_outside.data() + piece.first;
    double* outside = sums.outside.data() + piece.first;
    reader.read(piece, 0, scratch[static_cast<std::size_t>(worker)], context,
                [&](std::size_t x, Index count, const T*, const T* probability) {
                  const double weight = rows.weight[x];
                  const Index far = std::clamp<Index>(rows.rows[x] - band - piece.first + 1, 0, count);
                  for (Index y = 0; y < count; ++y) {
                    const auto p = static_cast<double>(probability[y]);
                    squares[y] += weight * p * p;
                  }
                  for (Index y = 0; y < far; ++y) {
                    const auto p = static_cast<double>(probability[y]);
                    outside[y] += weight * p;
                    squares_outside[y] += weight * p * p;
                  }
                });
  });
  return sums;
}

template <Real T>
std::vector<Index> choose_columns(const ColumnSums& sums, MatrixView<T> value, Index count, ColumnRule rule) {
  const std::vector<double>& squares = rule == ColumnRule::whole ? sums.squares : sums.squares_outside;
  const Index n = value.rows();
  const Eigen::RowVectorXd mean = value.template cast<double>().colwise().mean();
  std::vector<double> loss(static_cast<std::size_t>(n));
  for (Index j = 0; j < n; ++j) {
    const double distance = (value.row(j).template cast<double>() - mean).squaredNorm();
    const double product = squares[static_cast<std::size_t>(j)] * distance;
    loss[static_cast<std::size_t>(j)] = std::isnan(product) ? std::numeric_limits<double>::infinity() : product;
  }
  std::vector<Index> columns(static_cast<std::size_t>(n));
  std::iota(columns.begin(), columns.end(), Index{0});
  std::ranges::stable_sort(columns, std::greater{}, [&](Index j) { return loss[static_cast<std::size_t>(j)]; });
  columns.resize(static_cast<std::size_t>(count));
  std::ranges::sort(columns);
  return columns;
}

std::vector<Index> equal_mass_starts(std::span<const double> mass, Index k) {
  const double total = std::accumulate(mass.begin(), mass.end(), 0.0);
  const auto n = std::ssize(mass);
  std::vector<Index> starts;
  if (k < 1 || n < 1) return starts;
  starts.push_back(0);
  if (!(total > 0.0)) return starts;
  double before = 0.0;
  for (Index j = 0; j < n && std::ssize(starts) < k; ++j) {
    const double goal = total * static_cast<double>(starts.size()) / static_cast<double>(k);
    if (j > starts.back() && before >= goal) starts.push_back(j);
    before += mass[static_cast<std::size_t>(j)];
  }
  return starts;
}

double RestSums::mass() const { return std::accumulate(column.begin(), column.end(), 0.0); }

RestSums RestSums::with_one_segment() const {
  RestSums result = *this;
  result.starts = {0};
  result.diagonal.assign(1, std::vector<double>(static_cast<std::size_t>(size()), 0.0));
  for (const auto& lags : diagonal) {
    for (std::size_t t = 0; t < lags.size(); ++t) result.diagonal.front()[t] += lags[t];
  }
  return result;
}

RestSums RestSums::without_segments() const {
  RestSums result = *this;
  result.starts.clear();
  result.diagonal.clear();
  return result;
}

template <Real T>
RestSums rest_sums(const HeadView<T>& head, const WeightedRows& rows, ExactEntries exact, std::vector<Index> starts,
                   const RunContext& context) {
  const Index n = head.size();
  require_fitting(n, rows);
  RestSums sums{.exact = std::move(exact), .starts = std::move(starts), .rows = rows.rows, .weight = rows.weight};
  sums.row.resize(rows.rows.size());
  sums.column.resize(static_cast<std::size_t>(n));
  for (const Index start : sums.starts) sums.diagonal.emplace_back(static_cast<std::size_t>(n - start));
  const ProbabilityReader<T> reader(head, rows);
  const std::vector<ColumnPiece> pieces = column_pieces(n, RowScores<T>::tile_keys, sums.starts);
  const Index at_once = pieces_at_once(n);
  std::vector<PieceSums> parts(static_cast<std::size_t>(std::min(at_once, std::ssize(pieces))));
  std::vector<typename ProbabilityReader<T>::Scratch> scratch(static_cast<std::size_t>(thread_count(context)));

  const auto sum_piece = [&](const ColumnPiece& piece, PieceSums& part, typename ProbabilityReader<T>::Scratch& own) {
    part.row.assign(rows.rows.size(), 0.0);
    part.reversed.assign(piece.segment < 0 ? 0 : static_cast<std::size_t>(n), 0.0);
    part.log_sum = 0.0;
    const auto& columns = sums.exact.columns;
    const auto first_exact = std::ranges::lower_bound(columns, piece.first);
    const auto last_exact = std::ranges::lower_bound(columns, piece.last);
    reader.read(piece, sums.exact.band, own, context, [&](std::size_t x, Index count, const T* scores, T* probability) {
      for (auto j = first_exact; j != last_exact && *j < piece.first + count; ++j) probability[*j - piece.first] = T{0};
      double* reversed = part.reversed.empty() ? nullptr : part.reversed.data() + (n - 1 - rows.rows[x] + piece.first);
      add_row(count, scores, probability, rows.lse[x], rows.weight[x], part.row[x], sums.column.data() + piece.first, reversed,
              part.log_sum);
    });
  };
  const auto join_piece = [&](const ColumnPiece& piece, const PieceSums& part) {
    for (std::size_t x = 0; x < part.row.size(); ++x) sums.row[x] += part.row[x];
    sums.log_sum += part.log_sum;
    if (piece.segment < 0) return;
    auto& lags = sums.diagonal[static_cast<std::size_t>(piece.segment)];
    for (std::size_t t = 0; t < lags.size(); ++t) lags[t] += part.reversed[static_cast<std::size_t>(n) - 1 - t];
  };
  for (Index first = 0; first < std::ssize(pieces); first += at_once) {
    const Index count = std::min(at_once, std::ssize(pieces) - first);
    parallel_for(context, count, [&](Index item, int worker) {
      sum_piece(pieces[static_cast<std::size_t>(first + item)], parts[static_cast<std::size_t>(item)],
                scratch[static_cast<std::size_t>(worker)]);
    });
    for (Index item = 0; item < count; ++item) {
      join_piece(pieces[static_cast<std::size_t>(first + item)], parts[static_cast<std::size_t>(item)]);
    }
    context.report("structured fit", static_cast<double>(first + count) / static_cast<double>(pieces.size()));
  }
  return sums;
}

RestSums joined(const RestSums& first, const RestSums& second) {
  RestSums result = first;
  const auto add = [](std::vector<double>& to, const std::vector<double>& from) {
    for (std::size_t x = 0; x < to.size(); ++x) to[x] += from[x];
  };
  add(result.column, second.column);
  for (std::size_t r = 0; r < result.diagonal.size(); ++r) add(result.diagonal[r], second.diagonal[r]);
  result.log_sum += second.log_sum;
  const std::size_t count = first.rows.size() + second.rows.size();
  result.rows.resize(count);
  result.weight.resize(count);
  result.row.resize(count);
  for (std::size_t x = 0, y = 0; x + y < count;) {
    const bool from_first = y == second.rows.size() || (x < first.rows.size() && first.rows[x] < second.rows[y]);
    const RestSums& source = from_first ? first : second;
    const std::size_t place = from_first ? x : y;
    result.rows[x + y] = source.rows[place];
    result.weight[x + y] = source.weight[place];
    result.row[x + y] = source.row[place];
    ++(from_first ? x : y);
  }
  return result;
}

template ColumnSums column_sums(const HeadView<float>&, const WeightedRows&, Index, const RunContext&);
template ColumnSums column_sums(const HeadView<double>&, const WeightedRows&, Index, const RunContext&);
template std::vector<Index> choose_columns(const ColumnSums&, MatrixView<float>, Index, ColumnRule);
template std::vector<Index> choose_columns(const ColumnSums&, MatrixView<double>, Index, ColumnRule);
template RestSums rest_sums(const HeadView<float>&, const WeightedRows&, ExactEntries, std::vector<Index>, const RunContext&);
template RestSums rest_sums(const HeadView<double>&, const WeightedRows&, ExactEntries, std::vector<Index>, const RunContext&);

}  // namespace convbasis
