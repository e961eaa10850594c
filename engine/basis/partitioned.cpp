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

}  // namespace

template <Real T>
PartitionedProduct<T>::PartitionedProduct(const ConvBasis<T>& weights, const ApplyLayout& layout, const RunContext& context)
    : layout_(layout),
      fft_(2 * layout.block),
      segment_spectra_(number_spectra(layout)),
      consecutive_(static_cast<std::size_t>(layout.blocks())),
      lags_(fft_.bins(), segment_spectra_.back().first + segment_spectra_.back().count, 1),
      lag_sizes_(static_cast<std::size_t>(segment_spectra_.back().first + segment_spectra_.back().count)) {
  std::iota(consecutive_.begin(), consecutive_.end(), Index{0});
  auto run = segment_spectra_.begin();
  for (const Piece& piece : layout_.pieces) {
    if (piece.segment != run->segment) ++run;
    lag_index_.push_back(run->first - piece.block);
  }
  transform_lags(weights, context);
}

/// Lag block t of a segment: the circulant whose first column holds lags t B ... t B + B - 1, then t B - B + 1 ... t B - 1 from
/// behind; it maps a zero-padded block of V to its share of the output t blocks below.
template <Real T>
void PartitionedProduct<T>::transform_lags(const ConvBasis<T>& weights, const RunContext& context) {
  const Index B = layout_.block;
  parallel_for(context, static_cast<Index>(segment_spectra_.size()), [&](Index item, int) {
    const auto [segment, first, lag_blocks] = segment_spectra_[static_cast<std::size_t>(item)];
    const auto lags = weights.lag_vector(segment);
    const Index count = static_cast<Index>(lags.size());
    AlignedVector<T> window(static_cast<std::size_t>(2 * B));
    AlignedVector<std::complex<T>> spectrum(static_cast<std::size_t>(fft_.bins()));
    for (Index t = 0; t < lag_blocks; ++t) {
      context.check();
      std::fill(window.begin(), window.end(), T{0});
      LagSize size;
      for (Index lag = std::max<Index>(0, t * B - B + 1); lag < std::min(count, t * B + B); ++lag) {
        const Index position = lag - t * B;
        const T value = lags[static_cast<std::size_t>(lag)];
        window[static_cast<std::size_t>(position < 0 ? position + 2 * B : position)] = value;
        size.sum += static_cast<double>(value);
        size.sum_of_squares += static_cast<double>(value) * static_cast<double>(value);
      }
      fft_.forward(window, spectrum);
      lags_.store(first + t, 0, spectrum);
      lag_sizes_[static_cast<std::size_t>(first + t)] = size;
    }
  });
}

/// Buffers of one thread for a group of channels: the group's columns, channel by channel, and the banks.
template <Real T>
struct PartitionedProduct<T>::Channels {
  Channels(const ApplyLayout& layout, Index bins, Index columns, Index inputs, Index outputs)
      : in(columns, layout.size),
        out(columns, layout.size),
        block(static_cast<std::size_t>(2 * layout.block)),
        spectrum(static_cast<std::size_t>(bins)),
        x(bins, inputs, spectrum_channels),
        sum(bins, outputs, spectrum_channels) {}
  Matrix<T> in;
  Matrix<T> out;
  AlignedVector<T> block;
  AlignedVector<std::complex<T>> spectrum;
  SpectrumBank<T> x;
  SpectrumBank<T> sum;
};

namespace {

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

/// Calls body(row, count) for blocks of rows so small that both sides of their transposition stay in the first-level cache.
template <class Body>
void for_row_blocks(Index size, const Body& body) {
  constexpr Index block = 64;
  for (Index row = 0; row < size; row += block) body(row, std::min(block, size - row));
}

/// Channels that one thread takes at a time: up to 16, a cache line of floats in each row of V, fewer when that leaves threads
/// idle.
Index group_size(Index columns, int threads) {
  const Index share = (columns + threads - 1) / threads;
  return std::clamp((share + spectrum_channels - 1) / spectrum_channels * spectrum_channels, spectrum_channels, Index{16});
}

}  // namespace

template <Real T>
void PartitionedProduct<T>::run(MatrixView<T> value, MutableMatrixView<T> output, bool transpose,
                                const RunContext& context) const {
  const std::vector<RowRange> pieces = ranges_of_pieces(layout_);
  const std::vector<RowRange> blocks = ranges_of_blocks(layout_);
  const std::vector<RowRange>& inputs = transpose ? blocks : pieces;
  const std::vector<RowRange>& outputs = transpose ? pieces : blocks;
  const Index columns = value.cols();
  const Index group = group_size(columns, thread_count(context));
  const Index groups = (columns + group - 1) / group;
  std::vector<std::unique_ptr<Channels>> workers(static_cast<std::size_t>(thread_count(context)));
  const auto work = [&](Index item, int worker) {
    auto& own = workers[static_cast<std::size_t>(worker)];
    if (!own) {
      own = std::make_unique<Channels>(layout_, fft_.bins(), group, static_cast<Index>(inputs.size()),
                                       static_cast<Index>(outputs.size()));
    }
    const Index first = item * group;
    const Index count = std::min(group, columns - first);
    for_row_blocks(layout_.size, [&](Index row, Index rows) {
      own->in.block(0, row, count, rows) = value.block(row, first, rows, count).transpose();
    });
    own->in.bottomRows(group - count).setZero();
    own->out.setZero();
    for (Index channel = 0; channel < count; channel += spectrum_channels) {
      context.check();
      to_frequency(inputs, channel, *own);
      context.check();
      accumulate(own->x, own->sum, transpose);
      context.check();
      from_frequency(outputs, channel, *own);
    }
    for_row_blocks(layout_.size, [&](Index row, Index rows) {
      output.block(row, first, rows, count) = own->out.block(0, row, count, rows).transpose();
    });
  };
  parallel_for(context, groups, work);
}

