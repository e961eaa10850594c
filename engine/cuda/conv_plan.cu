#include "cuda/conv_plan.h"

#include "cuda/block_transform.cuh"
#include "cuda/direct_product.cuh"
#include "cuda/spectra.cuh"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <string>
#include <vector>

namespace convbasis::cuda {
namespace {

/// cuFFT's complex numbers are laid out as ours.
cufftComplex* for_fft(Complex* numbers) { return reinterpret_cast<cufftComplex*>(numbers); }

std::vector<Complex> twist_of(std::int64_t block) {
  std::vector<Complex> twist;
  for (std::int64_t t = 0; t < block; ++t) {
    const double angle = std::numbers::pi * static_cast<double>(t) / static_cast<double>(2 * block);
    twist.push_back({static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
  }
  return twist;
}

/// An array on the device that holds what `numbers` does, once Transfers::uploads() has come so far.
template <class T>
DeviceArray<T> on_device(const T* numbers, std::int64_t count, Transfers& transfers) {
  DeviceArray<T> array(static_cast<std::size_t>(count));
  transfers.upload_numbers(numbers, count, array.data());
  return array;
}
template <class T>
DeviceArray<T> on_device(const std::vector<T>& numbers, Transfers& transfers) {
  return on_device(numbers.data(), std::ssize(numbers), transfers);
}

}  // namespace

class ConvPlan::State {
 public:
  /// What one direction sums.
  struct Direction {
    DeviceArray<DeviceRange> inputs, outputs;
    DeviceArray<SpectrumRange> sums;
    DeviceArray<int> input_index;
  };

  State(const ConvbasisCudaWeights& weights, Workspace& workspace);

  std::int64_t n() const { return n_; }
  std::int64_t block() const { return block_; }
  bool has_pieces() const { return forward_.inputs.size() > 0; }
  const Direction& direction(bool transpose) const { return transpose ? backward_ : forward_; }
  const float* lags() const { return lags_.data(); }
  const float* row_factor() const { return row_factor_.data(); }
  const Complex* twist() const { return twist_.data(); }
  const Complex* spectra() const { return spectra_.data(); }
  /// Those that are multiplied directly.
  const std::vector<std::int64_t>& direct_columns() const { return direct_columns_; }
  const DirectColumn* direct() const { return direct_.data(); }

 private:
  void lay_out(const ConvbasisCudaWeights& weights, Transfers& transfers);
  void transform_lags(const ConvbasisCudaWeights& weights, Workspace& workspace);
  void list_direct(const ConvbasisCudaWeights& weights, Transfers& transfers);

  std::int64_t n_, block_;
  std::vector<long long> positions_;  // of each segment's lags
  DeviceArray<float> lags_, row_factor_;
  DeviceArray<Complex> twist_;
  DeviceArray<Complex> spectra_;  // by lag block, then frequency
  Direction forward_, backward_;
  DeviceArray<DirectColumn> direct_;
  std::vector<std::int64_t> direct_columns_;
};

ConvPlan::State::State(const ConvbasisCudaWeights& weights, Workspace& workspace) : n_(weights.n), block_(weights.block) {
  Transfers& transfers = workspace.transfers;
  long long numbers = 0;
  for (std::int64_t r = 0; r < weights.segments; ++r) {
    positions_.push_back(numbers);
    numbers += n_ - weights.starts[r];
  }
  lags_ = DeviceArray<float>(static_cast<std::size_t>(numbers));
  for (std::int64_t r = 0; r < weights.segments; ++r) {
    transfers.upload_numbers(weights.lags[r], n_ - weights.starts[r], lags_.data() + positions_[static_cast<std::size_t>(r)]);
  }
  row_factor_ = on_device(weights.row_factor, n_, transfers);
  list_direct(weights, transfers);
  if (weights.pieces > 0) {
    twist_ = on_device(twist_of(block_), transfers);
    lay_out(weights, transfers);
    transform_lags(weights, workspace);
  }
  transfers.wait();
}

/// As the constructor of basis/partitioned: the spectra of a segment's lag blocks stand one after the other.
void ConvPlan::State::lay_out(const ConvbasisCudaWeights& weights, Transfers& transfers) {
  const std::int64_t blocks = (n_ + block_ - 1) / block_;
  constexpr std::int64_t most = 65535;  // of a grid along its last sides
  if (blocks > most || weights.pieces > most) {
    throw DeviceError("FFT blocks of " + std::to_string(block_) + " numbers are " + std::to_string(blocks) + ", in " +
                          std::to_string(weights.pieces) + " pieces; a GPU takes up to " + std::to_string(most) +
                          ": choose larger blocks",
                      false);
  }
  std::vector<DeviceRange> pieces, all_blocks;
  std::vector<int> lag_index;  // of a piece: the spectrum of its lag block t is lag_index + (p - q); already minus q
  std::int64_t spectra = 0, first_of_segment = 0;
  for (std::int64_t i = 0; i < weights.pieces; ++i) {
    const std::int64_t q = weights.piece_block[i];
    if (i == 0 || weights.piece_segment[i] != weights.piece_segment[i - 1]) {
      first_of_segment = spectra;
      spectra += blocks - q;
    }
    lag_index.push_back(static_cast<int>(first_of_segment - q));
    pieces.push_back(
        {static_cast<int>(q * block_), static_cast<int>(weights.piece_first[i]), static_cast<int>(weights.piece_last[i])});
  }
  std::vector<SpectrumRange> forward, backward;
  int reached = 0;
  for (std::int64_t p = 0; p < blocks; ++p) {  // causal: pieces in blocks up to p
    while (reached < weights.pieces && weights.piece_block[reached] <= p) ++reached;
    forward.push_back({0, reached, static_cast<int>(p)});
    all_blocks.push_back(
        {static_cast<int>(p * block_), static_cast<int>(p * block_), static_cast<int>(std::min(n_, (p + 1) * block_))});
  }
  for (std::int64_t i = 0; i < weights.pieces; ++i) {
    backward.push_back(
        {static_cast<int>(weights.piece_block[i]), static_cast<int>(blocks), lag_index[static_cast<std::size_t>(i)]});
  }
  std::vector<int> consecutive(static_cast<std::size_t>(blocks));
  std::iota(consecutive.begin(), consecutive.end(), 0);
  forward_ = {on_device(pieces, transfers), on_device(all_blocks, transfers), on_device(forward, transfers),
              on_device(lag_index, transfers)};
  backward_ = {on_device(all_blocks, transfers), on_device(pieces, transfers), on_device(backward, transfers),
               on_device(consecutive, transfers)};
}

void ConvPlan::State::transform_lags(const ConvbasisCudaWeights& weights, Workspace& workspace) {
  const std::int64_t blocks = (n_ + block_ - 1) / block_;
  std::vector<LagBlock> all;
  for (std::int64_t i = 0; i < weights.pieces; ++i) {
    const std::int64_t r = weights.piece_segment[i];
    if (i > 0 && r == weights.piece_segment[i - 1]) continue;
    for (std::int64_t t = 0; t < blocks - weights.piece_block[i]; ++t) {
      all.push_back({positions_[static_cast<std::size_t>(r)], static_cast<int>(n_ - weights.starts[r]), static_cast<int>(t)});
    }
  }
  const DeviceArray<LagBlock> listed = on_device(all, workspace.transfers);
  workspace.transfers.wait();
  spectra_ = DeviceArray<Complex>(all.size() * static_cast<std::size_t>(block_));
  constexpr std::int64_t at_once = 32768;  // a grid has at most 65535 rows of blocks
  for (std::int64_t first = 0; first < std::ssize(all); first += at_once) {
    const std::int64_t count = std::min(at_once, std::ssize(all) - first);
    Complex* target = spectra_.data() + first * block_;
    check(launch_twist_lags(lags_.data(), listed.data() + first, static_cast<int>(count), twist_.data(), static_cast<int>(block_),
                            target, workspace.compute),
          "twist_lags");
    workspace.fft.transform(for_fft(target), block_, count, CUFFT_FORWARD);
  }
  workspace.compute.wait();
}

void ConvPlan::State::list_direct(const ConvbasisCudaWeights& weights, Transfers& transfers) {
  std::vector<DirectColumn> columns;
  for (std::int64_t x = 0; x < weights.direct_segments; ++x) {
    const std::int64_t r = weights.direct_segment[x];
    const std::int64_t end = r + 1 < weights.segments ? weights.starts[r + 1] : n_;
    for (std::int64_t j = weights.starts[r]; j < end; ++j) {
      columns.push_back({positions_[static_cast<std::size_t>(r)], static_cast<int>(j)});
      direct_columns_.push_back(j);
    }
  }
  direct_ = on_device(columns, transfers);
}

/// One product, a block of columns after the other.
class ConvPlan::Product {
 public:
  Product(const State& plan, const HostRows& value, bool transpose, Workspace& workspace, const Poll& poll)
      : plan_(plan),
        value_(value),
        transpose_(transpose),
        workspace_(workspace),
        pace_(workspace, poll),
        columns_(columns_at_once()),
        upload_(workspace, value.half, plan.n(), columns_),
        inputs_(workspace.memory.take<Complex>(inputs() * plan.block() * columns_)),
        sums_(workspace.memory.take<Complex>(outputs() * plan.block() * columns_)),
        partial_(workspace.memory.take<float>(transpose ? parts() * direct_count() * columns_ : 0)) {
    for (Block& block : blocks_) {
      block.value = workspace.memory.take<float>(plan.n() * columns_);
      block.direct_value = workspace.memory.take<float>(transpose ? 0 : direct_count() * columns_);
      block.output = workspace.memory.take<float>(plan.n() * columns_);
    }
  }

  void run(float* output, std::int64_t stride) {
    const std::int64_t count = (value_.width + columns_ - 1) / columns_;
    for (std::int64_t number = 0; number < count; ++number) {
      compute(number);
      if (number > 0) fetch(number - 1, output, stride);  // while this one is computed
    }
    fetch(count - 1, output, stride);
  }

 private:
  /// Some columns and their results. Two of them are under way at a time.
  struct Block {
    float* value;
    float* direct_value;  // the rows of the columns that are multiplied directly
    float* output;
    Event uploaded, computed;
  };

  std::int64_t inputs() const { return static_cast<std::int64_t>(plan_.direction(transpose_).inputs.size()); }
  std::int64_t outputs() const { return static_cast<std::int64_t>(plan_.direction(transpose_).outputs.size()); }
  std::int64_t direct_count() const { return std::ssize(plan_.direct_columns()); }
  std::int64_t width_of(std::int64_t number) const { return std::min(columns_, value_.width - number * columns_); }
  Block& block_of(std::int64_t number) { return blocks_[static_cast<std::size_t>(number % 2)]; }

  /// Parts of the rows that the transposed product of the direct columns is summed in: enough to keep a GPU at work, and few
  /// enough to add.
  std::int64_t part_rows() const {
    constexpr std::int64_t most_parts = 64, least_rows = 1024;
    return std::max(least_rows, (plan_.n() + most_parts * tile_size - 1) / (most_parts * tile_size) * tile_size);
  }
  std::int64_t parts() const { return (plan_.n() + part_rows() - 1) / part_rows(); }

  /// As many as fit into what the device has left, and as kernels that count numbers with 32 bits take; at most 64.
  std::int64_t columns_at_once() const {
    const std::int64_t most = std::clamp<std::int64_t>(std::numeric_limits<int>::max() / plan_.n(), 1, 64);
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    const std::int64_t spectra = plan_.block() * (inputs() + outputs()) * static_cast<std::int64_t>(sizeof(Complex));
    const std::int64_t direct = (transpose_ ? parts() : 2) * direct_count();
    const std::int64_t rows = (4 * plan_.n() + direct) * static_cast<std::int64_t>(sizeof(float));
    const std::int64_t narrow = value_.half ? plan_.n() * static_cast<std::int64_t>(sizeof(Half)) : 0;
    const auto available = static_cast<std::int64_t>(free + workspace_.memory.bytes());
    const std::int64_t room = (available - available / 5) / (spectra + rows + narrow);  // a fifth stays free
    return std::clamp<std::int64_t>(room, 1, std::min(most, value_.width));
  }

  void compute(std::int64_t number) {
    Block& block = block_of(number);
    const Stream& stream = workspace_.compute;
    const std::int64_t width = width_of(number);
    pace_.before_launch();
    block.computed.hold(workspace_.transfers.uploads());
    const std::size_t number_bytes = value_.half ? sizeof(Half) : sizeof(float);
    const HostRows columns{
        static_cast<const std::byte*>(value_.data) + static_cast<std::size_t>(number * columns_) * number_bytes, value_.stride,
        width, value_.half};
    upload_(columns, 0, plan_.n(), block.value);
    if (!transpose_ && direct_count() > 0)
      upload_.gather(columns, plan_.direct_columns().data(), direct_count(), block.direct_value);
    block.uploaded.record(workspace_.transfers.uploads());
    block.uploaded.hold(stream);
    check(cudaMemsetAsync(block.output, 0, static_cast<std::size_t>(plan_.n() * width) * sizeof(float), stream),
          "cudaMemsetAsync");
    if (plan_.has_pieces()) convolve(block, static_cast<int>(width));
    if (direct_count() > 0) multiply_directly(block, static_cast<int>(width));
    block.computed.record(stream);
    pace_.after_launch();
  }

  void convolve(const Block& own, int channels) {
    const State::Direction& direction = plan_.direction(transpose_);
    const Stream& stream = workspace_.compute;
    const auto block = static_cast<int>(plan_.block());
    const auto in = static_cast<int>(inputs());
    const auto out = static_cast<int>(outputs());
    check(launch_twist_columns(own.value, transpose_ ? plan_.row_factor() : nullptr, channels, direction.inputs.data(), in,
                               plan_.twist(), block, inputs_, stream),
          "twist_columns");
    workspace_.fft.transform(for_fft(inputs_), block, inputs() * channels, CUFFT_FORWARD);
    check(launch_accumulate_products(
              {direction.sums.data(), out, direction.input_index.data(), plan_.spectra(), inputs_, sums_, channels, block},
              transpose_, stream),
          "accumulate_products");
    workspace_.fft.transform(for_fft(sums_), block, outputs() * channels, CUFFT_INVERSE);
    check(launch_untwist_columns(sums_, transpose_ ? nullptr : plan_.row_factor(), channels, direction.outputs.data(), out,
                                 plan_.twist(), block, own.output, stream),
          "untwist_columns");
  }

  void multiply_directly(const Block& own, int width) {
    const DirectArguments arguments{plan_.lags(),
                                    plan_.direct(),
                                    static_cast<int>(direct_count()),
                                    transpose_ ? own.value : own.direct_value,
                                    static_cast<int>(plan_.n()),
                                    width,
                                    plan_.row_factor(),
                                    own.output,
                                    static_cast<int>(part_rows()),
                                    partial_};
    if (transpose_) {
      check(launch_direct_transpose(arguments, static_cast<int>(parts()), workspace_.compute), "direct_transpose");
    } else {
      check(launch_direct_product(arguments, workspace_.compute), "direct_product");
    }
  }

  void fetch(std::int64_t number, float* output, std::int64_t stride) {
    const Block& block = block_of(number);
    block.computed.hold(workspace_.transfers.downloads());
    workspace_.transfers.download_rows(block.output, plan_.n(), width_of(number), output + number * columns_, stride);
  }

  const State& plan_;
  const HostRows& value_;
  bool transpose_;
  Workspace& workspace_;
  Pace pace_;
  std::int64_t columns_;
  RowUpload upload_;
  Complex* inputs_;
  Complex* sums_;
  float* partial_;
  std::array<Block, 2> blocks_;
};

ConvPlan::ConvPlan(const ConvbasisCudaWeights& weights, Workspace& workspace)
    : state_(std::make_unique<State>(weights, workspace)) {}
ConvPlan::~ConvPlan() = default;

void ConvPlan::apply(const HostRows& value, bool transpose, float* output, std::int64_t output_stride, Workspace& workspace,
                     const Poll& poll) const {
  Product(*state_, value, transpose, workspace, poll).run(output, output_stride);
}

}  // namespace convbasis::cuda
