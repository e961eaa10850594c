#include "cuda/exact.h"

#include "cuda/device.h"
#include "cuda/exact_backward.cuh"
#include "cuda/score_columns.cuh"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace convbasis::cuda {
namespace {

/// Rows that are `stride` numbers apart, without gaps.
void pack_rows(const float* source, std::int64_t stride, std::int64_t rows, std::int64_t width, float* target) {
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(source + i * stride, width, target + i * width);
}
void unpack_rows(const float* source, std::int64_t rows, std::int64_t width, float* target, std::int64_t stride) {
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(source + i * width, width, target + i * stride);
}

/// Pinned memory of the host and memory of the device for the same numbers.
template <class T>
class Mirror {
 public:
  explicit Mirror(std::int64_t size) : host_(static_cast<std::size_t>(size)), device_(static_cast<std::size_t>(size)) {}
  T* host(std::int64_t at = 0) { return host_.data() + at; }
  T* device() { return device_.data(); }
  void upload(const Stream& stream) { copy_to_device(host_.data(), host_.size(), device_.data(), stream); }
  void download(const Stream& stream) { copy_to_host(device_.data(), device_.size(), host_.data(), stream); }

 private:
  PinnedArray<T> host_;
  DeviceArray<T> device_;
};

/// One key head with its query heads: where they lie, on both sides.
class GroupInput {
 public:
  GroupInput(const ConvbasisCudaHeads& heads, const float* bias)
      : heads_(heads),
        bias_(bias),
        query_(heads.queries_of_a_key * heads.n * heads.d),
        key_(heads.n * heads.d),
        value_(heads.n * heads.d_v) {}

  void upload(std::int64_t group, const Stream& stream) {
    for (std::int64_t q = 0; q < heads_.queries_of_a_key; ++q) {
      pack_rows(heads_.query[group * heads_.queries_of_a_key + q], heads_.query_stride, heads_.n, heads_.d,
                query_.host(q * heads_.n * heads_.d));
    }
    pack_rows(heads_.key[group], heads_.key_stride, heads_.n, heads_.d, key_.host());
    pack_rows(heads_.value[group], heads_.value_stride, heads_.n, heads_.d_v, value_.host());
    query_.upload(stream);
    key_.upload(stream);
    value_.upload(stream);
  }
  DeviceHeads view() {
    return {query_.device(),
            key_.device(),
            value_.device(),
            bias_,
            static_cast<int>(heads_.n),
            static_cast<int>(heads_.d),
            static_cast<int>(heads_.d_v),
            static_cast<int>(heads_.queries_of_a_key),
            static_cast<int>(heads_.queries_of_a_key),
            heads_.scale};
  }

 private:
  const ConvbasisCudaHeads& heads_;
  const float* bias_;
  Mirror<float> query_, key_, value_;
};

/// Runs the groups through two slots, so that one is copied while the other is computed. A slot has begin(group) and finish().
template <class Slot, class Make>
void through_two_slots(std::int64_t groups, const Poll& poll, const Make& make) {
  std::array<std::optional<Slot>, 2> slots;
  std::array<bool, 2> busy{};
  for (std::int64_t group = 0; group < groups + 2; ++group) {
    const auto turn = static_cast<std::size_t>(group % 2);
    if (busy[turn]) slots[turn]->finish();
    busy[turn] = false;
    if (group >= groups) continue;
    poll();
    if (!slots[turn]) make(slots[turn]);
    slots[turn]->begin(group);
    busy[turn] = true;
  }
}

DeviceArray<float> upload_bias(const ConvbasisCudaHeads& heads) {
  if (heads.bias == nullptr) return {};
  const Stream stream;
  return on_device(std::span<const float>(heads.bias, static_cast<std::size_t>(heads.n)), stream);
}

class ForwardSlot {
 public:
  ForwardSlot(const ConvbasisCudaHeads& heads, const HeadOutputs& results, const float* bias)
      : heads_(heads),
        results_(results),
        input_(heads, bias),
        output_(heads.queries_of_a_key * heads.n * heads.d_v),
        lse_(heads.queries_of_a_key * heads.n) {}

  void begin(std::int64_t group) {
    group_ = group;
    input_.upload(group, stream_);
    check(launch_exact_attention(input_.view(), {output_.device(), lse_.device()}, stream_), "exact_attention");
    output_.download(stream_);
    lse_.download(stream_);
  }
  void finish() {
    stream_.wait();
    for (std::int64_t q = 0; q < heads_.queries_of_a_key; ++q) {
      const std::int64_t head = group_ * heads_.queries_of_a_key + q;
      unpack_rows(output_.host(q * heads_.n * heads_.d_v), heads_.n, heads_.d_v, results_.output[head], results_.stride);
      std::copy_n(lse_.host(q * heads_.n), heads_.n, results_.lse[head]);
    }
  }

