#include "basis/correlation.h"

#include "basis/window_products.h"
#include "core/threads.h"

#include <algorithm>

namespace convbasis {
namespace {

/// Columns whose spectra are held at a time. The same for any number of threads: it sets the order of the sums.
constexpr Index columns_at_once = 8;

/// Lag blocks that one thread transforms back: the first of the next ones is transformed by both.
constexpr Index lag_blocks_at_once = 8;

/// The correlations of all segments that have pieces, one after the other, as far as the first `blocks` blocks of rows reach.
struct SegmentRuns {
  std::vector<Index> segments;
  std::vector<SpectrumCorrelation> correlations;
  Index results = 0;
};
SegmentRuns runs_of(const ApplyLayout& layout, Index blocks) {
  SegmentRuns runs;
  for (Index i = 0; i < std::ssize(layout.pieces); ++i) {
    const Piece& piece = layout.pieces[static_cast<std::size_t>(i)];
    if (piece.block >= blocks) continue;
    if (!runs.segments.empty() && runs.segments.back() == piece.segment) {
      ++runs.correlations.back().count;
      continue;
    }
    const Index lags = blocks - piece.block;
    runs.segments.push_back(piece.segment);
    runs.correlations.push_back({i, 1, piece.block, lags, runs.results});
    runs.results += lags;
  }
  return runs;
}

}  // namespace

template <Real T>
struct PartitionedCorrelation<T>::Banks {
  Banks(const ApplyLayout& layout, Index all_rows, Index columns, int threads)
      : rows(all_rows),
        blocks((rows + layout.block - 1) / layout.block),
        runs(runs_of(layout, blocks)),
        pieces(runs.correlations.empty() ? 0 : runs.correlations.back().first_left + runs.correlations.back().count),
        left(layout.block, pieces, columns),
        right(layout.block, blocks + lags_at_once - 1, columns),
        sums(layout.block, runs.results, 1),
        scratch(static_cast<std::size_t>(threads)) {
    const std::vector<std::complex<T>> zero(static_cast<std::size_t>(layout.block));
    for (Index s = blocks; s < right.count(); ++s) {
      for (Index c = 0; c < columns; ++c) right.store(s, c, zero.data());
    }
  }
  std::complex<T>* scratch_of(int worker, std::size_t size) {
    auto& own = scratch[static_cast<std::size_t>(worker)];
    if (own.size() < size) own = Scratch<std::complex<T>>(size);
    return own.data();
  }

