#include "cuda/conv_plan.h"

#include "cuda/block_transform.cuh"
#include "cuda/device.h"
#include "cuda/direct_product.cuh"
#include "cuda/spectra.cuh"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <optional>
#include <span>
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

}  // namespace

class ConvPlan::State {
 public:
  explicit State(const ConvbasisCudaWeights& weights);
  void apply(const HostColumns& value, bool transpose, float* output, std::int64_t output_stride, const Poll& poll) const;

 private:
  class Slot;
  /// What one direction sums.
  struct Direction {
    DeviceArray<DeviceRange> inputs, outputs;
    DeviceArray<SpectrumRange> sums;
    DeviceArray<int> input_index;
  };
  void lay_out(const ConvbasisCudaWeights& weights, const Stream& stream);
  void transform_lags(const ConvbasisCudaWeights& weights, const Stream& stream);
  void list_direct(const ConvbasisCudaWeights& weights, const Stream& stream);
  const Direction& direction(bool transpose) const { return transpose ? backward_ : forward_; }
  std::int64_t columns_at_once(std::int64_t columns) const;

  std::int64_t n_, block_;
  std::vector<long long> positions_;  // of each segment's lags
  DeviceArray<float> lags_, row_factor_;
  DeviceArray<Complex> twist_;
  DeviceArray<Complex> spectra_;  // by lag block, then frequency
  Direction forward_, backward_;
  DeviceArray<DirectColumn> direct_;
  std::vector<std::int64_t> direct_columns_;
};

ConvPlan::State::State(const ConvbasisCudaWeights& weights) : n_(weights.n), block_(weights.block) {
  const Stream stream;
  std::vector<float> lags;
  for (std::int64_t r = 0; r < weights.segments; ++r) {
    positions_.push_back(static_cast<long long>(lags.size()));
    lags.insert(lags.end(), weights.lags[r], weights.lags[r] + (n_ - weights.starts[r]));
  }
  lags_ = on_device(lags, stream);
  row_factor_ = on_device(std::span<const float>(weights.row_factor, static_cast<std::size_t>(n_)), stream);
  if (weights.pieces > 0) {
    twist_ = on_device(twist_of(block_), stream);
    lay_out(weights, stream);
    transform_lags(weights, stream);
  }
  list_direct(weights, stream);
}

/// As the constructor of basis/partitioned: the spectra of a segment's lag blocks stand one after the other.
void ConvPlan::State::lay_out(const ConvbasisCudaWeights& weights, const Stream& stream) {
  const std::int64_t blocks = (n_ + block_ - 1) / block_;
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
  forward_ = {on_device(pieces, stream), on_device(all_blocks, stream), on_device(forward, stream), on_device(lag_index, stream)};
  backward_ = {on_device(all_blocks, stream), on_device(pieces, stream), on_device(backward, stream),
               on_device(consecutive, stream)};
}

void ConvPlan::State::transform_lags(const ConvbasisCudaWeights& weights, const Stream& stream) {
  const std::int64_t blocks = (n_ + block_ - 1) / block_;
  std::vector<LagBlock> all;
  for (std::int64_t i = 0; i < weights.pieces; ++i) {
    const std::int64_t r = weights.piece_segment[i];
    if (i > 0 && r == weights.piece_segment[i - 1]) continue;
    for (std::int64_t t = 0; t < blocks - weights.piece_block[i]; ++t) {
      all.push_back({positions_[static_cast<std::size_t>(r)], static_cast<int>(n_ - weights.starts[r]), static_cast<int>(t)});
    }
  }
  const DeviceArray<LagBlock> listed = on_device(all, stream);
  spectra_ = DeviceArray<Complex>(all.size() * static_cast<std::size_t>(block_));
  FftPlans fft(stream);
  constexpr std::int64_t at_once = 32768;  // a grid has at most 65535 rows of blocks
  for (std::int64_t first = 0; first < std::ssize(all); first += at_once) {
    const std::int64_t count = std::min(at_once, std::ssize(all) - first);
    Complex* target = spectra_.data() + first * block_;
    check(launch_twist_lags(lags_.data(), listed.data() + first, static_cast<int>(count), twist_.data(), static_cast<int>(block_),
                            target, stream),
          "twist_lags");
    fft.transform(for_fft(target), block_, count, CUFFT_FORWARD);
  }
  stream.wait();
}

void ConvPlan::State::list_direct(const ConvbasisCudaWeights& weights, const Stream& stream) {
  std::vector<DirectColumn> columns;
  for (std::int64_t x = 0; x < weights.direct_segments; ++x) {
    const std::int64_t r = weights.direct_segment[x];
    const std::int64_t end = r + 1 < weights.segments ? weights.starts[r + 1] : n_;
    for (std::int64_t j = weights.starts[r]; j < end; ++j) {
      columns.push_back({positions_[static_cast<std::size_t>(r)], static_cast<int>(j)});
      direct_columns_.push_back(j);
    }
  }
  direct_ = on_device(columns, stream);
}

/// What one block of columns goes through, on a stream of its own.
class ConvPlan::State::Slot {
 public:
  Slot(const State& plan, bool transpose, std::int64_t columns)
      : plan_(plan),
        transpose_(transpose),
        host_(static_cast<std::size_t>(plan.n_ * columns)),
        host_direct_(transpose ? 0 : plan.direct_columns_.size() * static_cast<std::size_t>(columns)),
        value_(host_.size()),
        direct_value_(host_direct_.size()),
        output_(host_.size()),
        inputs_(plan.direction(transpose).inputs.size() * static_cast<std::size_t>(plan.block_ * columns)),
        sums_(plan.direction(transpose).outputs.size() * static_cast<std::size_t>(plan.block_ * columns)),
        fft_(stream_) {}

