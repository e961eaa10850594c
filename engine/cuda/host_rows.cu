#include "cuda/host_rows.h"

#include "cuda/widen.cuh"

#include <algorithm>

namespace convbasis::cuda {

const float* upload_bias(const ConvbasisCudaHeads& heads, Workspace& workspace) {
  if (heads.bias == nullptr) return nullptr;
  auto* bias = workspace.memory.take<float>(heads.n);
  workspace.transfers.upload_numbers(heads.bias, heads.n, bias);
  return bias;
}

RowUpload::RowUpload(Workspace& workspace, bool half, std::int64_t most_rows, std::int64_t most_width)
    : workspace_(workspace), narrow_(half ? workspace.memory.take<Half>(most_rows * padded_width(most_width)) : nullptr) {}

template <class RowOf>
void RowUpload::send(const HostRows& source, const RowOf& row_of, std::int64_t rows, Half* target) {
  const auto* numbers = static_cast<const Half*>(source.data);
  const std::int64_t padded = padded_width(source.width);
  workspace_.transfers.upload(rows, padded, target, [&](std::int64_t begin, std::int64_t count, Half* packed) {
    for (std::int64_t i = 0; i < count; ++i) {
      Half* row = std::copy_n(numbers + row_of(begin + i) * source.stride, source.width, packed + i * padded);
      std::fill(row, packed + (i + 1) * padded, Half{});
    }
  });
}

template <class RowOf>
void RowUpload::send(const HostRows& source, const RowOf& row_of, std::int64_t rows, float* target) {
  if (source.half) {
    const Stream& stream = workspace_.transfers.uploads();
    send(source, row_of, rows, narrow_);
    check(launch_widen(narrow_, static_cast<int>(rows), static_cast<int>(padded_width(source.width)),
                       static_cast<int>(source.width), target, stream),
          "widen");
    return;
  }
  const auto* numbers = static_cast<const float*>(source.data);
  workspace_.transfers.upload(rows, source.width, target, [&](std::int64_t begin, std::int64_t count, float* packed) {
    for (std::int64_t i = 0; i < count; ++i) {
      std::copy_n(numbers + row_of(begin + i) * source.stride, source.width, packed + i * source.width);
    }
  });
}

void RowUpload::operator()(const HostRows& source, std::int64_t first, std::int64_t rows, float* target) {
  send(
      source, [first](std::int64_t i) { return first + i; }, rows, target);
}

void RowUpload::operator()(const HostRows& source, std::int64_t first, std::int64_t rows, Half* target) {
  send(
      source, [first](std::int64_t i) { return first + i; }, rows, target);
}

void RowUpload::gather(const HostRows& source, const std::int64_t* index, std::int64_t rows, float* target) {
  send(
      source, [index](std::int64_t i) { return index[i]; }, rows, target);
}

}  // namespace convbasis::cuda
