#include "lowrank/feature_stream.h"

#include "attention/kernels.h"
#include "attention/tile_kernels.h"
#include "core/aligned.h"
#include "core/threads.h"

#include <algorithm>
#include <optional>

namespace convbasis {
namespace {

/// Features whose running sum is kept together: it should stay in a core's cache with the features of a block of rows.
Index chunk_size(Index features) {
  constexpr Index fewest = 24;
  constexpr Index most = 256;
  constexpr Index parts = 8;
  return std::clamp<Index>(round_up((features + parts - 1) / parts, 12), fewest, most);
}

template <Real T>
Index padded_columns(Index value_width) {
  return round_up(value_width + 1, kernels::panel_width<T>());
}

/// Query, key and value in the order in which the products read them.
template <Real T>
class PackedInput {
 public:
  PackedInput(const StreamInput<T>& input, Index block, const RunContext& context)
      : group(kernels::group_width<T>()),
        width(input.key.cols()),
        columns(padded_columns<T>(input.value.cols())),
        block_(block),
        blocks_((input.key.rows() + block - 1) / block),
        query_(static_cast<std::size_t>(blocks_ * block * width)),
        key_(query_.size()),
        value_(static_cast<std::size_t>(blocks_ * block * columns)) {
    parallel_for(context, blocks_, [&](Index b, int) {
      for (Index row = b * block; row < (b + 1) * block; row += group) {
        const Index first = std::min(row, input.key.rows());
        const Index count = std::min(group, input.key.rows() - first);
        kernels::pack_group<T>(rows(input.query, first, count), static_cast<T>(input.scale), query_.data() + row * width);
        kernels::pack_group<T>(rows(input.key, first, count), T{1}, key_.data() + row * width);
      }
      pack_values(input.value, b);
    });
  }

  const Index group, width, columns;
  /// One group's vectors, transposed; `row` is a multiple of the group.
  const T* query(Index row) const { return query_.data() + row * width; }
  const T* key(Index row) const { return key_.data() + row * width; }
  /// Panels of one block, each of panel_stride() numbers.
  const T* value(Index b) const { return value_.data() + b * block_ * columns; }
  Index panel_stride() const { return block_ * kernels::panel_width<T>(); }
  Index panels() const { return columns / kernels::panel_width<T>(); }

 private:
  /// The values, a column of ones, and zeros; all zeros for rows that do not exist.
  void pack_values(const MatrixView<T>& value, Index b) {
    const Index first = b * block_;
    const Index count = std::min(block_, value.rows() - first);
    Matrix<T> extended = Matrix<T>::Zero(block_, columns);
    extended.topLeftCorner(count, value.cols()) = rows(value, first, count);
    extended.col(value.cols()).head(count).setOnes();
    kernels::pack_columns<T>(view(extended), value_.data() + b * block_ * columns);
  }

  Index block_, blocks_;
  Scratch<T> query_, key_, value_;
};

/// What one thread works in.
template <Real T>
struct Worker {
  Worker(Index chunk, Index block, Index group, Index degree, Index columns)
      : features(static_cast<std::size_t>(chunk * block)),
        scratch(static_cast<std::size_t>(std::max<Index>(degree, 1) * group)),
        sum(static_cast<std::size_t>(chunk * columns)),
        weights(static_cast<std::size_t>(block * group)),
        largest(static_cast<std::size_t>(group)) {}
  AlignedVector<T> features, scratch, sum, weights, largest;
};

template <Real T>
class Stream {
 public:
  Stream(const StreamInput<T>& input, const IntervalMask& mask, const StreamPlan& plan, const RunContext& context)
      : input_(input), mask_(mask), plan_(plan), context_(context), packed_(input, plan.block, context) {
    const bool through_sums = std::ranges::any_of(plan.steps, [](const StreamStep& step) { return step.common.size() > 0; });
    if (through_sums) {
      features_.emplace(input.key.cols(), input.coefficients);
      chunk_ = chunk_size(features_->count());
      chunks_ = (features_->count() + chunk_ - 1) / chunk_;
      sums_ = Scratch<T>(static_cast<std::size_t>(chunks_ * (1 + plan.fronts) * chunk_ * packed_.columns));
      std::fill_n(sums_.data(), sums_.size(), T{0});
    }
    parts_ = std::min<Index>(chunks_, 8);
    for (const double c : input.coefficients) coefficients_.push_back(static_cast<T>(c));
    workers_.resize(static_cast<std::size_t>(thread_count(context)));
  }

  /// Blocks of rows are taken some at a time, which bounds the memory of the parts' sums.
  void run(MutableMatrixView<T> sums) {
    together_ = std::clamp<Index>(1536 / plan_.block, 1, plan_.blocks());
    partial_ = Scratch<T>(static_cast<std::size_t>(std::max<Index>(parts_, 1) * together_ * block_size()));
    for (Index first = 0; first < plan_.blocks(); first += together_) {
      const Interval blocks{first, std::min(plan_.blocks(), first + together_)};
      parallel_for(context_, parts_, [&](Index part, int thread) { add_common(part, blocks, worker(thread)); });
      parallel_for(context_, blocks.size(), [&](Index b, int thread) { finish(blocks, first + b, worker(thread), sums); });
      context_.report("low rank", static_cast<double>(blocks.end) / static_cast<double>(plan_.blocks()));
    }
  }

