/// \file
/// Reading tensor files: header first, payload on demand. One reader a format, chosen by the first bytes of the file,
/// never by its name. Files are hostile: every size is checked with overflow-safe arithmetic before it is used.
#pragma once

#include "core/types.h"
#include "data/dtype.h"
#include "data/file_reader.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convbasis {

/// What the header says of one tensor.
struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape;  ///< row-major order of axes as the user sees them; empty for a scalar
  std::uint64_t offset = 0;  ///< of the payload's first byte in the file
  std::uint64_t bytes = 0;
  bool fortran_order = false;  ///< payload is column-major (npy only)
  bool big_endian = false;     ///< payload bytes are swapped (npy only)

  Index element_count() const;  ///< product of shape; 1 for a scalar
  /// Distance in elements between neighbours along each axis, as the payload lies in the file.
  std::vector<Index> strides() const;
};

/// A matrix inside a tensor's payload: entry (i, j) is the payload's element first + i * row_stride + j * column_stride.
struct PayloadMatrix {
  Index first = 0;
  Index row_stride = 0;     ///< >= 0
  Index column_stride = 0;  ///< >= 0
};

/// What a format's reader finds in a header.
struct TensorIndex {
  std::vector<TensorInfo> tensors;  ///< their payloads lie inside the file
  std::map<std::string, std::string> metadata;
};

/// An open tensor file. Immutable after opening; reading may be done from several threads.
class TensorFile {
 public:
  TensorFile(std::unique_ptr<const FileReader> reader, std::string_view format, TensorIndex index);

  const std::filesystem::path& path() const { return reader_->path(); }
  std::string_view format() const { return format_; }  ///< "safetensors", "npy"
  const std::vector<TensorInfo>& tensors() const { return index_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return index_.metadata; }
  /// nullptr when there is no tensor of that name.
  const TensorInfo* find(std::string_view name) const;

  /// Elements [first, first + out.size()) of a tensor in row-major order, converted. Throws FileError when the range leaves the
  /// tensor, the type is not a floating one, or the bytes cannot be read.
  /// A column-major tensor takes memory for the stretch of the file that holds the elements.
  template <Real T>
  void read(const TensorInfo& tensor, Index first, std::span<T> out) const;

  /// Fills `out` with a matrix of the payload, reading every byte at most once. Same errors.
  template <Real T>
  void read(const TensorInfo& tensor, const PayloadMatrix& where, MutableMatrixView<T> out) const;

 private:
  void require_readable(const TensorInfo& tensor, Index first, Index count) const;
  /// Payload elements [first, first + count), little-endian.
  std::vector<std::byte> payload(const TensorInfo& tensor, Index first, Index count) const;

  std::unique_ptr<const FileReader> reader_;
  std::string_view format_;
  TensorIndex index_;
};

/// Opens a file and reads its header. Throws FileError: missing, a directory, empty, truncated, unknown format, or any rule of
/// the format broken; the message names the file, the tensor, what was expected and what was found. Cost: the header only.
std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path);

}  // namespace convbasis
