#include "attention/exact_attention.h"

#include "attention/kernels.h"
#include "attention/tile_kernels.h"
#include "core/fft.h"
#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

namespace convbasis {
namespace {

// Tile sizes. About 96 queries stream past each block of 128 keys: the packed queries, the sums and the block's keys and values
// stay in the second-level cache; the weights of one group of queries and what one register block reads, in the first.
constexpr Index query_rows = 96;
constexpr Index key_rows = 128;

/// Weights are 2^(score - shift). As long as no score of a row can be more than this above the row's shift, its weights and
/// their sums over any number of tokens are far from overflow, and the shift need not follow the maximum.
template <Real T>
constexpr T headroom = std::same_as<T, float> ? T(64) : T(500);

/// What all query blocks of one head read: its values in panels, block of keys by block of keys, and how long its keys are.
template <Real T>
struct Prepared {
  HeadView<T> head;
  T factor;  ///< from a product of query and key to a score in base 2
  Index panels;
  Index padded_width;
  AlignedVector<T> values;
  std::vector<T> longest_key;  ///< of keys 0 to i

  explicit Prepared(const HeadView<T>& source)
      : head(source),
        factor(static_cast<T>(source.scale * std::numbers::log2e)),
        panels((source.value_width() + kernels::panel_width<T>() - 1) / kernels::panel_width<T>()),
        padded_width(panels * kernels::panel_width<T>()),
        values(static_cast<std::size_t>(padded_width * source.size())),
        longest_key(static_cast<std::size_t>(source.size())) {}

  const T* block_values(Index key) const { return values.data() + key * padded_width; }

  void prepare(Index key) {
    const Index count = std::min(key_rows, head.size() - key);
    kernels::pack_columns<T>(rows(head.value, key, count), values.data() + key * padded_width);
    for (Index j = key; j < key + count; ++j) longest_key[static_cast<std::size_t>(j)] = head.key.row(j).norm();
  }

  /// Lengths become running maxima. A length that is not a number stays, so that its rows are never taken as bounded.
  void finish() {
    for (std::size_t j = 1; j < longest_key.size(); ++j) {
      if (!(longest_key[j] > longest_key[j - 1]))
        longest_key[j] = std::isnan(longest_key[j]) ? longest_key[j] : longest_key[j - 1];
    }
  }
};

/// Scratch of one thread and the work on one block of queries.
template <Real T>
class QueryBlock {
 public:
  explicit QueryBlock(Index depth, Index padded_width)
      : query_(static_cast<std::size_t>(query_rows * depth)),
        sums_(static_cast<std::size_t>(query_rows * padded_width)),
        weights_(static_cast<std::size_t>(key_rows * width_)) {}

  void run(const Prepared<T>& prepared, Index first, MutableMatrixView<T> output, std::span<double> lse) {
    const HeadView<T>& head = prepared.head;
    const Index count = std::min(query_rows, head.size() - first);
    for (Index a = 0; a < count; a += width_) start_group(prepared, first + a, a, std::min(width_, count - a));
    std::fill_n(sums_.begin(), query_rows * prepared.padded_width, T{0});
    for (Index key = 0; key < first + count; key += key_rows) {
      for (Index a = 0; a < count; a += width_) add_keys(prepared, first + a, a, std::min(width_, count - a), key);
    }
    for (Index a = 0; a < count; ++a) {
      const auto r = static_cast<std::size_t>(a);
      const Eigen::Map<const Eigen::RowVectorX<T>> sum(sums_.data() + a * prepared.padded_width, head.value_width());
      output.row(first + a) = sum / static_cast<T>(total_[r]);
      lse[static_cast<std::size_t>(first + a)] = static_cast<double>(shift_[r]) * std::numbers::ln2 + std::log(total_[r]);
    }
  }

 private:
  void start_group(const Prepared<T>& prepared, Index row, Index a, Index count) {
    kernels::pack_group<T>(rows(prepared.head.query, row, count), prepared.factor, query_.data() + a * prepared.head.width());
    for (Index x = 0; x < width_; ++x) {
      const auto r = static_cast<std::size_t>(a + x);
      total_[r] = 0.0;
      bound_[r] = shift_[r] = T{0};
      if (x >= count) continue;
      // |score| <= |query| |key|; a little more for rounding.
      bound_[r] = T(1.001) * std::abs(prepared.factor) * prepared.head.query.row(row + x).norm() *
                  prepared.longest_key[static_cast<std::size_t>(row + x)];
      if (!(bound_[r] <= headroom<T>)) shift_[r] = -std::numeric_limits<T>::infinity();
    }
  }

  /// One group of queries, one block of keys: weights, and their share of the output.
  void add_keys(const Prepared<T>& prepared, Index row, Index a, Index count, Index key) {
    const HeadView<T>& head = prepared.head;
    const Index block = std::min(key_rows, head.size() - key);
    const Index keys = std::min(block, row + count - key);
    if (keys <= 0) return;
    const Index visible = row - key;
    const kernels::ScoreTile<T> tile{.query = query_.data() + a * head.width(),
                                     .depth = head.width(),
                                     .key = head.key.data() + key * head.key.outerStride(),
                                     .key_stride = head.key.outerStride(),
                                     .keys = keys,
                                     .visible = visible,
                                     .weights = weights_.data()};
    T* sums = sums_.data() + a * prepared.padded_width;
    block_total_.assign(static_cast<std::size_t>(width_), T{0});
    if (bounded(a, count)) {
      kernels::weigh<T>(tile, shift_.data() + a, block_total_.data());
    } else {
      maximum_.assign(static_cast<std::size_t>(width_), -std::numeric_limits<T>::infinity());
      kernels::score<T>(tile, maximum_.data());
      raise_shifts(a, count, sums, prepared.padded_width);
      kernels::exponentiate<T>(keys, weights_.data(), shift_.data() + a, block_total_.data());
    }
    for (Index x = 0; x < count; ++x) {
      total_[static_cast<std::size_t>(a + x)] += static_cast<double>(block_total_[static_cast<std::size_t>(x)]);
    }
    kernels::add_values<T>({.weights = weights_.data(),
                            .keys = keys,
                            .visible = visible,
                            .values = prepared.block_values(key),
                            .panels = prepared.panels,
                            .panel_stride = block * kernels::panel_width<T>(),
                            .target = sums,
                            .target_stride = prepared.padded_width});
  }