 private:
  Worker<T>& worker(int thread) {
    auto& mine = workers_[static_cast<std::size_t>(thread)];
    if (!mine) mine.emplace(chunk_, plan_.block, packed_.group, std::ssize(coefficients_) - 1, packed_.columns);
    return *mine;
  }
  Index sum_size() const { return chunk_ * packed_.columns; }
  /// Running sum `place` of a chunk: 0 is the back, then the front. Packed by panels, each of chunk_ x panel width.
  T* sum(Index chunk, Index place) { return sums_.data() + (chunk * (1 + plan_.fronts) + place) * sum_size(); }
  Index features_in(Index chunk) const { return std::min(chunk_, features_->count() - chunk * chunk_); }
  /// Sums of one block of rows.
  Index block_size() const { return plan_.block * packed_.columns; }
  T* partial(Index part, Index block_in_run) { return partial_.data() + (part * together_ + block_in_run) * block_size(); }

  /// The part's share of the common blocks: its features only, for some blocks of rows, from where it stood.
  void add_common(Index part, Interval blocks, Worker<T>& mine) {
    std::fill_n(partial(part, 0), blocks.size() * block_size(), T{0});
    for (Index chunk = chunks_ * part / parts_; chunk < chunks_ * (part + 1) / parts_; ++chunk) {
      for (Index b = blocks.begin; b < blocks.end; ++b) {
        const StreamStep& step = plan_.steps[static_cast<std::size_t>(b)];
        if (step.common.size() == 0) continue;
        context_.check();
        advance(chunk, step, mine);
        multiply(chunk, b, common_sum(chunk, step, mine), partial(part, b - blocks.begin), mine);
      }
    }
  }

  void advance(Index chunk, const StreamStep& step, Worker<T>& mine) {
    if (step.clear) std::fill_n(sum(chunk, 0), sum_size(), T{0});
    const Interval front = step.build_front;
    for (Index j = front.end; j-- > front.begin;) {
      T* here = sum(chunk, 1 + j - front.begin);
      if (j + 1 < front.end) {
        std::copy_n(here + sum_size(), sum_size(), here);
      } else {
        std::fill_n(here, sum_size(), T{0});
      }
      add_block(chunk, j, here, mine);
    }
    for (Index j = step.add_back.begin; j < step.add_back.end; ++j) add_block(chunk, j, sum(chunk, 0), mine);
  }

  /// target += phi(K of block j)^T (V, 1), this chunk's features.
  void add_block(Index chunk, Index j, T* target, Worker<T>& mine) {
    const Index count = features_in(chunk);
    const Index panel = kernels::panel_width<T>();
    for (Index x = 0; x < plan_.block; x += packed_.group) {
      features_->compute(PolynomialFeatures<T>::Side::key, packed_.key(j * plan_.block + x), packed_.group, chunk * chunk_, count,
                         mine.features.data() + x, plan_.block, mine.scratch.data());
    }
    for (Index p = 0; p < packed_.panels(); ++p) {
      kernels::multiply<T>(count, plan_.block, 1, mine.features.data(), plan_.block,
                           packed_.value(j) + p * packed_.panel_stride(), packed_.panel_stride(), target + p * chunk_ * panel,
                           panel, true);
    }
  }

  const T* common_sum(Index chunk, const StreamStep& step, Worker<T>& mine) {
    if (step.front < 0) return sum(chunk, 0);
    const T* front = sum(chunk, 1 + step.front);
    if (!step.back) return front;
    const T* back = sum(chunk, 0);
    for (Index x = 0; x < sum_size(); ++x) mine.sum[static_cast<std::size_t>(x)] = front[x] + back[x];
    return mine.sum.data();
  }

  /// target += phi(Q of the block b of rows) sum.
  void multiply(Index chunk, Index b, const T* sum, T* target, Worker<T>& mine) {
    const Index count = features_in(chunk);
    for (Index x = 0; x < plan_.rows_of(b).size(); x += packed_.group) {
      features_->compute(PolynomialFeatures<T>::Side::query, packed_.query(b * plan_.block + x), packed_.group, chunk * chunk_,
                         count, mine.features.data(), packed_.group, mine.scratch.data());
      add_weighted(count, mine.features.data(), sum, chunk_ * kernels::panel_width<T>(), target + x * packed_.columns);
    }
  }

  void add_weighted(Index count, const T* weights, const T* values, Index panel_stride, T* target) {
    kernels::add_values<T>({.weights = weights,
                            .keys = count,
                            .visible = count,
                            .values = values,
                            .panels = packed_.panels(),
                            .panel_stride = panel_stride,
                            .target = target,
                            .target_stride = packed_.columns});
  }

