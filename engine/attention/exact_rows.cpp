#include "attention/exact_rows.h"

#include "attention/kernels.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace convbasis {
namespace {

void require_rows(std::span<const Index> rows, Index n) {
  if (!std::ranges::is_sorted(rows) || (!rows.empty() && (rows.front() < 0 || rows.back() >= n))) {
    throw InvalidArgument(fmt::format("the chosen rows must be ascending and in [0, {})", n));
  }
}

template <Real T>
Index padded_keys() {
  return round_up(RowScores<T>::tile_keys, kernels::panel_width<T>());
}

/// Softmax sums of the chosen rows over some of the keys, with a running maximum for each row.
template <Real T>
class PartialRows {
 public:
  PartialRows(Index rows, Index value_width)
      : width_(round_up(value_width, kernels::panel_width<T>())),
        maximum_(static_cast<std::size_t>(rows), -std::numeric_limits<double>::infinity()),
        total_(static_cast<std::size_t>(rows), 0.0),
        sums_(Matrix<double>::Zero(rows, value_width)) {}

  void add(const RowScores<T>& scores, const HeadView<T>& head, Index key, Index count, typename RowScores<T>::Tile& tile,
           AlignedVector<T>& values, AlignedVector<T>& products) {
    scores.compute(key, count, tile);
    const Index rows = std::ssize(maximum_);
    const Index first = scores.first_to_see(key);
    for (Index x = first; x < rows; ++x)
      weigh(x, tile.row(x), std::min(count, scores.rows()[static_cast<std::size_t>(x)] + 1 - key), count);
    if (width_ == 0 || first == rows) return;
    const Index panel = kernels::panel_width<T>();
    values.resize(static_cast<std::size_t>(RowScores<T>::tile_keys * width_));
    products.resize(static_cast<std::size_t>(rows * width_));
    kernels::pack_columns<T>(convbasis::rows(head.value, key, count), values.data());
    kernels::multiply<T>(rows - first, count, width_ / panel, tile.row(first), RowScores<T>::tile_keys, values.data(),
                         count * panel, products.data(), width_, false);
    for (Index x = first; x < rows; ++x) {
      sums_.row(x) +=
          Eigen::Map<const RowVector<T>>(products.data() + (x - first) * width_, sums_.cols()).template cast<double>();
    }
  }

  /// Takes in the sums over other keys.
  void add(const PartialRows& other) {
    for (Index x = 0; x < std::ssize(maximum_); ++x) {
      const auto r = static_cast<std::size_t>(x);
      if (other.total_[r] == 0.0 && !std::isnan(other.maximum_[r])) continue;
      raise(x, other.maximum_[r]);
      const double factor = std::exp(other.maximum_[r] - maximum_[r]);
      total_[r] += factor * other.total_[r];
      sums_.row(x) += factor * other.sums_.row(x);
    }
  }

  void finish(MutableMatrixView<T> output, std::span<double> lse) const {
    for (Index x = 0; x < std::ssize(maximum_); ++x) {
      const auto r = static_cast<std::size_t>(x);
      lse[r] = maximum_[r] + std::log(total_[r]);
      if (width_ > 0) output.row(x) = (sums_.row(x) / total_[r]).template cast<T>();
    }
  }

 private:
  /// Scores of `seen` keys become weights, those of the rest of the `count` become 0.
  void weigh(Index x, T* scores, Index seen, Index count) {
    const auto r = static_cast<std::size_t>(x);
    const Eigen::Map<const RowVector<T>> visible(scores, seen);
    raise(x, static_cast<double>(visible.template maxCoeff<Eigen::PropagateNaN>()));
    kernels::exp_shifted<T>(scores, seen, static_cast<T>(maximum_[r]), scores);
    total_[r] += static_cast<double>(visible.sum());
    std::fill(scores + seen, scores + count, T{0});
  }

  /// The maximum is kept as a T, so that the shift of every weight is exactly it.
  void raise(Index x, double maximum) {
    const auto r = static_cast<std::size_t>(x);
    if (!(maximum > maximum_[r]) && !std::isnan(maximum)) return;
    const double factor = std::exp(maximum_[r] - maximum);
    total_[r] *= factor;
    sums_.row(x) *= factor;
    maximum_[r] = maximum;
  }

  Index width_;  ///< of V, in whole panels
  std::vector<double> maximum_, total_;
  Matrix<double> sums_;
};

}  // namespace

