#include "attention/exact_backward.h"

#include "attention/accelerator.h"
#include "attention/kernels.h"
#include "attention/tile_kernels.h"
#include "core/aligned.h"
#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>
#include <optional>
#include <vector>

namespace convbasis {
namespace {

/// Key blocks are dealt out to so many parts, whatever the number of threads: each has sums of dQ of its own.
constexpr Index most_parts = 8;

/// Keys of a block: their rows, packed columns and gradients stay in the second-level cache. Short inputs have smaller ones, so
/// that there is something to deal out.
Index block_keys(Index n) { return n >= 4096 ? 256 : n >= 1024 ? 128 : 64; }

template <Real T>
Index padded(Index width) {
  return round_up(width, kernels::panel_width<T>());
}

/// Queries and output gradients of all groups, in the order in which tiles read them.
template <Real T>
class PackedQueries {
 public:
  PackedQueries(const HeadView<T>& head, const BackwardInput<T>& forward, const RunContext& context)
      : group_(kernels::group_width<T>()),
        groups_((head.size() + group_ - 1) / group_),
        depth_(head.width()),
        value_depth_(head.value_width()),
        query_(size(depth_)),
        gradient_(size(value_depth_)),
        query_columns_(size(padded<T>(depth_))),
        gradient_columns_(size(padded<T>(value_depth_))),
        shift_(static_cast<std::size_t>(groups_ * group_), T(1e4)),  // queries past the last: weight 0
        delta_(static_cast<std::size_t>(groups_ * group_), T{0}) {
    const auto factor = static_cast<T>(head.scale * std::numbers::log2e);
    parallel_for(context, groups_, [&](Index g, int) {
      const Index first = g * group_;
      const Index count = std::min(group_, head.size() - first);
      const MatrixView<T> query = rows(head.query, first, count);
      const MatrixView<T> gradient = rows(forward.output_gradient, first, count);
      kernels::pack_group<T>(query, factor, query_.data() + first * depth_);
      kernels::pack_group<T>(gradient, T{1}, gradient_.data() + first * value_depth_);
      kernels::pack_columns<T>(query, query_columns_.data() + first * padded<T>(depth_));
      kernels::pack_columns<T>(gradient, gradient_columns_.data() + first * padded<T>(value_depth_));
      for (Index x = 0; x < count; ++x) {
        const auto row = static_cast<std::size_t>(first + x);
        shift_[row] = static_cast<T>(forward.lse[row] * std::numbers::log2e);
        delta_[row] = gradient.row(x).dot(forward.output.row(first + x));
      }
    });
  }

  Index group() const { return group_; }
  Index groups() const { return groups_; }
  const T* query(Index g) const { return query_.data() + g * group_ * depth_; }
  const T* gradient(Index g) const { return gradient_.data() + g * group_ * value_depth_; }
  const T* query_columns(Index g) const { return query_columns_.data() + g * group_ * padded<T>(depth_); }
  const T* gradient_columns(Index g) const { return gradient_columns_.data() + g * group_ * padded<T>(value_depth_); }
  const T* shift(Index g) const { return shift_.data() + g * group_; }
  const T* delta(Index g) const { return delta_.data() + g * group_; }

 private:
  std::size_t size(Index width) const { return static_cast<std::size_t>(groups_ * group_ * width); }

  Index group_, groups_, depth_, value_depth_;
  Scratch<T> query_, gradient_;                  // for products with keys and values
  Scratch<T> query_columns_, gradient_columns_;  // for products with weights
  AlignedVector<T> shift_, delta_;               // log-sum-exp in base 2, and delta
};

/// The key blocks of one part, one after the other, and its sums of dQ.
template <Real T>
class BackwardPart {
 public:
  BackwardPart(const HeadView<T>& head, const PackedQueries<T>& packed)
      : head_(head),
        packed_(packed),
        block_(block_keys(head.size())),
        weights_(static_cast<std::size_t>(block_ * packed.group())),
        changes_(weights_.size()),
        key_columns_(static_cast<std::size_t>(block_ * padded<T>(head.width()))),
        key_sums_(key_columns_.size()),
        value_sums_(static_cast<std::size_t>(block_ * padded<T>(head.value_width()))),
        lanes_(static_cast<std::size_t>(packed.group())),
        query_sums_(static_cast<std::size_t>(packed.groups() * packed.group() * padded<T>(head.width()))) {
    std::fill_n(query_sums_.data(), query_sums_.size(), T{0});
  }