  bool row_bounded(std::size_t r) const { return bound_[r] - shift_[r] <= headroom<T>; }
  bool bounded(Index a, Index count) const {
    bool all = true;
    for (Index x = 0; x < count; ++x) all = all && row_bounded(static_cast<std::size_t>(a + x));
    return all;
  }

  /// The online-softmax step of the rows that need one; the others keep their shift, so that a row's result does not depend on
  /// its neighbours.
  void raise_shifts(Index a, Index count, T* sums, Index stride) {
    for (Index x = 0; x < count; ++x) {
      const auto r = static_cast<std::size_t>(a + x);
      const T raised = maximum_[static_cast<std::size_t>(x)];
      if (row_bounded(r) || !(raised > shift_[r])) continue;
      const T factor = std::exp2(shift_[r] - raised);
      shift_[r] = raised;
      total_[r] *= static_cast<double>(factor);
      Eigen::Map<Eigen::RowVectorX<T>>(sums + x * stride, stride) *= factor;
    }
  }

  const Index width_ = kernels::group_width<T>();
  AlignedVector<T> query_;
  AlignedVector<T> sums_;
  AlignedVector<T> weights_;
  std::vector<T> bound_ = std::vector<T>(query_rows);
  std::vector<T> shift_ = std::vector<T>(query_rows);
  std::vector<double> total_ = std::vector<double>(query_rows);
  std::vector<T> block_total_;
  std::vector<T> maximum_;
};

template <Real T>
void require_fitting(const HeadView<T>& head, const ExactOutput<T>& result) {
  require_valid(head);
  const auto& [output, lse] = result;
  const Index n = head.size();
  if (output.rows() != n || output.cols() != head.value_width() || static_cast<Index>(lse.size()) != n) {
    throw InvalidArgument("output is " + std::to_string(output.rows()) + " x " + std::to_string(output.cols()) + " and lse has " +
                          std::to_string(lse.size()) + " entries; they must be " + std::to_string(n) + " x " +
                          std::to_string(head.value_width()) + " and " + std::to_string(n));
  }
}

}  // namespace

template <Real T>
void exact_attention(std::span<const HeadView<T>> heads, std::span<const ExactOutput<T>> results, const RunContext& context) {
  if (heads.size() != results.size()) {
    throw InvalidArgument("there are " + std::to_string(heads.size()) + " heads and " + std::to_string(results.size()) +
                          " results; they must be as many");
  }
  for (std::size_t h = 0; h < heads.size(); ++h) require_fitting(heads[h], results[h]);

  /// Some rows of one head.
  struct Item {
    std::size_t head;
    Index first;
  };
  std::vector<Prepared<T>> prepared;
  std::vector<Item> key_blocks;
  std::vector<Item> query_blocks;
  Index depth = 0;
  Index padded_width = 0;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    prepared.emplace_back(heads[h]);
    for (Index key = 0; key < heads[h].size(); key += key_rows) key_blocks.push_back({h, key});
    for (Index first = 0; first < heads[h].size(); first += query_rows) query_blocks.push_back({h, first});
    depth = std::max(depth, heads[h].width());
    padded_width = std::max(padded_width, prepared[h].padded_width);
  }
  // The last rows have the most keys: dearest first keeps the threads level.
  std::stable_sort(query_blocks.begin(), query_blocks.end(), [](const Item& a, const Item& b) { return a.first > b.first; });

  parallel_for(context, static_cast<Index>(key_blocks.size()), [&](Index i, int) {
    const Item& item = key_blocks[static_cast<std::size_t>(i)];
    prepared[item.head].prepare(item.first);
  });
  for (auto& head : prepared) head.finish();
  std::vector<QueryBlock<T>> workers(static_cast<std::size_t>(thread_count(context)), QueryBlock<T>(depth, padded_width));
  parallel_for(
      context, static_cast<Index>(query_blocks.size()),
      [&](Index i, int worker) {
        const auto& [h, first] = query_blocks[static_cast<std::size_t>(i)];
        workers[static_cast<std::size_t>(worker)].run(prepared[h], first, results[h].output, results[h].lse);
      },
      "exact attention");
}

template <Real T>
void exact_attention(const HeadView<T>& head, MutableMatrixView<T> output, std::span<double> lse, const RunContext& context) {
  const ExactOutput<T> result{output, lse};
  exact_attention<T>(std::span(&head, 1), std::span(&result, 1), context);
}

template void exact_attention(std::span<const HeadView<float>>, std::span<const ExactOutput<float>>, const RunContext&);
template void exact_attention(std::span<const HeadView<double>>, std::span<const ExactOutput<double>>, const RunContext&);
template void exact_attention(const HeadView<float>&, MutableMatrixView<float>, std::span<double>, const RunContext&);
template void exact_attention(const HeadView<double>&, MutableMatrixView<double>, std::span<double>, const RunContext&);

}  // namespace convbasis
