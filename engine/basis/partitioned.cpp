#include "basis/partitioned.h"

#include "core/threads.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

namespace convbasis {
namespace {

/// The lag spectra of each segment that has pieces, one run after the other.
std::vector<SegmentSpectra> number_spectra(const ApplyLayout& layout) {
  std::vector<SegmentSpectra> runs;
  Index total = 0;
  for (const Piece& piece : layout.pieces) {
    if (!runs.empty() && runs.back().segment == piece.segment) continue;
    const Index count = layout.blocks() - piece.block;  // the segment's first piece has the most rows below it
    runs.push_back({piece.segment, total, count});
    total += count;
  }
  return runs;
}

std::vector<RowRange> ranges_of_pieces(const ApplyLayout& layout) {
  std::vector<RowRange> ranges;
  for (const Piece& piece : layout.pieces) ranges.push_back({piece.block, piece.first, piece.last});
  return ranges;
}

std::vector<RowRange> ranges_of_blocks(const ApplyLayout& layout) {
  std::vector<RowRange> ranges;
  for (Index p = 0; p < layout.blocks(); ++p) {
    ranges.push_back({p, p * layout.block, std::min(layout.size, (p + 1) * layout.block)});
  }
  return ranges;
}

/// Channels that one thread takes at a time: a whole number of those that are summed at once.
Index group_size(Index columns, int threads) {
  const Index share = (columns + threads - 1) / threads;
  return std::clamp(round_up(share, channels_at_once), channels_at_once, channels_of_a_group);
}

/// Outputs whose spectra are summed at a time: few, so that they stay in the cache until they are transformed back; not too few,
/// for the inputs are streamed once for each time.
template <Real T>
Index outputs_at_once(Index block, Index channels) {
  constexpr Index bytes = Index{1} << 24;
  return std::clamp<Index>(bytes / (block * channels * static_cast<Index>(sizeof(std::complex<T>))), 8, 64);
}

}  // namespace

template <Real T>
PartitionedProduct<T>::PartitionedProduct(const ConvBasis<T>& weights, const ApplyLayout& layout, const RunContext& context,
                                          SpectraMade made)
    : layout_(layout),
      transform_(layout.block),
      segment_spectra_(number_spectra(layout)),
      consecutive_(static_cast<std::size_t>(layout.blocks())),
      pieces_(ranges_of_pieces(layout)),
      blocks_(ranges_of_blocks(layout)),
      lags_(std::make_unique<LagSpectra>()),
      lag_sizes_(static_cast<std::size_t>(segment_spectra_.back().first + segment_spectra_.back().count)) {
  std::iota(consecutive_.begin(), consecutive_.end(), Index{0});
  auto run = segment_spectra_.begin();
  for (const Piece& piece : layout_.pieces) {
    if (piece.segment != run->segment) ++run;
    lag_index_.push_back(run->first - piece.block);
  }
  for (Index p = 0, reached = 0; p < layout_.blocks(); ++p) {  // causal: pieces in blocks up to p
    while (reached < std::ssize(pieces_) && pieces_[static_cast<std::size_t>(reached)].block <= p) ++reached;
    sums_.push_back({reached, lag_index_.data(), p, 0});
  }
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const Index q = pieces_[i].block;
    transposed_sums_.push_back({layout_.blocks() - q, consecutive_.data(), lag_index_[i] + q, q});
  }
  measure_lags(weights, context);
  lags_->weights = weights;
  if (made == SpectraMade::at_once) lag_spectra(context);
}

/// A stop while they are made leaves them for the next call.
template <Real T>
const SpectrumBank<T>& PartitionedProduct<T>::lag_spectra(const RunContext& context) const {
  std::call_once(lags_->made, [&] {
    lags_->bank = transform_lags(lags_->weights, context);
    lags_->weights = ConvBasis<T>();
  });
  return lags_->bank;
}