  void run(Index first, const HeadGradients<T>& gradients) {
    const Index keys = std::min(block_, head_.size() - first);
    kernels::pack_columns<T>(rows(head_.key, first, keys), key_columns_.data());
    std::ranges::fill(key_sums_, T{0});
    std::ranges::fill(value_sums_, T{0});
    for (Index g = first / packed_.group(); g < packed_.groups(); ++g) add_queries(first, keys, g);
    const auto scale = static_cast<T>(head_.scale);
    for (Index t = 0; t < keys; ++t) {
      const Index depth = head_.width();
      const Index value_depth = head_.value_width();
      MutableMatrixView<T> key = gradients.key;
      MutableMatrixView<T> value = gradients.value;
      key.row(first + t) = scale * Eigen::Map<const RowVector<T>>(key_sums_.data() + t * padded<T>(depth), depth);
      value.row(first + t) = Eigen::Map<const RowVector<T>>(value_sums_.data() + t * padded<T>(value_depth), value_depth);
    }
  }

  /// dS K of query i, not yet times the scale.
  Eigen::Map<const RowVector<T>> query_sum(Index i) const {
    return {query_sums_.data() + i * padded<T>(head_.width()), head_.width()};
  }

 private:
  /// What the queries of one group add to the gradients of the block, and the block to theirs.
  void add_queries(Index first, Index block, Index g) {
    const Index group = packed_.group();
    const Index query = g * group;
    const Index count = std::min(group, head_.size() - query);
    const Index visible = query - first;
    const Index keys = std::min(block, visible + count);
    if (keys <= 0) return;
    weigh(first, keys, g, visible);
    // G_i . V_j, of all keys: where one is not seen, its weight is 0.
    kernels::score<T>({.query = packed_.gradient(g),
                       .depth = head_.value_width(),
                       .key = head_.value.data() + first * head_.value.outerStride(),
                       .key_stride = head_.value.outerStride(),
                       .keys = keys,
                       .visible = keys,
                       .weights = changes_.data()},
                      lanes_.data());
    const T* delta = packed_.delta(g);
    for (Index t = 0; t < keys; ++t) {
      T* change = changes_.data() + t * group;
      const T* weight = weights_.data() + t * group;
      for (Index x = 0; x < group; ++x) change[x] = weight[x] * (change[x] - delta[x]);
    }
    const Index panel = kernels::panel_width<T>();
    const Index width = padded<T>(head_.width());
    const Index value_width = padded<T>(head_.value_width());
    kernels::multiply<T>(keys, count, value_width / panel, weights_.data(), group, packed_.gradient_columns(g), count * panel,
                         value_sums_.data(), value_width, true);
    kernels::multiply<T>(keys, count, width / panel, changes_.data(), group, packed_.query_columns(g), count * panel,
                         key_sums_.data(), width, true);
    kernels::add_values<T>({.weights = changes_.data(),
                            .keys = keys,
                            .visible = visible,
                            .values = key_columns_.data(),
                            .panels = width / panel,
                            .panel_stride = block * panel,
                            .target = query_sums_.data() + query * width,
                            .target_stride = width});
  }

  /// weights_[t][x] = P of query x of the group and key t of the block; 0 where it is not seen.
  void weigh(Index first, Index keys, Index g, Index visible) {
    const kernels::ScoreTile<T> tile{.query = packed_.query(g),
                                     .depth = head_.width(),
                                     .key = head_.key.data() + first * head_.key.outerStride(),
                                     .key_stride = head_.key.outerStride(),
                                     .keys = keys,
                                     .visible = visible,
                                     .weights = weights_.data()};
    if (head_.bias.empty()) {
      kernels::weigh<T>(tile, packed_.shift(g), lanes_.data());
      return;
    }
    kernels::score<T>(tile, lanes_.data());
    const Index count = std::min(packed_.group(), head_.size() - g * packed_.group());
    for (Index t = 0; t < keys; ++t) {
      for (Index x = std::max<Index>(0, t - visible); x < count; ++x) {
        weights_[static_cast<std::size_t>(t * packed_.group() + x)] +=
            static_cast<T>(std::numbers::log2e) * head_.bias[static_cast<std::size_t>(visible + x - t)];
      }
    }
    kernels::exponentiate<T>(keys, weights_.data(), packed_.shift(g), lanes_.data());
  }

