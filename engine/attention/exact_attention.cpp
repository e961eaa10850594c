#include "attention/exact_attention.h"

#include "attention/accelerator.h"

#include "attention/kernels.h"
#include "attention/tile_kernels.h"
#include "core/aligned.h"
#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

namespace convbasis {
namespace {

// Tile sizes. Some queries stream past each block of keys: the packed queries, the sums and the block's keys and values stay in
// the second-level cache; the weights of one group of queries and what one register block reads, in the first. Many queries share
// the price of fetching a block of keys, few keep the threads level when there is little to share out. All are multiples of every
// group width. Neither the number of queries nor that of threads changes a row's result; that of keys does, by rounding.
constexpr Index few_queries = 96;
constexpr Index many_queries = 192;
constexpr Index key_rows = 256;

/// Weights are 2^(score - shift). As long as no score of a row can be more than this above the row's shift, its weights and
/// their sums over any number of tokens are far from overflow, and the shift need not follow the maximum.
template <Real T>
constexpr T headroom = std::same_as<T, float> ? T(64) : T(500);

/// A head and what is known of it before its first score.
template <Real T>
struct PreparedHead {
  HeadView<T> head;
  T factor;                    ///< from a product of query and key to a score in base 2
  std::vector<T> longest_key;  ///< of keys 0 to i

  PreparedHead(const HeadView<T>& source, const RunContext& context)
      : head(source),
        factor(static_cast<T>(source.scale * std::numbers::log2e)),
        longest_key(static_cast<std::size_t>(source.size())) {
    for (Index key = 0; key < head.size() && plain(); key += key_rows) {
      context.check();
      kernels::row_lengths<T>(rows(head.key, key, std::min(key_rows, head.size() - key)), longest_key.data() + key);
    }
    std::inclusive_scan(longest_key.begin(), longest_key.end(), longest_key.begin(), [](T a, T b) { return std::max(a, b); });
  }

  /// Scores are products of query and key, nothing more: then the lengths of those bound them.
  bool plain() const { return head.bias.empty() && !head.matrix; }
};

/// Scratch of one thread and the work on one block of queries.
template <Real T>
class QueryBlock {
 public:
  /// For at most `queries` at a time and heads of at most these widths.
  QueryBlock(Index queries, Index width, Index value_width)
      : query_(static_cast<std::size_t>(queries * width)),
        values_(static_cast<std::size_t>(key_rows * padded(value_width))),
        sums_(static_cast<std::size_t>(queries * padded(value_width))),
        weights_(static_cast<std::size_t>(key_rows * width_)),
        given_(width_, key_rows),
        bound_(static_cast<std::size_t>(queries)),
        shift_(static_cast<std::size_t>(queries)),
        total_(static_cast<std::size_t>(queries)) {}

  void run(const PreparedHead<T>& prepared, Index first, Index count, const ExactOutput<T>& result) {
    const HeadView<T>& head = prepared.head;
    MutableMatrixView<T> output = result.output;
    stride_ = padded(head.value_width());
    for (Index a = 0; a < count; a += width_) start_group(prepared, first + a, a, std::min(width_, count - a));
    std::fill_n(sums_.begin(), round_up(count, width_) * stride_, T{0});
    for (Index key = 0; key < first + count; key += key_rows) {
      const Index keys = std::min(key_rows, first + count - key);
      kernels::pack_columns<T>(rows(head.value, key, keys), values_.data());
      for (Index a = 0; a < count; a += width_) {
        add_keys(prepared, a, std::min(width_, count - a), key, keys, first + a - key);
      }
    }
    for (Index a = 0; a < count; ++a) {
      const auto r = static_cast<std::size_t>(a);
      const Eigen::Map<const Eigen::RowVectorX<T>> sum(sums_.data() + a * stride_, head.value_width());
      output.row(first + a) = sum * static_cast<T>(1.0 / total_[r]);
      result.lse[static_cast<std::size_t>(first + a)] = static_cast<double>(shift_[r]) * std::numbers::ln2 + std::log(total_[r]);
    }
  }

 private:
  static Index padded(Index value_width) { return round_up(value_width, kernels::panel_width<T>()); }

