/// \file
/// Reading tensor files: header first, payload on demand. One reader a format, chosen by the first bytes of the file,
/// never by its name. Files are hostile: every size is checked with overflow-safe arithmetic before it is used.
#pragma once

#include "core/types.h"
#include "data/dtype.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace convbasis {

/// What the header says of one tensor.
struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape;      ///< row-major order of axes as the user sees them; empty for a scalar
  std::uint64_t offset = 0;      ///< of the payload's first byte in the file
  std::uint64_t bytes = 0;
  bool fortran_order = false;    ///< payload is column-major (npy only)
  bool big_endian = false;       ///< payload bytes are swapped (npy only)

  Index element_count() const;   ///< product of shape; 1 for a scalar
};

/// An open tensor file. Immutable after opening; read() may be called from several threads (positioned reads).
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  const std::filesystem::path& path() const { return path_; }
  virtual std::string_view format() const = 0;  ///< "safetensors", "npy"
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// nullptr when there is no tensor of that name.
  const TensorInfo* find(std::string_view name) const;

  /// Elements [first, first + out.size()) of a tensor in row-major order, converted. Throws FileError when the range leaves the
  /// tensor, the type is not a floating one, or the bytes cannot be read.
  template <Real T>
  void read(const TensorInfo& tensor, Index first, std::span<T> out) const;

 protected:
  explicit TensorFile(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Opens a file and reads its header. Throws FileError: missing, a directory, empty, truncated, unknown format, or any rule of the
/// format broken; the message names the file, the tensor, what was expected and what was found. Cost: the header only.
std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path);

}  // namespace convbasis
