#include "data/tensor_file.h"

#include "core/errors.h"
#include "data/formats.h"
#include "data/untrusted.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace convbasis {
namespace {

struct Format {
  std::string_view name;
  bool (*recognises)(std::string_view first_bytes);
  TensorIndex (*read_header)(const FileReader& file);
};

/// A new format is one file and one line here.
constexpr std::array formats{Format{"npy", looks_like_npy, read_npy_header},
                             Format{"safetensors", looks_like_safetensors, read_safetensors_header}};

std::string first_bytes_of(const FileReader& file) {
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), 16)), '\0');
  file.read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

[[noreturn]] void refuse(const FileReader& file, std::string_view first_bytes) {
  if (first_bytes.starts_with("PK")) {
    throw FileError(file.path().string(), "zip archives (.npz, .pt) are not read yet; save the tensors as safetensors or npy");
  }
  throw FileError(
      file.path().string(),
      fmt::format("its first bytes ({}) are of no known tensor format; expected safetensors or npy", in_quotes(first_bytes)));
}

}  // namespace

Index TensorInfo::element_count() const {
  Index count = 1;
  for (const Index axis : shape) count *= axis;
  return count;
}

std::vector<Index> TensorInfo::strides() const {
  std::vector<Index> result(shape.size());
  Index stride = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t axis = fortran_order ? i : shape.size() - 1 - i;
    result[axis] = stride;
    stride *= shape[axis];
  }
  return result;
}

TensorFile::TensorFile(std::unique_ptr<const FileReader> reader, std::string_view format, TensorIndex index)
    : reader_(std::move(reader)), format_(format), index_(std::move(index)) {}

const TensorInfo* TensorFile::find(std::string_view name) const {
  const auto found =
      std::find_if(tensors().begin(), tensors().end(), [&](const TensorInfo& tensor) { return tensor.name == name; });
  return found == tensors().end() ? nullptr : &*found;
}

void TensorFile::require_readable(const TensorInfo& tensor, Index first, Index count) const {
  if (!is_floating(tensor.dtype)) {
    throw FileError(path().string(), fmt::format("tensor {} has dtype {}; expected f16, bf16, f32 or f64", in_quotes(tensor.name),
                                                 name_of(tensor.dtype)));
  }
  const Index held = tensor.element_count();
  if (first < 0 || count < 0 || first > held || count > held - first) {
    throw FileError(path().string(), fmt::format("tensor {} has {} elements, but {} from element {} on were asked for",
                                                 in_quotes(tensor.name), held, count, first));
  }
}

std::vector<std::byte> TensorFile::payload(const TensorInfo& tensor, Index first, Index count) const {
  require_readable(tensor, first, count);
  const std::size_t width = bytes_of(tensor.dtype);
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * width);
  reader_->read(tensor.offset + static_cast<std::uint64_t>(first) * width, bytes);
  if (tensor.big_endian) {
    for (std::size_t i = 0; i < bytes.size(); i += width) std::reverse(bytes.data() + i, bytes.data() + i + width);
  }
  return bytes;
}

template <Real T>
void TensorFile::read(const TensorInfo& tensor, const PayloadMatrix& where, MutableMatrixView<T> out) const {
  if (out.size() == 0) return;
  const bool contiguous = where.column_stride == 1 && where.row_stride == out.cols() && out.outerStride() == out.cols();
  if (contiguous) {
    convert<T>(tensor.dtype, payload(tensor, where.first, out.size()),
               std::span(out.data(), static_cast<std::size_t>(out.size())));
    return;
  }
  // Run along the smaller stride: one read for each row (or column), which covers little that is not wanted.
  const bool along_rows = where.column_stride <= where.row_stride;
  const Index lines = along_rows ? out.rows() : out.cols();
  const Index count = along_rows ? out.cols() : out.rows();
  const Index line_stride = along_rows ? where.row_stride : where.column_stride;
  const Index stride = along_rows ? where.column_stride : where.row_stride;
  const Index span = (count - 1) * stride + 1;
  std::vector<T> line(static_cast<std::size_t>(span));
  for (Index i = 0; i < lines; ++i) {
    convert<T>(tensor.dtype, payload(tensor, where.first + i * line_stride, span), line);
    for (Index j = 0; j < count; ++j) (along_rows ? out(i, j) : out(j, i)) = line[static_cast<std::size_t>(j * stride)];
  }
}

template <Real T>
void TensorFile::read(const TensorInfo& tensor, Index first, std::span<T> out) const {
  const auto count = static_cast<Index>(out.size());
  if (!tensor.fortran_order || tensor.shape.size() < 2) {
    convert<T>(tensor.dtype, payload(tensor, first, count), out);
    return;
  }
  require_readable(tensor, first, count);
  if (count == 0) return;
  const std::vector<Index> strides = tensor.strides();
  std::vector<Index> positions(out.size());
  for (Index i = 0; i < count; ++i) {
    Index rest = first + i;
    for (std::size_t axis = strides.size(); axis-- > 0; rest /= tensor.shape[axis]) {
      positions[static_cast<std::size_t>(i)] += rest % tensor.shape[axis] * strides[axis];
    }
  }
  const auto [low, high] = std::minmax_element(positions.begin(), positions.end());
  std::vector<T> stretch(static_cast<std::size_t>(*high - *low + 1));
  convert<T>(tensor.dtype, payload(tensor, *low, *high - *low + 1), stretch);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = stretch[static_cast<std::size_t>(positions[i] - *low)];
}

std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path) {
  auto reader = std::make_unique<const FileReader>(path);
  const std::string first_bytes = first_bytes_of(*reader);
  for (const Format& format : formats) {
    if (!format.recognises(first_bytes)) continue;
    TensorIndex index = format.read_header(*reader);
    return std::make_unique<TensorFile>(std::move(reader), format.name, std::move(index));
  }
  refuse(*reader, first_bytes);
}

template void TensorFile::read(const TensorInfo&, Index, std::span<float>) const;
template void TensorFile::read(const TensorInfo&, Index, std::span<double>) const;
template void TensorFile::read(const TensorInfo&, const PayloadMatrix&, MutableMatrixView<float>) const;
template void TensorFile::read(const TensorInfo&, const PayloadMatrix&, MutableMatrixView<double>) const;

}  // namespace convbasis
