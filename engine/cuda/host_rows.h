/// \file
/// Rows in memory of the host, of floats or halves, and their way to the device. Inside the GPU module.
#pragma once

#include "cuda/half.h"
#include "cuda/module_table.h"
#include "cuda/workspace.h"

#include <cstdint>
#include <type_traits>

namespace convbasis::cuda {

/// Rows that are `stride` numbers apart.
struct HostRows {
  const void* data;  ///< float, or with `half` Half
  std::int64_t stride, width;
  bool half;
};

inline HostRows query_rows(const ConvbasisCudaHeads& heads, std::int64_t head) {
  return {heads.query[head], heads.query_stride, heads.d, heads.half != 0};
}
inline HostRows key_rows(const ConvbasisCudaHeads& heads, std::int64_t key_head) {
  return {heads.key[key_head], heads.key_stride, heads.d, heads.half != 0};
}
inline HostRows value_rows(const ConvbasisCudaHeads& heads, std::int64_t key_head) {
  return {heads.value[key_head], heads.value_stride, heads.d_v, heads.half != 0};
}

/// The bias by lag on the device, on Transfers::uploads(); null where there is none.
const float* upload_bias(const ConvbasisCudaHeads& heads, Workspace& workspace);

/// Numbers of a row on the device when it is stored as T.
template <class T>
std::int64_t device_width(std::int64_t width) {
  return std::is_same_v<T, Half> ? padded_width(width) : width;
}

/// Rows to the device as they are to be stored there: as floats, into which halves are made on the device, or, of halves, as
/// halves. In the order of Transfers::uploads().
class RowUpload {
 public:
  /// For up to `most_rows` rows of up to `most_width` numbers at once.
  RowUpload(Workspace& workspace, bool half, std::int64_t most_rows, std::int64_t most_width);

  /// Rows [first, first + rows).
  void operator()(const HostRows& source, std::int64_t first, std::int64_t rows, float* target);
  void operator()(const HostRows& source, std::int64_t first, std::int64_t rows, Half* target);
  /// Row index[i] as row i.
  void gather(const HostRows& source, const std::int64_t* index, std::int64_t rows, float* target);

 private:
  template <class RowOf>
  void send(const HostRows& source, const RowOf& row_of, std::int64_t rows, float* target);
  template <class RowOf>
  void send(const HostRows& source, const RowOf& row_of, std::int64_t rows, Half* target);

  Workspace& workspace_;
  Half* narrow_;  // halves that are made floats
};

}  // namespace convbasis::cuda