 private:
  const ConvbasisCudaHeads& heads_;
  const HeadOutputs& results_;
  GroupInput input_;
  Mirror<float> output_;
  Mirror<double> lse_;
  std::int64_t group_ = 0;
  Stream stream_;  // last: it waits for its work before what that works on goes away
};

class BackwardSlot {
 public:
  BackwardSlot(const ConvbasisCudaHeads& heads, const HeadForwards& forward, const HeadGradientOutputs& gradients,
               const float* bias)
      : heads_(heads),
        forward_(forward),
        gradients_(gradients),
        input_(heads, bias),
        output_(heads.queries_of_a_key * heads.n * heads.d_v),
        output_gradient_(heads.queries_of_a_key * heads.n * heads.d_v),
        lse_(heads.queries_of_a_key * heads.n),
        delta_(static_cast<std::size_t>(heads.queries_of_a_key * heads.n)),
        query_(heads.queries_of_a_key * heads.n * heads.d),
        key_(heads.n * heads.d),
        value_(heads.n * heads.d_v) {}

  void begin(std::int64_t group) {
    group_ = group;
    input_.upload(group, stream_);
    for (std::int64_t q = 0; q < heads_.queries_of_a_key; ++q) {
      const std::int64_t head = group * heads_.queries_of_a_key + q;
      const std::int64_t at = q * heads_.n * heads_.d_v;
      pack_rows(forward_.output[head], forward_.stride, heads_.n, heads_.d_v, output_.host(at));
      pack_rows(forward_.output_gradient[head], forward_.stride, heads_.n, heads_.d_v, output_gradient_.host(at));
      std::copy_n(forward_.lse[head], heads_.n, lse_.host(q * heads_.n));
    }
    output_.upload(stream_);
    output_gradient_.upload(stream_);
    lse_.upload(stream_);
    const ExactBackwardArguments arguments{
        lse_.device(), output_gradient_.device(), delta_.data(), query_.device(), key_.device(), value_.device()};
    check(launch_exact_backward(input_.view(), output_.device(), arguments, delta_.data(), stream_), "exact_backward");
    query_.download(stream_);
    key_.download(stream_);
    value_.download(stream_);
  }
  void finish() {
    stream_.wait();
    const std::int64_t width = heads_.n * heads_.d;
    for (std::int64_t q = 0; q < heads_.queries_of_a_key; ++q) {
      std::copy_n(query_.host(q * width), width, gradients_.query[group_ * heads_.queries_of_a_key + q]);
    }
    std::copy_n(key_.host(), width, gradients_.key[group_]);
    std::copy_n(value_.host(), heads_.n * heads_.d_v, gradients_.value[group_]);
  }

 private:
  const ConvbasisCudaHeads& heads_;
  const HeadForwards& forward_;
  const HeadGradientOutputs& gradients_;
  GroupInput input_;
  Mirror<float> output_, output_gradient_;
  Mirror<double> lse_;
  DeviceArray<float> delta_;
  Mirror<float> query_, key_, value_;
  std::int64_t group_ = 0;
  Stream stream_;  // last: it waits for its work before what that works on goes away
};

}  // namespace

void exact_attention(const ConvbasisCudaHeads& heads, const HeadOutputs& results, const Poll& poll) {
  const DeviceArray<float> bias = upload_bias(heads);
  through_two_slots<ForwardSlot>(heads.heads / heads.queries_of_a_key, poll,
                                 [&](auto& slot) { slot.emplace(heads, results, bias.data()); });
}

void exact_backward(const ConvbasisCudaHeads& heads, const HeadForwards& forward, const HeadGradientOutputs& gradients,
                    const Poll& poll) {
  const DeviceArray<float> bias = upload_bias(heads);
  through_two_slots<BackwardSlot>(heads.heads / heads.queries_of_a_key, poll,
                                  [&](auto& slot) { slot.emplace(heads, forward, gradients, bias.data()); });
}

void score_columns(const ConvbasisCudaHeads& heads, const std::int64_t* starts, std::int64_t count, float* const* lags,
                   const Poll& poll) {
  poll();
  Mirror<float> query(heads.n * heads.d);
  Mirror<float> key(count * heads.d);
  std::vector<int> columns(starts, starts + count);
  std::vector<long long> positions;
  long long total = 0;
  for (std::int64_t r = 0; r < count; ++r) {
    std::copy_n(heads.key[0] + starts[r] * heads.key_stride, heads.d, key.host(r * heads.d));
    positions.push_back(total);
    total += heads.n - starts[r];
  }
  pack_rows(heads.query[0], heads.query_stride, heads.n, heads.d, query.host());
  Mirror<float> found(total);
  const DeviceArray<float> bias = upload_bias(heads);
  const Stream stream;
  const DeviceArray<int> device_columns = on_device(columns, stream);
  const DeviceArray<long long> device_positions = on_device(positions, stream);
  query.upload(stream);
  key.upload(stream);
  const ScoreColumnsArguments arguments{{query.device(), static_cast<int>(heads.n), static_cast<int>(heads.d)},
                                        {key.device(), static_cast<int>(count), static_cast<int>(heads.d)},
                                        bias.data(),
                                        device_columns.data(),
                                        device_positions.data(),
                                        heads.scale,
                                        found.device()};
  check(launch_score_columns(arguments, stream), "score_columns");
  found.download(stream);
  stream.wait();
  for (std::int64_t r = 0; r < count; ++r) {
    std::copy_n(found.host(positions[static_cast<std::size_t>(r)]), heads.n - starts[r], lags[r]);
  }
}

}  // namespace convbasis::cuda
