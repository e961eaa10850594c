/// \file
/// The readers behind open_tensor_file(): for each format, how it is recognised and how its header is read. All of them throw
/// FileError for every rule of their format that is broken, and read no payload.
#pragma once

#include "core/errors.h"
#include "data/tensor_file.h"

#include <string>
#include <string_view>

namespace convbasis {

/// Header of 8 bytes for its length and a JSON object, then the data without holes or overlaps up to the end of the file.
bool looks_like_safetensors(std::string_view first_bytes);
TensorIndex read_safetensors(const FileReader& file);
/// The same for any source.
TensorIndex read_safetensors_header(const ByteSource& source);

/// The index of a model in several safetensors files: a JSON object whose "weight_map" says which file beside it holds which
/// tensor. Opens all of them; what they hold must be what the index says. At most 1000 files, all in its folder or below.
bool looks_like_shard_index(std::string_view first_bytes);
TensorIndex read_shards(const FileReader& file);

/// An array is well-formed, but its elements are no plain numbers.
class UnreadDType : public FileError {
 public:
  UnreadDType(const std::string& path, const std::string& problem) : FileError(path, problem), problem_(problem) {}
  const std::string& problem() const { return problem_; }  ///< the message without the path

 private:
  std::string problem_;
};

/// Magic, version, a Python dict literal, then one array up to the end of the file. The tensor's name is the file's stem.
bool looks_like_npy(std::string_view first_bytes);
TensorIndex read_npy(const FileReader& file);
/// What the header of an npy file says. Besides the rules of the format: dtypes must be plain numbers
/// (UnreadDType).
TensorInfo read_npy_header(const ByteSource& source, std::string_view tensor_name);

/// A zip archive: npz or PyTorch's, told by its entries.
bool looks_like_zip(std::string_view first_bytes);
TensorIndex read_zip(const FileReader& file);

}  // namespace convbasis