  const HeadView<T>& head_;
  const PackedQueries<T>& packed_;
  Index block_;
  AlignedVector<T> weights_, changes_;  // P and dS of a block and a group, a row for each key
  AlignedVector<T> key_columns_, key_sums_, value_sums_;
  AlignedVector<T> lanes_;  // maxima and sums that the kernels want to write and nobody reads
  Scratch<T> query_sums_;
};

/// The blocks of each part: dealt out forth and back, because the first ones have the most queries.
std::vector<std::vector<Index>> deal_blocks(Index n) {
  const Index blocks = (n + block_keys(n) - 1) / block_keys(n);
  const Index parts = std::min(blocks, most_parts);
  std::vector<std::vector<Index>> dealt(static_cast<std::size_t>(parts));
  for (Index b = 0; b < blocks; ++b) {
    const Index place = b % parts;
    dealt[static_cast<std::size_t>(b / parts % 2 == 0 ? place : parts - 1 - place)].push_back(b * block_keys(n));
  }
  return dealt;
}

}  // namespace

template <Real T>
void require_gradient_shapes(const HeadView<T>& head, const MatrixView<T>& output, const MatrixView<T>& output_gradient,
                             const HeadGradients<T>& gradients) {
  require_valid(head);
  if (head.matrix) throw InvalidArgument("a head that is given by its scores has no queries and keys to take gradients by");
  const auto fits = [](const char* name, const auto& matrix, Index rows, Index cols) {
    if (matrix.rows() != rows || matrix.cols() != cols) {
      throw InvalidArgument(fmt::format("{} is {} x {}; it must be {} x {}", name, matrix.rows(), matrix.cols(), rows, cols));
    }
  };
  const Index n = head.size();
  fits("output", output, n, head.value_width());
  fits("output gradient", output_gradient, n, head.value_width());
  fits("query gradient", gradients.query, n, head.width());
  fits("key gradient", gradients.key, n, head.width());
  fits("value gradient", gradients.value, n, head.value_width());
}

template <Real T>
void exact_backward(const HeadView<T>& head, const BackwardInput<T>& forward, const HeadGradients<T>& gradients,
                    const RunContext& context) {
  require_gradient_shapes(head, forward.output, forward.output_gradient, gradients);
  if (std::ssize(forward.lse) != head.size()) {
    throw InvalidArgument(
        fmt::format("lse has {} entries; it must have one for each of the {} rows", forward.lse.size(), head.size()));
  }
  if constexpr (std::same_as<T, float>) {
    context.check();
    if (context.accelerator != nullptr && context.accelerator->exact_backward(head, forward, gradients, context)) return;
  }
  const PackedQueries<T> packed(head, forward, context);
  const std::vector<std::vector<Index>> blocks = deal_blocks(head.size());
  std::vector<std::optional<BackwardPart<T>>> parts(blocks.size());
  parallel_for(
      context, std::ssize(parts),
      [&](Index p, int) {
        auto& part = parts[static_cast<std::size_t>(p)].emplace(head, packed);
        for (const Index first : blocks[static_cast<std::size_t>(p)]) {
          context.check();
          part.run(first, gradients);
        }
      },
      "exact backward");
  constexpr Index rows_at_once = 256;
  const Index n = head.size();
  parallel_for(context, (n + rows_at_once - 1) / rows_at_once, [&](Index item, int) {
    MutableMatrixView<T> query = gradients.query;
    for (Index i = item * rows_at_once; i < std::min(n, (item + 1) * rows_at_once); ++i) {
      query.row(i) = parts.front()->query_sum(i);
      for (std::size_t p = 1; p < parts.size(); ++p) query.row(i) += parts[p]->query_sum(i);
      query.row(i) *= static_cast<T>(head.scale);
    }
  });
}

template void require_gradient_shapes(const HeadView<float>&, const MatrixView<float>&, const MatrixView<float>&,
                                      const HeadGradients<float>&);
template void require_gradient_shapes(const HeadView<double>&, const MatrixView<double>&, const MatrixView<double>&,
                                      const HeadGradients<double>&);
template void exact_backward(const HeadView<float>&, const BackwardInput<float>&, const HeadGradients<float>&, const RunContext&);
template void exact_backward(const HeadView<double>&, const BackwardInput<double>&, const HeadGradients<double>&,
                             const RunContext&);

}  // namespace convbasis