template <Real T>
RowScores<T>::RowScores(const HeadView<T>& head, std::span<const Index> rows)
    : head_(head), rows_(rows.begin(), rows.end()), queries_(rows.size() * static_cast<std::size_t>(head.width())) {
  require_rows(rows, head.size());
  for (std::size_t x = 0; x < rows_.size(); ++x) {
    MutableMatrixView<T> query(queries_.data() + static_cast<Index>(x) * head.width(), 1, head.width(),
                               Eigen::OuterStride<>(head.width()));
    if (head.width() > 0) query = static_cast<T>(head.scale) * head.query.row(rows_[x]);
  }
}

template <Real T>
Index RowScores<T>::first_to_see(Index key) const {
  return std::ranges::lower_bound(rows_, key) - rows_.begin();
}

template <Real T>
void RowScores<T>::compute(Index key, Index count, Tile& tile) const {
  const Index depth = head_.width();
  const Index panel = kernels::panel_width<T>();
  const Index panels = (count + panel - 1) / panel;
  const auto chosen = static_cast<Index>(rows_.size());
  tile.packed_.resize(static_cast<std::size_t>(padded_keys<T>() * depth));
  tile.scores_.resize(static_cast<std::size_t>(std::max<Index>(chosen, 1) * padded_keys<T>()));
  const Index first = first_to_see(key);
  if (first == chosen) return;
  if (head_.matrix) return read_matrix(first, key, count, tile);
  kernels::pack_transposed<T>(convbasis::rows(head_.key, key, count), tile.packed_.data());
  kernels::multiply<T>(chosen - first, depth, panels, queries_.data() + first * depth, depth, tile.packed_.data(), depth * panel,
                       tile.row(first), tile_keys, false);
  for (Index x = first; x < chosen; ++x) add_bias(head_, rows_[static_cast<std::size_t>(x)], key, tile.row(x), count);
}

template <Real T>
void RowScores<T>::read_matrix(Index first, Index key, Index count, Tile& tile) const {
  // Rows that follow each other are read at once: a file has them in one place.
  const Index chosen = std::ssize(rows_);
  for (Index x = first; x < chosen;) {
    const Index row = rows_[static_cast<std::size_t>(x)];
    Index together = 1;
    while (x + together < chosen && rows_[static_cast<std::size_t>(x + together)] == row + together) ++together;
    head_.matrix->read(row, key, {tile.row(x), together, count, Eigen::OuterStride<>(tile_keys)});
    x += together;
  }
}

template <Real T>
void exact_rows(const HeadView<T>& head, std::span<const Index> rows, MutableMatrixView<T> output, std::span<double> lse,
                const RunContext& context) {
  const auto chosen = static_cast<Index>(rows.size());
  const Index value_width = output.cols();
  if (lse.size() != rows.size() || (value_width != 0 && (output.rows() != chosen || value_width != head.value_width()))) {
    throw InvalidArgument(
        fmt::format("{} rows need as many log-sum-exps and an output of {} columns or none; there are {} and {}", chosen,
                    head.value_width(), lse.size(), value_width));
  }
  const RowScores<T> scores(head, rows);
  if (chosen == 0) return;
  constexpr Index tile_keys = RowScores<T>::tile_keys;
  // Parts depend on nothing but the rows, so that the result is the same for any number of threads.
  const Index tiles = rows.back() / tile_keys + 1;
  const Index parts = std::min<Index>(tiles, 32);
  std::vector<PartialRows<T>> sums(static_cast<std::size_t>(parts), PartialRows<T>(chosen, value_width));
  parallel_for(context, parts, [&](Index part, int) {
    typename RowScores<T>::Tile tile;
    AlignedVector<T> values;
    AlignedVector<T> products;
    for (Index t = tiles * part / parts; t < tiles * (part + 1) / parts; ++t) {
      context.check();
      const Index key = t * tile_keys;
      sums[static_cast<std::size_t>(part)].add(scores, head, key, std::min(tile_keys, head.size() - key), tile, values, products);
    }
  });
  for (Index part = 1; part < parts; ++part) sums.front().add(sums[static_cast<std::size_t>(part)]);
  sums.front().finish(output, lse);
}

template class RowScores<float>;
template class RowScores<double>;
template void exact_rows(const HeadView<float>&, std::span<const Index>, MutableMatrixView<float>, std::span<double>,
                         const RunContext&);
template void exact_rows(const HeadView<double>&, std::span<const Index>, MutableMatrixView<double>, std::span<double>,
                         const RunContext&);

}  // namespace convbasis