  /// Packs `count` queries from `row` on; their place in the block is `a`.
  void start_group(const PreparedHead<T>& prepared, Index row, Index a, Index count) {
    const MatrixView<T> query = rows(prepared.head.query, row, count);
    kernels::pack_group<T>(query, prepared.factor, query_.data() + a * query.cols());
    kernels::row_lengths<T>(query, bound_.data() + a);
    for (Index x = 0; x < width_; ++x) {
      const auto r = static_cast<std::size_t>(a + x);
      total_[r] = 0.0;
      shift_[r] = T{0};
      if (x >= count) continue;
      if (prepared.plain()) {  // |score| <= |query| |key|, and a little more for rounding
        bound_[r] *= T(1.001) * std::abs(prepared.factor) * prepared.longest_key[static_cast<std::size_t>(row + x)];
      } else {
        bound_[r] = std::numeric_limits<T>::infinity();
      }
      if (!(bound_[r] <= headroom<T>)) shift_[r] = -std::numeric_limits<T>::infinity();
    }
  }

  /// The weights of one group of queries for the packed block of `block` keys, and their share of the output. Query x of the
  /// group sees the keys up to visible + x.
  void add_keys(const PreparedHead<T>& prepared, Index a, Index count, Index key, Index block, Index visible) {
    const HeadView<T>& head = prepared.head;
    const Index keys = std::min(block, visible + count);
    if (keys <= 0) return;
    const kernels::ScoreTile<T> tile{.query = query_.data() + a * head.width(),
                                     .depth = head.width(),
                                     .key = head.key.data() + key * head.key.outerStride(),
                                     .key_stride = head.key.outerStride(),
                                     .keys = keys,
                                     .visible = visible,
                                     .weights = weights_.data()};
    std::fill(block_total_.begin(), block_total_.end(), T{0});
    if (bounded(a, count)) {
      kernels::weigh<T>(tile, shift_.data() + a, block_total_.data());
    } else {
      std::fill(maximum_.begin(), maximum_.end(), -std::numeric_limits<T>::infinity());
      if (prepared.plain()) {
        kernels::score<T>(tile, maximum_.data());
      } else {
        score_other(prepared, tile, key, count);
      }
      raise_shifts(a, count);
      kernels::exponentiate<T>(keys, weights_.data(), shift_.data() + a, block_total_.data());
    }
    for (Index x = 0; x < count; ++x) {
      total_[static_cast<std::size_t>(a + x)] += static_cast<double>(block_total_[static_cast<std::size_t>(x)]);
    }
    kernels::add_values<T>({.weights = weights_.data(),
                            .keys = keys,
                            .visible = visible,
                            .values = values_.data(),
                            .panels = stride_ / kernels::panel_width<T>(),
                            .panel_stride = block * kernels::panel_width<T>(),
                            .target = sums_.data() + a * stride_,
                            .target_stride = stride_});
  }

  /// kernels::score() for a head with a position bias, or one that is given by its scores.
  void score_other(const PreparedHead<T>& prepared, const kernels::ScoreTile<T>& tile, Index key, Index count) {
    const HeadView<T>& head = prepared.head;
    const auto to_base_2 = static_cast<T>(std::numbers::log2e);
    if (head.matrix) {
      given_.setZero();
      head.matrix->read(key + tile.visible, key, {given_.data(), count, tile.keys, Eigen::OuterStride<>(key_rows)});
    } else {
      kernels::score<T>(tile, maximum_.data());
    }
    std::fill(maximum_.begin(), maximum_.end(), -std::numeric_limits<T>::infinity());
    for (Index t = 0; t < tile.keys; ++t) {
      T* weights = tile.weights + t * width_;
      const Index unseen = std::clamp<Index>(t - tile.visible, 0, width_);  // queries before that key
      std::fill_n(weights, unseen, -std::numeric_limits<T>::infinity());
      for (Index x = unseen; x < count; ++x) {
        weights[x] = head.matrix ? to_base_2 * given_(x, t)
                                 : weights[x] + to_base_2 * head.bias[static_cast<std::size_t>(tile.visible + x - t)];
        maximum_[static_cast<std::size_t>(x)] = std::max(maximum_[static_cast<std::size_t>(x)], weights[x]);
      }
      // Lanes without a query: any number does, for their shift is 0.
      std::fill(weights + std::max(unseen, count), weights + width_, T{0});
    }
  }

