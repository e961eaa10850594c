#include "attention/kernels.h"
#include "basis/structured_apply.h"
#include "core/aligned.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

constexpr Index keys_at_once = 256;

/// Keys and values of up to keys_at_once exact columns, packed for the products.
template <Real T>
struct ColumnChunk {
  std::span<const Index> columns;
  AlignedVector<T> keys, values;
};

template <Real T>
AlignedVector<T> packed_values(MatrixView<T> values) {
  const Index padded = round_up(values.cols(), kernels::panel_width<T>());
  AlignedVector<T> packed(static_cast<std::size_t>(values.rows() * padded));
  kernels::pack_columns<T>(values, packed.data());
  return packed;
}

template <Real T>
std::vector<ColumnChunk<T>> column_chunks(const HeadView<T>& head, std::span<const Index> columns) {
  std::vector<ColumnChunk<T>> chunks;
  for (std::size_t first = 0; first < columns.size(); first += static_cast<std::size_t>(keys_at_once)) {
    ColumnChunk<T> chunk;
    chunk.columns = columns.subspan(first, std::min<std::size_t>(keys_at_once, columns.size() - first));
    const auto count = std::ssize(chunk.columns);
    Matrix<T> keys(count, head.width());
    Matrix<T> values(count, head.value_width());
    for (Index y = 0; y < count; ++y) {
      keys.row(y) = head.key.row(chunk.columns[static_cast<std::size_t>(y)]);
      values.row(y) = head.value.row(chunk.columns[static_cast<std::size_t>(y)]);
    }
    chunk.keys.resize(static_cast<std::size_t>(round_up(count, kernels::panel_width<T>()) * head.width()));
    kernels::pack_transposed<T>(view(keys), chunk.keys.data());
    chunk.values = packed_values<T>(view(values));
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

/// Scores of `queries` (the rows from `row` on, times the scale) against the columns of a chunk.
template <Real T>
void multiply_scores(const HeadView<T>& head, Index row, const ColumnChunk<T>& chunk, const Matrix<T>& queries,
                     Matrix<T>& scores) {
  const auto keys = std::ssize(chunk.columns);
  const Index panel = kernels::panel_width<T>();
  kernels::multiply<T>(queries.rows(), head.width(), round_up(keys, panel) / panel, queries.data(), head.width(),
                       chunk.keys.data(), head.width() * panel, scores.data(), keys_at_once, false);
  if (head.bias.empty()) return;
  for (Index x = 0; x < queries.rows(); ++x) {
    for (Index y = 0; y < keys; ++y) {
      const Index lag = row + x - chunk.columns[static_cast<std::size_t>(y)];
      if (lag >= 0) scores(x, y) += head.bias[static_cast<std::size_t>(lag)];
    }
  }
}

/// The same from a score matrix. Columns that follow each other are read at once.
template <Real T>
void read_scores(const HeadView<T>& head, Index row, std::span<const Index> columns, Matrix<T>& scores) {
  for (Index y = 0; y < std::ssize(columns);) {
    const Index column = columns[static_cast<std::size_t>(y)];
    Index together = 1;
    while (y + together < std::ssize(columns) && columns[static_cast<std::size_t>(y + together)] == column + together) ++together;
    head.matrix->read(row, column, {scores.data() + y, scores.rows(), together, Eigen::OuterStride<>(keys_at_once)});
    y += together;
  }
}

/// scores is as many rows as queries x keys_at_once.
template <Real T>
void chunk_scores(const HeadView<T>& head, Index row, const ColumnChunk<T>& chunk, const Matrix<T>& queries, Matrix<T>& scores) {
  head.matrix ? read_scores(head, row, chunk.columns, scores) : multiply_scores(head, row, chunk, queries, scores);
}

/// Some rows of the product.
template <Real T>
class ExactRows {
 public:
  ExactRows(const HeadView<T>& head, const ExactEntries& entries, std::span<const double> lse, Index row, Index count)
      : head_(head),
        entries_(entries),
        lse_(lse),
        row_(row),
        count_(count),
        padded_(round_up(head.value_width(), kernels::panel_width<T>())),
        queries_(static_cast<T>(head.scale) * rows(head.query, row, count)),
        weights_(count, keys_at_once),
        sums_(Matrix<T>::Zero(count, padded_)) {}

  void add(const ColumnChunk<T>& chunk) {
    const auto keys = std::ssize(chunk.columns);
    chunk_scores(head_, row_, chunk, queries_, weights_);
    for (Index x = 0; x < count_; ++x) {
      const Index seen = std::ranges::upper_bound(chunk.columns, row_ + x) - chunk.columns.begin();
      log_mass_.empty() ? weigh(x, 0, seen, keys) : add_mass(x, 0, seen);
    }
    if (log_mass_.empty()) add_products(keys, chunk.values);
  }

  /// The band's part of keys [key, key + keys); exact columns are counted elsewhere.
  void add_band(Index key, Index keys) {
    MutableMatrixView<T> tile(weights_.data(), count_, keys, Eigen::OuterStride<>(keys_at_once));
    score_tile<T>(head_, row_, key, tile);
    const auto first = std::ranges::lower_bound(entries_.columns, key);
    const auto last = std::ranges::lower_bound(entries_.columns, key + keys);
    for (Index x = 0; x < count_; ++x) {
      const Index i = row_ + x;
      const Index begin = std::clamp<Index>(i - entries_.band + 1 - key, 0, keys);
      const Index end = std::clamp<Index>(i + 1 - key, 0, keys);
      if (!log_mass_.empty()) {
        for (auto j = first; j != last; ++j) tile(x, *j - key) = -std::numeric_limits<T>::infinity();
        add_mass(x, begin, end);
        continue;
      }
      weigh(x, begin, end, keys);
      for (auto j = first; j != last; ++j) tile(x, *j - key) = T{0};
    }
    if (log_mass_.empty()) add_products(keys, packed_values<T>(rows(head_.value, key, keys)));
  }

  /// log sum exp(S_ij) of each row over what is added from now on, in place of the product.
  void keep_log_mass() { log_mass_.assign(static_cast<std::size_t>(count_), -std::numeric_limits<double>::infinity()); }
  void write_log_mass(std::span<double> target) const {
    std::ranges::copy(log_mass_, target.subspan(static_cast<std::size_t>(row_)).begin());
  }

  void write(MutableMatrixView<T> output) const { output.middleRows(row_, count_) = sums_.leftCols(output.cols()); }

 private:
  /// Scores [first, last) of row x become probabilities, those before and after become 0.
  void weigh(Index x, Index first, Index last, Index keys) {
    T* row = weights_.data() + x * keys_at_once;
    if (last > first) {
      kernels::exp_shifted<T>(row + first, last - first, static_cast<T>(lse_[static_cast<std::size_t>(row_ + x)]), row + first);
    }
    std::fill(row, row + first, T{0});
    std::fill(row + std::max(first, last), row + keys, T{0});
  }

  /// Takes in scores [first, last) of row x.
  void add_mass(Index x, Index first, Index last) {
    if (last <= first) return;
    const Eigen::Map<const Eigen::ArrayX<T>> scores(weights_.data() + x * keys_at_once + first, last - first);
    double& mass = log_mass_[static_cast<std::size_t>(x)];
    const double largest = std::max(mass, static_cast<double>(scores.maxCoeff()));
    if (largest == -std::numeric_limits<double>::infinity()) return;
    mass = largest + std::log(std::exp(mass - largest) + (scores.template cast<double>() - largest).exp().sum());
  }

  void add_products(Index keys, const AlignedVector<T>& values) {
    const Index panel = kernels::panel_width<T>();
    kernels::multiply<T>(count_, keys, padded_ / panel, weights_.data(), keys_at_once, values.data(), keys * panel, sums_.data(),
                         padded_, true);
  }

  const HeadView<T>& head_;
  const ExactEntries& entries_;
  std::span<const double> lse_;
  Index row_, count_, padded_;
  Matrix<T> queries_, weights_, sums_;
  std::vector<double> log_mass_;  ///< empty where the product is wanted
};

/// Hands over all rows, some at a time, from several threads. Without `lse` their log mass is kept.
template <Real T, class Visit>
void visit_exact_rows(const HeadView<T>& head, const ExactEntries& entries, std::span<const double> lse,
                      const RunContext& context, const Visit& visit) {
  const Index n = head.size();
  const std::vector<ColumnChunk<T>> chunks = column_chunks(head, entries.columns);
  const Index rows_at_once = std::clamp<Index>(entries.band, 16, 64);  // low blocks leave little of a narrow band's tiles unused
  const Index blocks = (n + rows_at_once - 1) / rows_at_once;
  parallel_for(context, blocks, [&](Index item, int) {
    const Index row = (blocks - 1 - item) * rows_at_once;  // the last rows have the most entries
    const Index end = std::min(n, row + rows_at_once);
    ExactRows<T> block(head, entries, lse, row, end - row);
    if (lse.empty()) block.keep_log_mass();
    for (const ColumnChunk<T>& chunk : chunks) {
      if (chunk.columns.front() >= end) break;
      context.check();
      block.add(chunk);
    }
    if (entries.band > 0) {
      for (Index key = std::max<Index>(0, row - entries.band + 1); key < end; key += keys_at_once) {
        context.check();
        block.add_band(key, std::min(keys_at_once, end - key));
      }
    }
    visit(block);
  });
}

}  // namespace

template <Real T>
void exact_entries_product(const HeadView<T>& head, const ExactEntries& entries, std::span<const double> lse,
                           MutableMatrixView<T> output, const RunContext& context) {
  const Index n = head.size();
  if (entries.size != n || std::ssize(lse) != n || output.rows() != n || output.cols() != head.value_width()) {
    throw InvalidArgument(
        fmt::format("a fit of {} tokens with {} log-sum-exps and an output of {} x {} do not fit a head of {} "
                    "tokens and values of {} columns",
                    entries.size, lse.size(), output.rows(), output.cols(), n, head.value_width()));
  }
  visit_exact_rows<T>(head, entries, lse, context, [&](const ExactRows<T>& block) { block.write(output); });
}

template <Real T>
std::vector<double> exact_entries_log_mass(const HeadView<T>& head, const ExactEntries& entries, const RunContext& context) {
  std::vector<double> mass(static_cast<std::size_t>(head.size()));
  visit_exact_rows<T>(head, entries, {}, context, [&](const ExactRows<T>& block) { block.write_log_mass(mass); });
  return mass;
}

template <Real T>
void column_scores(const HeadView<T>& head, Index row, std::span<const Index> columns, MutableMatrixView<T> tile) {
  const Matrix<T> queries = static_cast<T>(head.scale) * rows(head.query, row, tile.rows());
  Matrix<T> scores(tile.rows(), keys_at_once);
  for (const ColumnChunk<T>& chunk : column_chunks(head, columns)) {
    chunk_scores(head, row, chunk, queries, scores);
    tile.middleCols(chunk.columns.data() - columns.data(), std::ssize(chunk.columns)) =
        scores.leftCols(std::ssize(chunk.columns));
  }
}

template <Real T>
std::vector<double> exact_entries_lse(const HeadView<T>& head, const ExactEntries& entries, std::span<const double> lse,
                                      const RunContext& context) {
  const Matrix<T> ones = Matrix<T>::Ones(head.size(), 1);
  const HeadView<T> counting{head.query, head.key, view(ones), head.scale, head.bias, head.matrix};
  Matrix<T> mass(head.size(), 1);
  exact_entries_product<T>(counting, entries, lse, mutable_view(mass), context);
  std::vector<double> result(lse.begin(), lse.end());
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto share = static_cast<double>(mass(static_cast<Index>(i), 0));
    if (share != 0.0) result[i] += std::log(share);
  }
  return result;
}

template std::vector<double> exact_entries_log_mass(const HeadView<float>&, const ExactEntries&, const RunContext&);
template std::vector<double> exact_entries_log_mass(const HeadView<double>&, const ExactEntries&, const RunContext&);
template void column_scores(const HeadView<float>&, Index, std::span<const Index>, MutableMatrixView<float>);
template void column_scores(const HeadView<double>&, Index, std::span<const Index>, MutableMatrixView<double>);
template std::vector<double> exact_entries_lse(const HeadView<float>&, const ExactEntries&, std::span<const double>,
                                               const RunContext&);
template std::vector<double> exact_entries_lse(const HeadView<double>&, const ExactEntries&, std::span<const double>,
                                               const RunContext&);
template void exact_entries_product(const HeadView<float>&, const ExactEntries&, std::span<const double>,
                                    MutableMatrixView<float>, const RunContext&);
template void exact_entries_product(const HeadView<double>&, const ExactEntries&, std::span<const double>,
                                    MutableMatrixView<double>, const RunContext&);

}  // namespace convbasis