/// The window of lag block t is the lags of blocks t - 1 and t, but for one.
template <Real T>
void PartitionedProduct<T>::measure_lags(const ConvBasis<T>& weights, const RunContext& context) {
  parallel_for(context, std::ssize(segment_spectra_), [&](Index item, int) {
    const SegmentSpectra& run = segment_spectra_[static_cast<std::size_t>(item)];
    const auto lags = weights.lag_vector(run.segment);
    LagSize before;
    for (Index t = 0; t < run.count; ++t) {
      const Index first = std::min(t * layout_.block, std::ssize(lags));
      const Eigen::Map<const RowVector<T>> block(lags.data() + first, std::min(layout_.block, std::ssize(lags) - first));
      const auto wide = block.template cast<double>();  // squares of small floats would vanish
      const LagSize own{wide.sum(), wide.squaredNorm()};
      lag_sizes_[static_cast<std::size_t>(run.first + t)] = {before.sum + own.sum, before.sum_of_squares + own.sum_of_squares};
      before = own;
    }
  });
}

template <Real T>
SpectrumBank<T> PartitionedProduct<T>::transform_lags(const ConvBasis<T>& weights, const RunContext& context) const {
  struct LagBlock {
    Index segment, t;
  };
  std::vector<LagBlock> all;
  for (const SegmentSpectra& run : segment_spectra_) {
    for (Index t = 0; t < run.count; ++t) all.push_back({run.segment, t});
  }
  SpectrumBank<T> bank(layout_.block, std::ssize(all), 1);
  std::vector<Scratch<std::complex<T>>> scratch(static_cast<std::size_t>(thread_count(context)));
  parallel_for(context, std::ssize(all), [&](Index item, int worker) {
    const auto index = static_cast<std::size_t>(item);
    auto& own = scratch[static_cast<std::size_t>(worker)];
    if (own.size() == 0) own = Scratch<std::complex<T>>(transform_.scratch_size(1));
    transform_.lag_spectrum(weights.lag_vector(all[index].segment), all[index].t, own.data(), bank, item);
  });
  return bank;
}

template <Real T>
struct PartitionedProduct<T>::Channels {
  Channels(const BlockTransform<T>& transform, Index input_count, Index output_count, Index channels)
      : scratch(transform.scratch_size(channels)),
        inputs(transform.block(), input_count, channels),
        sums(transform.block(), std::min(output_count, outputs_at_once<T>(transform.block(), channels)), channels) {}
  Scratch<std::complex<T>> scratch;
  SpectrumBank<T> inputs;
  SpectrumBank<T> sums;  // of as many outputs as it has room for, again and again
};

template <Real T>
void PartitionedProduct<T>::run(MatrixView<T> value, std::span<const T> row_factor, MutableMatrixView<T> output, bool transpose,
                                const RunContext& context) const {
  lag_spectra(context);
  const Index columns = value.cols();
  const Index group = group_size(columns, thread_count(context));
  std::vector<std::unique_ptr<Channels>> workers(static_cast<std::size_t>(thread_count(context)));
  parallel_for(context, (columns + group - 1) / group, [&](Index item, int worker) {
    auto& own = workers[static_cast<std::size_t>(worker)];
    if (!own) {
      own = std::make_unique<Channels>(transform_, std::ssize(transpose ? blocks_ : pieces_),
                                       std::ssize(transpose ? pieces_ : blocks_), group);
    }
    run_channels(value, row_factor, output, transpose, item * group, std::min(group, columns - item * group), *own, context);
  });
}