  bool row_bounded(std::size_t r) const { return bound_[r] - shift_[r] <= headroom<T>; }
  bool bounded(Index a, Index count) const {
    bool all = true;
    for (Index x = 0; x < count; ++x) all = all && row_bounded(static_cast<std::size_t>(a + x));
    return all;
  }

  /// The online-softmax step of the rows that need one; the others keep their shift, so that a row's result does not depend on
  /// its neighbours.
  void raise_shifts(Index a, Index count) {
    for (Index x = 0; x < count; ++x) {
      const auto r = static_cast<std::size_t>(a + x);
      const T raised = maximum_[static_cast<std::size_t>(x)];
      if (row_bounded(r) || !(raised > shift_[r])) continue;
      const T factor = std::exp2(shift_[r] - raised);
      shift_[r] = raised;
      total_[r] *= static_cast<double>(factor);
      Eigen::Map<Eigen::RowVectorX<T>>(sums_.data() + (a + x) * stride_, stride_) *= factor;
    }
  }

  const Index width_ = kernels::group_width<T>();
  Index stride_ = 0;          // of the sums: the head's value width in whole panels
  AlignedVector<T> query_;    // packed, group by group
  AlignedVector<T> values_;   // of the block of keys at hand, packed
  AlignedVector<T> sums_;     // of weights times values, a row for each query
  AlignedVector<T> weights_;  // of the group and the block at hand
  Matrix<T> given_;           // the scores of the same, where they are given
  std::vector<T> bound_;
  std::vector<T> shift_;
  std::vector<double> total_;
  std::vector<T> block_total_ = std::vector<T>(static_cast<std::size_t>(width_));
  std::vector<T> maximum_ = std::vector<T>(static_cast<std::size_t>(width_));
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

  Index total = 0;
  Index width = 0;
  Index value_width = 0;
  for (const auto& head : heads) {
    total += head.size();
    width = std::max(width, head.width());
    value_width = std::max(value_width, head.value_width());
  }
  const Index threads = thread_count(context);
  const Index query_rows = total >= 8 * threads * many_queries ? many_queries : few_queries;

  /// Some queries of one head.
  struct Item {
    std::size_t head;
    Index first;
  };
  std::vector<PreparedHead<T>> prepared;
  std::vector<Item> items;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    prepared.emplace_back(heads[h], context);
    for (Index first = 0; first < heads[h].size(); first += query_rows) items.push_back({h, first});
  }
  // The last rows have the most keys: dearest first keeps the threads level.
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.first > b.first; });

  std::vector<QueryBlock<T>> workers;
  workers.reserve(static_cast<std::size_t>(threads));
  for (Index worker = 0; worker < threads; ++worker) workers.emplace_back(query_rows, width, value_width);
  parallel_for(
      context, static_cast<Index>(items.size()),
      [&](Index i, int worker) {
        const auto& [h, first] = items[static_cast<std::size_t>(i)];
        const Index count = std::min(query_rows, heads[h].size() - first);
        workers[static_cast<std::size_t>(worker)].run(prepared[h], first, count, results[h]);
      },
      "exact attention");
}

template <Real T>
void exact_attention(const HeadView<T>& head, MutableMatrixView<T> output, std::span<double> lse, const RunContext& context) {
  const ExactOutput<T> result{output, lse};
  if constexpr (std::same_as<T, float>) {
    if (context.accelerator != nullptr) {
      require_fitting(head, result);
      context.check();
      if (context.accelerator->exact_attention(head, output, lse, context)) return;
    }
  }
  exact_attention<T>(std::span(&head, 1), std::span(&result, 1), context);
}

template void exact_attention(std::span<const HeadView<float>>, std::span<const ExactOutput<float>>, const RunContext&);
template void exact_attention(std::span<const HeadView<double>>, std::span<const ExactOutput<double>>, const RunContext&);
template void exact_attention(const HeadView<float>&, MutableMatrixView<float>, std::span<double>, const RunContext&);
template void exact_attention(const HeadView<double>&, MutableMatrixView<double>, std::span<double>, const RunContext&);

}  // namespace convbasis