  void begin(const HostColumns& value, std::int64_t first, std::int64_t count) {
    first_ = first;
    count_ = count;
    for (std::int64_t i = 0; i < plan_.n_; ++i)
      std::copy_n(value.data + i * value.stride + first, count, host_.data() + i * count);
    copy_to_device(host_.data(), static_cast<std::size_t>(plan_.n_ * count), value_.data(), stream_);
    check(cudaMemsetAsync(output_.data(), 0, static_cast<std::size_t>(plan_.n_ * count) * sizeof(float), stream_),
          "cudaMemsetAsync");
    if (plan_.forward_.inputs.size() > 0) convolve();
    if (plan_.direct_.size() > 0) multiply_directly(value);
    copy_to_host(output_.data(), static_cast<std::size_t>(plan_.n_ * count), host_.data(), stream_);
  }
  void finish(float* output, std::int64_t stride) {
    stream_.wait();
    for (std::int64_t i = 0; i < plan_.n_; ++i) std::copy_n(host_.data() + i * count_, count_, output + i * stride + first_);
  }

 private:
  void convolve() {
    const Direction& direction = plan_.direction(transpose_);
    const auto channels = static_cast<int>(count_);
    const auto block = static_cast<int>(plan_.block_);
    const auto inputs = static_cast<int>(direction.inputs.size());
    const auto outputs = static_cast<int>(direction.outputs.size());
    check(launch_twist_columns(value_.data(), transpose_ ? plan_.row_factor_.data() : nullptr, channels, direction.inputs.data(),
                               inputs, plan_.twist_.data(), block, inputs_.data(), stream_),
          "twist_columns");
    fft_.transform(for_fft(inputs_.data()), block, std::int64_t{inputs} * channels, CUFFT_FORWARD);
    check(launch_accumulate_products({direction.sums.data(), outputs, direction.input_index.data(), plan_.spectra_.data(),
                                      inputs_.data(), sums_.data(), channels, block},
                                     transpose_, stream_),
          "accumulate_products");
    fft_.transform(for_fft(sums_.data()), block, std::int64_t{outputs} * channels, CUFFT_INVERSE);
    check(launch_untwist_columns(sums_.data(), transpose_ ? nullptr : plan_.row_factor_.data(), channels,
                                 direction.outputs.data(), outputs, plan_.twist_.data(), block, output_.data(), stream_),
          "untwist_columns");
  }

  void multiply_directly(const HostColumns& value) {
    const float* rows = value_.data();
    if (!transpose_) {  // of the listed columns alone
      for (std::size_t x = 0; x < plan_.direct_columns_.size(); ++x) {
        std::copy_n(value.data + plan_.direct_columns_[x] * value.stride + first_, count_,
                    host_direct_.data() + static_cast<std::int64_t>(x) * count_);
      }
      copy_to_device(host_direct_.data(), plan_.direct_columns_.size() * static_cast<std::size_t>(count_), direct_value_.data(),
                     stream_);
      rows = direct_value_.data();
    }
    const DirectArguments arguments{plan_.lags_.data(),
                                    plan_.direct_.data(),
                                    static_cast<int>(plan_.direct_.size()),
                                    rows,
                                    static_cast<int>(plan_.n_),
                                    static_cast<int>(count_),
                                    plan_.row_factor_.data(),
                                    output_.data()};
    check(launch_direct_product(arguments, transpose_, stream_), "direct_product");
  }

  const State& plan_;
  bool transpose_;
  std::int64_t first_ = 0, count_ = 0;
  PinnedArray<float> host_, host_direct_;
  DeviceArray<float> value_, direct_value_, output_;
  DeviceArray<Complex> inputs_, sums_;
  Stream stream_;
  FftPlans fft_;
};

/// As many as fit twice into what the device has left, at most 64.
std::int64_t ConvPlan::State::columns_at_once(std::int64_t columns) const {
  constexpr std::int64_t most = 64;
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  const auto spectra = static_cast<std::size_t>(block_) * (forward_.inputs.size() + forward_.outputs.size() +
                                                           std::max(forward_.inputs.size(), forward_.outputs.size()));
  const std::size_t of_a_column =
      spectra * sizeof(Complex) + (2 * static_cast<std::size_t>(n_) + direct_columns_.size()) * sizeof(float);
  const auto room = static_cast<std::int64_t>(free / 5 * 2 / of_a_column);  // a fifth of the memory stays free
  return std::clamp<std::int64_t>(room, 1, std::min(most, columns));
}

void ConvPlan::State::apply(const HostColumns& value, bool transpose, float* output, std::int64_t output_stride,
                            const Poll& poll) const {
  const std::int64_t at_once = columns_at_once(value.columns);
  const std::int64_t blocks = (value.columns + at_once - 1) / at_once;
  std::array<std::optional<Slot>, 2> slots;
  for (std::int64_t b = 0; b < blocks + 2; ++b) {
    std::optional<Slot>& slot = slots[static_cast<std::size_t>(b % 2)];
    if (b >= 2) {
      if (b - 2 < blocks) slot->finish(output, output_stride);
    } else if (b < blocks) {
      slot.emplace(*this, transpose, at_once);
    }
    if (b >= blocks) continue;
    poll();
    slot->begin(value, b * at_once, std::min(at_once, value.columns - b * at_once));
  }
}

ConvPlan::ConvPlan(const ConvbasisCudaWeights& weights) : state_(std::make_unique<State>(weights)) {}
ConvPlan::~ConvPlan() = default;

void ConvPlan::apply(const HostColumns& value, bool transpose, float* output, std::int64_t output_stride,
                     const Poll& poll) const {
  state_->apply(value, transpose, output, output_stride, poll);
}

}  // namespace convbasis::cuda