  /// The parts' sums of one block of rows, and the columns that are taken one by one.
  void finish(Interval blocks, Index b, Worker<T>& mine, MutableMatrixView<T> sums) {
    const Index place = b - blocks.begin;
    T* total = partial(0, place);
    if (parts_ == 0) std::fill_n(total, block_size(), T{0});
    for (Index part = 1; part < parts_; ++part) {
      const T* other = partial(part, place);
      for (Index x = 0; x < block_size(); ++x) total[x] += other[x];
    }
    const auto [before, after] = plan_.single_columns(b);
    for (Index x = 0; x < plan_.rows_of(b).size(); x += packed_.group) {
      for (const Interval& columns : {before, after}) add_single(b * plan_.block + x, columns, total + x * packed_.columns, mine);
    }
    const auto [first, last] = plan_.rows_of(b);
    for (Index i = first; i < last; ++i) {
      sums.row(i) = Eigen::Map<const RowVector<T>>(total + (i - first) * packed_.columns, sums.cols());
    }
  }

  /// Columns from their scores, for the group of rows that begins with `row`.
  void add_single(Index row, Interval columns, T* target, Worker<T>& mine) {
    for (Index first = columns.begin; first < columns.end;) {
      context_.check();
      const Index b = first / plan_.block;
      const Index last = std::min(columns.end, (b + 1) * plan_.block);
      weigh(row, {first, last}, mine);
      add_weighted(last - first, mine.weights.data(), packed_.value(b) + (first - b * plan_.block) * kernels::panel_width<T>(),
                   packed_.panel_stride(), target);
      first = last;
    }
  }

  void weigh(Index row, Interval columns, Worker<T>& mine) {
    kernels::score<T>({.query = packed_.query(row),
                       .depth = packed_.width,
                       .key = input_.key.data() + columns.begin * input_.key.outerStride(),
                       .key_stride = input_.key.outerStride(),
                       .keys = columns.size(),
                       .visible = columns.size(),
                       .weights = mine.weights.data()},
                      mine.largest.data());
    T* weights = mine.weights.data();
    const T leading = coefficients_.back();
    for (Index x = 0; x < columns.size() * packed_.group; ++x) {
      const T score = weights[x];
      T value = leading;
      for (std::size_t p = coefficients_.size() - 1; p-- > 0;) value = value * score + coefficients_[p];
      weights[x] = value;
    }
    hide(row, columns, weights);
  }

  /// Zero where the mask is.
  void hide(Index row, Interval columns, T* weights) {
    for (Index x = 0; x < packed_.group && row + x < plan_.rows; ++x) {
      const Interval seen = mask_.row(row + x);
      const Index first = std::clamp(seen.begin, columns.begin, columns.end);
      const Index last = std::clamp(seen.end, first, columns.end);
      for (Index j = columns.begin; j < first; ++j) weights[(j - columns.begin) * packed_.group + x] = T{0};
      for (Index j = last; j < columns.end; ++j) weights[(j - columns.begin) * packed_.group + x] = T{0};
    }
  }

  const StreamInput<T>& input_;
  const IntervalMask& mask_;
  const StreamPlan& plan_;
  const RunContext& context_;
  const PackedInput<T> packed_;
  std::optional<PolynomialFeatures<T>> features_;
  std::vector<T> coefficients_;
  Index chunk_ = 0, chunks_ = 0;  ///< features of a chunk, and how many chunks
  Index parts_ = 0;               ///< of the chunks, one item of work each
  Index together_ = 1;            ///< blocks of rows between two looks at all parts
  Scratch<T> sums_;
  Scratch<T> partial_;
  std::vector<std::optional<Worker<T>>> workers_;
};

}  // namespace

template <Real T>
Index stream_block(Index features, Index width, Index value_width) {
  // A row costs 2 features (value_width + 2) through the sums, and block (width + value_width) within its block.
  constexpr double most_of_it = 0.25;
  constexpr double most_rows = 192.0;
  const Index group = kernels::group_width<T>();
  const double through_sums = 2.0 * static_cast<double>(features) * static_cast<double>(value_width + 2);
  const double rows = most_of_it * through_sums / static_cast<double>(width + value_width);
  return std::max<Index>(1, static_cast<Index>(std::min(rows, most_rows)) / group) * group;
}

template <Real T>
double stream_bytes(Index width, Index value_width, Index degree, Index fronts) {
  const auto features = static_cast<double>(feature_count(width, degree));
  return PolynomialFeatures<T>::bytes(width, degree) +
         features * static_cast<double>((1 + fronts) * padded_columns<T>(value_width)) * sizeof(T);
}

template <Real T>
void stream_features(const StreamInput<T>& input, const IntervalMask& mask, const StreamPlan& plan, MutableMatrixView<T> sums,
                     const RunContext& context) {
  Stream<T>(input, mask, plan, context).run(sums);
}

template Index stream_block<float>(Index, Index, Index);
template Index stream_block<double>(Index, Index, Index);
template double stream_bytes<float>(Index, Index, Index, Index);
template double stream_bytes<double>(Index, Index, Index, Index);
template void stream_features(const StreamInput<float>&, const IntervalMask&, const StreamPlan&, MutableMatrixView<float>,
                              const RunContext&);
template void stream_features(const StreamInput<double>&, const IntervalMask&, const StreamPlan&, MutableMatrixView<double>,
                              const RunContext&);

}  // namespace convbasis