template <Real T>
void PartitionedProduct<T>::to_frequency(std::span<const RowRange> ranges, Index channel, Channels& own) const {
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const Index offset = ranges[i].block * layout_.block;
    for (Index c = 0; c < spectrum_channels; ++c) {
      const T* column = own.in.data() + (channel + c) * layout_.size;
      std::fill(own.block.begin(), own.block.end(), T{0});
      std::copy(column + ranges[i].first, column + ranges[i].last, own.block.data() + (ranges[i].first - offset));
      fft_.forward(own.block, own.spectrum);
      own.x.store(static_cast<Index>(i), c, own.spectrum);
    }
  }
}

template <Real T>
void PartitionedProduct<T>::from_frequency(std::span<const RowRange> ranges, Index channel, Channels& own) const {
  const T norm = T{1} / static_cast<T>(2 * layout_.block);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const Index offset = ranges[i].block * layout_.block;
    for (Index c = 0; c < spectrum_channels; ++c) {
      own.sum.load(static_cast<Index>(i), c, own.spectrum);
      fft_.inverse(own.spectrum, own.block);
      T* column = own.out.data() + (channel + c) * layout_.size;
      for (Index row = ranges[i].first; row < ranges[i].last; ++row) {
        column[row] = norm * own.block[static_cast<std::size_t>(row - offset)];
      }
    }
  }
}

template <Real T>
void PartitionedProduct<T>::accumulate(const SpectrumBank<T>& x, SpectrumBank<T>& sum, bool transpose) const {
  const auto piece_count = static_cast<Index>(layout_.pieces.size());
  for (Index c = 0; c < x.chunks(); ++c) {
    if (transpose) {
      for (Index i = 0; i < piece_count; ++i) {
        const Index q = layout_.pieces[static_cast<std::size_t>(i)].block;
        accumulate_products<T>(layout_.blocks() - q, consecutive_.data(), lag_index_[static_cast<std::size_t>(i)] + q,
                               lags_.chunk(c), x.chunk(c) + q * x.stride(), true, sum.chunk(c) + i * sum.stride());
      }
      continue;
    }
    Index reached = 0;  // pieces in blocks up to p: the causal ones
    for (Index p = 0; p < layout_.blocks(); ++p) {
      while (reached < piece_count && layout_.pieces[static_cast<std::size_t>(reached)].block <= p) ++reached;
      accumulate_products<T>(reached, lag_index_.data(), p, lags_.chunk(c), x.chunk(c), false, sum.chunk(c) + p * sum.stride());
    }
  }
}

template <Real T>
void PartitionedProduct<T>::apply(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
  run(value, output, false, context);
}

template <Real T>
void PartitionedProduct<T>::apply_transpose(MatrixView<T> value, MutableMatrixView<T> output, const RunContext& context) const {
  run(value, output, true, context);
}

template <Real T>
std::vector<double> PartitionedProduct<T>::error_estimate(MatrixView<T> value, const RunContext& context) const {
  const auto columns = static_cast<double>(value.cols());
  std::vector<PieceSize> sizes(layout_.pieces.size());
  parallel_for(context, static_cast<Index>(sizes.size()), [&](Index i, int) {
    const Piece& piece = layout_.pieces[static_cast<std::size_t>(i)];
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(value.cols());
    double squares = 0.0;
    for (Index row = piece.first; row < piece.last; ++row) {
      const auto values = value.row(row).template cast<double>();
      sum += values;
      squares += values.squaredNorm();
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
  const double unit = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2.0 * std::sqrt(std::log2(length));
  std::vector<double> estimate;
  for (Index p = 0; p < layout_.blocks(); ++p) {
    double sum = 0.0;
    for (std::size_t i = 0; i < sizes.size() && layout_.pieces[i].block <= p; ++i) {
      const LagSize& lags = lag_sizes_[static_cast<std::size_t>(lag_index_[i] + p)];
      sum += lags.sum * lags.sum * sizes[i].mean_square + lags.sum_of_squares * sizes[i].rest / length;
    }
    estimate.push_back(unit * std::sqrt(sum));
  }
  return estimate;
}

template class PartitionedProduct<float>;
template class PartitionedProduct<double>;

}  // namespace convbasis
