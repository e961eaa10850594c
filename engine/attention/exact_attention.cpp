#include "attention/exact_attention.h"

#include "attention/kernels.h"
#include "core/fft.h"
#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace convbasis {
namespace {

// Tile sizes: the key panel in use (two vectors of keys) and 64 query rows stay in the first-level cache, the 64 x 256 scores,
// the 256 packed keys and values in the second. Multiples of every register block.
constexpr Index query_rows = 64;
constexpr Index key_rows = 256;

/// Keys and values packed once for all query blocks.
template <Real T>
struct Packed {
  Index width = kernels::panel_width<T>();
  Index key_panels;
  Index value_panels;
  AlignedVector<T> keys;
  AlignedVector<T> values;

  Packed(const HeadView<T>& head, const RunContext& context)
      : key_panels((head.size() + width - 1) / width),
        value_panels((head.value_width() + width - 1) / width),
        keys(static_cast<std::size_t>(key_panels * width * head.width())),
        values(static_cast<std::size_t>(value_panels * width * head.size())) {
    // Blocks of whole panels of keys, so that threads share the packing.
    const Index blocks = (head.size() + key_rows - 1) / key_rows;
    parallel_for(context, blocks, [&](Index block, int) {
      const Index first = block * key_rows;
      const Index count = std::min(key_rows, head.size() - first);
      kernels::pack_transposed<T>(rows(head.key, first, count), keys.data() + first * head.width());
    });
    kernels::pack_columns<T>(head.value, values.data());
  }
};

/// Scratch of one thread and the work on one block of query rows.
template <Real T>
class QueryBlock {
 public:
  QueryBlock(const HeadView<T>& head, const Packed<T>& packed)
      : head_(head),
        packed_(packed),
        query_(query_rows, head.width()),
        weights_(query_rows, key_rows),
        sums_(query_rows, packed.value_panels * packed.width) {}

  void run(Index first, MutableMatrixView<T> output, std::span<double> lse) {
    const Index count = std::min(query_rows, head_.size() - first);
    query_.topRows(count) = static_cast<T>(head_.scale) * head_.query.middleRows(first, count);
    sums_.setZero();
    std::fill(maximum_.begin(), maximum_.end(), -std::numeric_limits<T>::infinity());
    std::fill(total_.begin(), total_.end(), 0.0);
    for (Index key = 0; key < first + count; key += key_rows) add_keys(first, count, key);
    for (Index a = 0; a < count; ++a) {
      const auto r = static_cast<std::size_t>(a);
      output.row(first + a) = sums_.row(a).head(head_.value_width()) / static_cast<T>(total_[r]);
      lse[static_cast<std::size_t>(first + a)] = static_cast<double>(maximum_[r]) + std::log(total_[r]);
    }
  }

 private:
  /// Scores of one key block, its online-softmax step, and its share of the output.
  void add_keys(Index first, Index count, Index key) {
    const Index keys = std::min(key_rows, first + count - key);
    const Index depth = head_.width();
    const Index panels = (keys + packed_.width - 1) / packed_.width;
    kernels::multiply<T>(count, depth, panels, query_.data(), depth, packed_.keys.data() + key * depth, depth * packed_.width,
                         weights_.data(), key_rows, false);
    for (Index a = 0; a < count; ++a) {
      const auto r = static_cast<std::size_t>(a);
      const Index causal = std::min(keys, first + a - key + 1);
      T* row = weights_.data() + a * key_rows;
      if (causal <= 0) {
        std::fill(row, row + keys, T{0});
        continue;
      }
      const T before = maximum_[r];
      const double sum = kernels::softmax_step<T>(row, causal, panels * packed_.width, maximum_[r]);
      if (maximum_[r] > before) {
        const T factor = std::exp(before - maximum_[r]);
        total_[r] *= static_cast<double>(factor);
        kernels::scale_row<T>(sums_.data() + a * sums_.cols(), sums_.cols(), factor);
      }
      total_[r] += sum;
    }
    kernels::multiply<T>(count, keys, packed_.value_panels, weights_.data(), key_rows,
                         packed_.values.data() + key * packed_.width, head_.size() * packed_.width, sums_.data(), sums_.cols(),
                         true);
  }

  const HeadView<T>& head_;
  const Packed<T>& packed_;
  Matrix<T> query_;
  Matrix<T> weights_;
  Matrix<T> sums_;
  std::vector<T> maximum_ = std::vector<T>(query_rows);
  std::vector<double> total_ = std::vector<double>(query_rows);
};

}  // namespace

template <Real T>
void exact_attention(const HeadView<T>& head, MutableMatrixView<T> output, std::span<double> lse, const RunContext& context) {
  require_valid(head);
  const Index n = head.size();
  if (output.rows() != n || output.cols() != head.value_width() || static_cast<Index>(lse.size()) != n) {
    throw InvalidArgument("output is " + std::to_string(output.rows()) + " x " + std::to_string(output.cols()) + " and lse has " +
                          std::to_string(lse.size()) + " entries; they must be " + std::to_string(n) + " x " +
                          std::to_string(head.value_width()) + " and " + std::to_string(n));
  }
  const Packed<T> packed(head, context);
  const Index blocks = (n + query_rows - 1) / query_rows;
  std::vector<QueryBlock<T>> workers(static_cast<std::size_t>(thread_count(context)), QueryBlock<T>(head, packed));
  // The last rows have the most keys: dearest first keeps the threads level.
  parallel_for(
      context, blocks,
      [&](Index item, int worker) {
        workers[static_cast<std::size_t>(worker)].run((blocks - 1 - item) * query_rows, output, lse);
      },
      "exact attention");
}

template void exact_attention(const HeadView<float>&, MutableMatrixView<float>, std::span<double>, const RunContext&);
template void exact_attention(const HeadView<double>&, MutableMatrixView<double>, std::span<double>, const RunContext&);

}  // namespace convbasis