/// Columns [first, first + count): to the frequency domain, and back a few output blocks at a time.
template <Real T>
void PartitionedProduct<T>::run_channels(MatrixView<T> value, std::span<const T> row_factor, MutableMatrixView<T> output,
                                         bool transpose, Index first, Index count, Channels& own,
                                         const RunContext& context) const {
  const std::vector<RowRange>& inputs = transpose ? blocks_ : pieces_;
  const std::vector<RowRange>& outputs = transpose ? pieces_ : blocks_;
  const std::span<const SpectrumSum> sums(transpose ? transposed_sums_ : sums_);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    context.check();
    transform_.forward(value, inputs[i], first, count, own.scratch.data(), own.inputs, static_cast<Index>(i));
  }
  for (Index done = 0; done < std::ssize(outputs); done += own.sums.count()) {
    context.check();
    const Index at_once = std::min(own.sums.count(), std::ssize(outputs) - done);
    accumulate_products<T>(sums.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(at_once)), count, transpose,
                           lags_->bank, own.inputs, own.sums);
    for (Index i = 0; i < at_once; ++i) {
      transform_.inverse(own.sums, i, outputs[static_cast<std::size_t>(done + i)], first, count, own.scratch.data(), row_factor,
                         output);
    }
  }
}

template <Real T>
void PartitionedProduct<T>::apply(MatrixView<T> value, std::span<const T> row_factor, MutableMatrixView<T> output,
                                  const RunContext& context) const {
  run(value, row_factor, output, false, context);
}

template <Real T>
void PartitionedProduct<T>::apply_transpose(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
  output.setZero();  // rows outside the pieces stay so
  run(value, {}, output, true, context);
}

template <Real T>
double PartitionedProduct<T>::relative_error() const {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) / 2.0 *
         std::sqrt(std::log2(2.0 * static_cast<double>(layout_.block)));
}

template <Real T>
std::vector<double> PartitionedProduct<T>::error_estimate(MatrixView<T> value, const RunContext& context) const {
  const auto columns = static_cast<double>(value.cols());
  std::vector<PieceSize> sizes(layout_.pieces.size());
  parallel_for(context, static_cast<Index>(sizes.size()), [&](Index i, int) {
    const Piece& piece = layout_.pieces[static_cast<std::size_t>(i)];
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(value.cols());
    double squares = 0.0;
    RowVector<T> tile_sum(value.cols());
    constexpr Index tile = 64;  // so few rows are summed in T: an estimate needs no more
    for (Index first = piece.first; first < piece.last; first += tile) {
      tile_sum.setZero();
      for (Index row = first; row < std::min(piece.last, first + tile); ++row) {
        tile_sum += value.row(row);
        squares += sum_of_squares(value.row(row));
      }
      sum += tile_sum.template cast<double>();
    }
    const auto count = static_cast<double>(piece.last - piece.first);
    const double mean_square = sum.squaredNorm() / (count * count * columns);
    sizes[static_cast<std::size_t>(i)] = {mean_square, std::max(0.0, squares / columns - mean_square * count)};
  });
  return error_estimate(sizes);
}

template <Real T>
std::vector<double> PartitionedProduct<T>::unit_error_estimate() const {
  std::vector<PieceSize> sizes;
  for (const Piece& piece : layout_.pieces) sizes.push_back({0.0, static_cast<double>(piece.last - piece.first)});
  return error_estimate(sizes);
}

template <Real T>
std::vector<double> PartitionedProduct<T>::error_estimate(std::span<const PieceSize> sizes) const {
  const double length = 2.0 * static_cast<double>(layout_.block);
  const double unit = relative_error();
  std::vector<double> estimate;
  for (Index p = 0; p < layout_.blocks(); ++p) {
    double sum = 0.0;
    for (std::size_t i = 0; i < sizes.size() && layout_.pieces[i].block <= p; ++i) {
      const auto& lags = lag_sizes_[static_cast<std::size_t>(lag_index_[i] + p)];
      sum += lags.sum * lags.sum * sizes[i].mean_square + lags.sum_of_squares * sizes[i].rest / length;
    }
    estimate.push_back(unit * std::sqrt(sum));
  }
  return estimate;
}

template class PartitionedProduct<float>;
template class PartitionedProduct<double>;

}  // namespace convbasis
