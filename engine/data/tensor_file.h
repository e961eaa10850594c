/// \file
/// Reading tensor files: header first, payload on demand. One reader a format, chosen by the first bytes of the file,
/// never by its name; docs/guide.md lists the formats. Files are hostile: every size is checked with overflow-safe arithmetic
/// before it is used.
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
  std::vector<Index> shape;            ///< row-major order of axes as the user sees them; empty for a scalar
  std::size_t source = 0;              ///< where the payload is: 0 the file itself, i above 0 TensorIndex::sources[i - 1]
  std::uint64_t offset = 0;            ///< of the first element in its source, in bytes
  std::uint64_t bytes = 0;             ///< of all elements
  bool fortran_order = false;          ///< payload is column-major (npy, npz)
  bool big_endian = false;             ///< payload bytes are swapped (npy, npz, PyTorch)
  std::vector<Index> payload_strides;  ///< one an axis where the payload lies otherwise than row- or column-major (PyTorch);
                                       ///< they reach every element at a place of its own inside the source

  Index element_count() const;  ///< product of shape; 1 for a scalar
  /// Distance in elements between neighbours along each axis, as the payload lies in the file.
  std::vector<Index> strides() const;
  /// Elements from the first to the last in the file's order, both counted: more than element_count() where others lie between.
  Index extent() const;
  std::string_view order() const;  ///< "row-major", "column-major" or "strided": how the payload lies in the file
};

/// A matrix inside a tensor's payload: entry (i, j) is the payload's element first + i * row_stride + j * column_stride.
struct PayloadMatrix {
  Index first = 0;
  Index row_stride = 0;     ///< >= 0
  Index column_stride = 0;  ///< >= 0
};

/// A tensor that was seen but cannot be read, and why.
struct SkippedTensor {
  std::string name;
  std::string reason;
};

/// What a format's reader finds in a header.
struct TensorIndex {
  std::string_view format;
  std::vector<TensorInfo> tensors;  ///< their payloads lie inside their sources
  std::map<std::string, std::string> metadata;
  std::vector<SkippedTensor> skipped;
  std::vector<std::unique_ptr<const ByteSource>> sources;  ///< entries of the archive, or further files; may refer to the file
};

/// An open tensor file. Immutable after opening; reading may be done from several threads.
class TensorFile {
 public:
  TensorFile(std::unique_ptr<const FileReader> reader, TensorIndex index);

  const std::filesystem::path& path() const { return reader_->path(); }
  std::string_view format() const { return index_.format; }  ///< "safetensors", "safetensors shards", "npy", "npz", "pytorch"
  const std::vector<TensorInfo>& tensors() const { return index_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return index_.metadata; }
  const std::vector<SkippedTensor>& skipped() const { return index_.skipped; }
  /// The file or the archive's entry that holds the tensor's payload, for people.
  const std::string& source_name(const TensorInfo& tensor) const { return source_of(tensor).name(); }
  /// nullptr when there is no tensor of that name.
  const TensorInfo* find(std::string_view name) const;

  /// Elements [first, first + out.size()) of a tensor in row-major order, converted. Throws FileError when the range leaves the
  /// tensor, the type is not a floating one, or the bytes cannot be read; Cancelled. A tensor that is not row-major takes up to
  /// 64 MiB for the stretches of the file that hold the elements, a compressed one all of its bytes.
  template <Real T>
  void read(const TensorInfo& tensor, Index first, std::span<T> out, const RunContext& context = {}) const;

  /// Fills `out` with a matrix of the payload, reading every byte at most once where the matrix is dense along an axis. Same
  /// errors.
  template <Real T>
  void read(const TensorInfo& tensor, const PayloadMatrix& where, MutableMatrixView<T> out, const RunContext& context = {}) const;

 private:
  void require_readable(const TensorInfo& tensor, Index first, Index count, Index held) const;
  const ByteSource& source_of(const TensorInfo& tensor) const;
  /// Payload elements [first, first + count) of the extent, little-endian.
  std::vector<std::byte> payload(const TensorInfo& tensor, Index first, Index count, const RunContext& context) const;
  template <Real T>
  void read_line(const TensorInfo& tensor, Index first, Index stride, std::span<T> out, const RunContext& context) const;

  std::unique_ptr<const FileReader> reader_;
  TensorIndex index_;
};

/// Opens a file and reads its header. Throws FileError: missing, a directory, empty, truncated, unknown format, or any rule of
/// the format broken; the message names the file, the tensor, what was expected and what was found. Cost: the headers only,
/// whatever the size of the payload.
std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path);

}  // namespace convbasis