  Index rows, blocks;  // of right that count
  SegmentRuns runs;
  Index pieces;
  SpectrumBank<T> left, right;  // of pieces, and of blocks of rows
  SpectrumBank<T> sums;         // of lag blocks, segment by segment
  std::vector<Scratch<std::complex<T>>> scratch;
};

template <Real T>
PartitionedCorrelation<T>::PartitionedCorrelation(const ApplyLayout& layout, std::span<const Index> starts)
    : layout_(layout), starts_(starts.begin(), starts.end()), transform_(layout.block) {}

/// Columns [first, first + count) of both to the frequency domain.
template <Real T>
void PartitionedCorrelation<T>::transform(MatrixView<T> left, MatrixView<T> right, Index first, Index count, Banks& banks,
                                          const RunContext& context) const {
  parallel_for(context, banks.pieces + banks.blocks, [&](Index item, int worker) {
    std::complex<T>* scratch = banks.scratch_of(worker, transform_.scratch_size(columns_at_once));
    if (item < banks.pieces) {
      const Piece& piece = layout_.pieces[static_cast<std::size_t>(item)];
      transform_.forward(left, {piece.block, piece.first, piece.last}, first, count, scratch, banks.left, item);
    } else {
      const Index block = item - banks.pieces;
      const RowRange range{block, block * layout_.block, std::min(banks.rows, (block + 1) * layout_.block)};
      transform_.forward(right, range, first, count, scratch, banks.right, block);
    }
  });
}

/// Back to lags: a lag block is what lies ahead in its own spectrum and behind in the next.
template <Real T>
LagSums<T> PartitionedCorrelation<T>::lags(const Banks& banks, const RunContext& context) const {
  struct Item {
    std::size_t run;
    Index first;
  };
  std::vector<Item> items;
  LagSums<T> sums(starts_.size());
  for (std::size_t run = 0; run < banks.runs.segments.size(); ++run) {
    const auto r = static_cast<std::size_t>(banks.runs.segments[run]);
    sums[r].resize(static_cast<std::size_t>(std::max<Index>(0, banks.rows - starts_[r])));
    for (Index t = 0; t < banks.runs.correlations[run].lags; t += lag_blocks_at_once) items.push_back({run, t});
  }
  const Index block = layout_.block;
  parallel_for(context, std::ssize(items), [&](Index index, int) {
    const Item& item = items[static_cast<std::size_t>(index)];
    const SpectrumCorrelation& run = banks.runs.correlations[item.run];
    std::vector<T>& target = sums[static_cast<std::size_t>(banks.runs.segments[item.run])];
    Scratch<std::complex<T>> scratch(transform_.scratch_size(1));
    Scratch<T> ahead(static_cast<std::size_t>(block));
    Scratch<T> behind(static_cast<std::size_t>(block));
    const Index last = std::min(run.lags, item.first + lag_blocks_at_once);
    for (Index t = item.first; t < std::min(run.lags, last + 1); ++t) {
      transform_.correlation(banks.sums, run.first_result + t, scratch.data(), ahead.data(), behind.data());
      const auto there = [&](Index lag) { return std::min(lag, std::ssize(target)); };
      if (t > item.first) {
        const std::span<T> before(target.begin() + there((t - 1) * block), target.begin() + there(t * block));
        for (std::size_t a = 1; a < before.size(); ++a) before[a] += behind.data()[a];
      }
      if (t < last) {
        const std::span<T> here(target.begin() + there(t * block), target.begin() + there((t + 1) * block));
        std::copy_n(ahead.data(), here.size(), here.begin());
      }
    }
  });
  return sums;
}

template <Real T>
LagSums<T> PartitionedCorrelation<T>::operator()(MatrixView<T> left, MatrixView<T> right, Index rows,
                                                 const RunContext& context) const {
  Banks banks(layout_, rows, std::min(columns_at_once, left.cols()), thread_count(context));
  constexpr Index chunks_at_once = 4;
  const Index chunks = banks.sums.chunks();
  for (Index first = 0; first < left.cols(); first += columns_at_once) {
    const Index count = std::min(columns_at_once, left.cols() - first);
    transform(left, right, first, count, banks, context);
    parallel_for(context, (chunks + chunks_at_once - 1) / chunks_at_once, [&](Index item, int) {
      const ChunkRange range{item * chunks_at_once, std::min(chunks, (item + 1) * chunks_at_once)};
      correlate_products<T>(banks.runs.correlations, count, banks.left, banks.right, first > 0, range, banks.sums);
    });
  }
  return lags(banks, context);
}

template <Real T>
std::vector<T> correlate_directly(MatrixView<T> left, MatrixView<T> right, Index n, Index start, Index end,
                                  const RunContext& context) {
  constexpr Index lags_of_an_item = 512;
  const Index lags = n - start;
  const Index columns = left.cols();
  std::vector<T> sums(static_cast<std::size_t>(lags));
  parallel_for(context, (lags + lags_of_an_item - 1) / lags_of_an_item, [&](Index item, int) {
    const Index first = item * lags_of_an_item;
    // Of lag t: rows start + t ... end + t - 1 of right, laid end to end.
    window_products<T>(right.data() + (start + first) * columns, columns, left.data() + start * columns, (end - start) * columns,
                       std::min(lags_of_an_item, lags - first), sums.data() + first);
  });
  return sums;
}

template class PartitionedCorrelation<float>;
template class PartitionedCorrelation<double>;
template std::vector<float> correlate_directly(MatrixView<float>, MatrixView<float>, Index, Index, Index, const RunContext&);
template std::vector<double> correlate_directly(MatrixView<double>, MatrixView<double>, Index, Index, Index, const RunContext&);

}  // namespace convbasis
