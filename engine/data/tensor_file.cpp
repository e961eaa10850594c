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
  bool (*recognises)(std::string_view first_bytes);
  TensorIndex (*read)(const FileReader& file);
};

/// A new format is one file and one line here.
constexpr std::array formats{Format{looks_like_npy, read_npy}, Format{looks_like_zip, read_zip},
                             Format{looks_like_shard_index, read_shards}, Format{looks_like_safetensors, read_safetensors}};

/// A single run of bytes that is read for elements which lie apart.
constexpr std::size_t longest_stretch = std::size_t{64} << 20U;

std::string first_bytes_of(const FileReader& file) { return read_text(file, 0, std::min<std::uint64_t>(file.size(), 16)); }

[[noreturn]] void refuse(const FileReader& file, std::string_view first_bytes) {
  if (first_bytes.starts_with("\x80\x02\x8a\nl\xfc\x9c\x46\xf9\x20")) {
    throw FileError(file.name(),
                    "is in PyTorch's old format, a program rather than data, which is never run; convert it in Python once: "
                    "torch.save(torch.load(f, weights_only=True), f2)");
  }
  if (first_bytes.size() > 1 && first_bytes[0] == '\x80' && first_bytes[1] >= 2 && first_bytes[1] <= 5) {
    throw FileError(file.name(),
                    "is a Python pickle, which is never read; save the tensors as safetensors, npz or by torch.save");
  }
  throw FileError(
      file.name(),
      fmt::format("its first bytes ({}) are of no known tensor format; expected safetensors or its index, npy, npz, or "
                  "PyTorch's zip format (.pt)",
                  in_quotes(first_bytes)));
}

}  // namespace

Index TensorInfo::element_count() const {
  Index count = 1;
  for (const Index axis : shape) count *= axis;
  return count;
}

std::vector<Index> TensorInfo::strides() const {
  if (!payload_strides.empty()) return payload_strides;
  std::vector<Index> result(shape.size());
  Index stride = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t axis = fortran_order ? i : shape.size() - 1 - i;
    result[axis] = stride;
    stride *= shape[axis];
  }
  return result;
}

Index TensorInfo::extent() const {
  if (payload_strides.empty() || bytes == 0) return element_count();
  Index last = 0;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) last += (shape[axis] - 1) * payload_strides[axis];
  return last + 1;
}

std::string_view TensorInfo::order() const {
  const auto laid_out = [&](bool column_major) {
    const std::vector<Index> found = strides();
    Index stride = 1;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const std::size_t axis = column_major ? i : shape.size() - 1 - i;
      if (shape[axis] > 1 && found[axis] != stride) return false;  // the stride of an axis of one is never used
      stride *= shape[axis];
    }
    return true;
  };
  if (bytes == 0 || laid_out(false)) return "row-major";
  return laid_out(true) ? "column-major" : "strided";
}

TensorFile::TensorFile(std::unique_ptr<const FileReader> reader, TensorIndex index)
    : reader_(std::move(reader)), index_(std::move(index)) {}

const ByteSource& TensorFile::source_of(const TensorInfo& tensor) const {
  if (tensor.source == 0) return *reader_;
  return *index_.sources[tensor.source - 1];
}

const TensorInfo* TensorFile::find(std::string_view name) const {
  const auto found =
      std::find_if(tensors().begin(), tensors().end(), [&](const TensorInfo& tensor) { return tensor.name == name; });
  return found == tensors().end() ? nullptr : &*found;
}

void TensorFile::require_readable(const TensorInfo& tensor, Index first, Index count, Index held) const {
  if (!is_floating(tensor.dtype)) {
    throw FileError(path().string(), fmt::format("tensor {} has dtype {}; expected f16, bf16, f32 or f64", in_quotes(tensor.name),
                                                 name_of(tensor.dtype)));
  }
  if (first < 0 || count < 0 || first > held || count > held - first) {
    throw FileError(path().string(), fmt::format("tensor {} has {} elements, but {} from element {} on were asked for",
                                                 in_quotes(tensor.name), held, count, first));
  }
}

std::vector<std::byte> TensorFile::payload(const TensorInfo& tensor, Index first, Index count, const RunContext& context) const {
  require_readable(tensor, first, count, tensor.extent());
  const std::size_t width = bytes_of(tensor.dtype);
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * width);
  source_of(tensor).read(tensor.offset + static_cast<std::uint64_t>(first) * width, bytes, context);
  if (tensor.big_endian) {
    for (std::size_t i = 0; i < bytes.size(); i += width) std::reverse(bytes.data() + i, bytes.data() + i + width);
  }
  return bytes;
}

/// Elements that lie `stride` apart, by runs that hold many of them; the elements between are read too and left.
template <Real T>
void TensorFile::read_line(const TensorInfo& tensor, Index first, Index stride, std::span<T> out,
                           const RunContext& context) const {
  constexpr Index longest_run = Index{1} << 18U;
  const auto count = static_cast<Index>(out.size());
  const Index at_once = stride <= 1 ? count : std::clamp<Index>(longest_run / stride, 1, count);
  std::vector<T> run;
  for (Index done = 0; done < count; done += at_once) {
    context.check();
    const Index wanted = std::min(at_once, count - done);
    run.resize(static_cast<std::size_t>((wanted - 1) * stride + 1));
    convert<T>(tensor.dtype, payload(tensor, first + done * stride, static_cast<Index>(run.size()), context), run);
    for (Index j = 0; j < wanted; ++j) out[static_cast<std::size_t>(done + j)] = run[static_cast<std::size_t>(j * stride)];
  }
}

template <Real T>
void TensorFile::read(const TensorInfo& tensor, const PayloadMatrix& where, MutableMatrixView<T> out,
                      const RunContext& context) const {
  if (out.size() == 0) return;
  const bool contiguous = where.column_stride == 1 && where.row_stride == out.cols() && out.outerStride() == out.cols();
  if (contiguous) {
    convert<T>(tensor.dtype, payload(tensor, where.first, out.size(), context),
               std::span(out.data(), static_cast<std::size_t>(out.size())));
    return;
  }
  // Run along the smaller stride: one read for each row (or column), which covers little that is not wanted.
  const bool along_rows = where.column_stride <= where.row_stride;
  const Index lines = along_rows ? out.rows() : out.cols();
  std::vector<T> line(static_cast<std::size_t>(along_rows ? out.cols() : out.rows()));
  for (Index i = 0; i < lines; ++i) {
    read_line<T>(tensor, where.first + i * (along_rows ? where.row_stride : where.column_stride),
                 along_rows ? where.column_stride : where.row_stride, line, context);
    const Eigen::Map<const RowVector<T>> values(line.data(), static_cast<Index>(line.size()));
    if (along_rows) {
      out.row(i) = values;
    } else {
      out.col(i) = values.transpose();
    }
  }
}

template <Real T>
void TensorFile::read(const TensorInfo& tensor, Index first, std::span<T> out, const RunContext& context) const {
  const auto count = static_cast<Index>(out.size());
  require_readable(tensor, first, count, tensor.element_count());
  if (count == 0) return;
  if (tensor.order() == "row-major") {
    convert<T>(tensor.dtype, payload(tensor, first, count, context), out);
    return;
  }
  const std::vector<Index> strides = tensor.strides();
  std::vector<Index> positions(out.size());
  for (Index i = 0; i < count; ++i) {
    Index rest = first + i;
    for (std::size_t axis = strides.size(); axis-- > 0; rest /= tensor.shape[axis]) {
      positions[static_cast<std::size_t>(i)] += rest % tensor.shape[axis] * strides[axis];
    }
  }
  const auto [low, high] = std::minmax_element(positions.begin(), positions.end());
  const Index stretch = *high - *low + 1;
  if (count > 1 && static_cast<std::size_t>(stretch) > longest_stretch / sizeof(T)) {
    const std::size_t half = out.size() / 2;
    read<T>(tensor, first, out.first(half), context);
    return read<T>(tensor, first + static_cast<Index>(half), out.subspan(half), context);
  }
  std::vector<T> values(static_cast<std::size_t>(stretch));
  convert<T>(tensor.dtype, payload(tensor, *low, stretch, context), values);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = values[static_cast<std::size_t>(positions[i] - *low)];
}

std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path) {
  auto reader = std::make_unique<const FileReader>(path);
  const std::string first_bytes = first_bytes_of(*reader);
  for (const Format& format : formats) {
    if (!format.recognises(first_bytes)) continue;
    TensorIndex index = format.read(*reader);
    return std::make_unique<TensorFile>(std::move(reader), std::move(index));
  }
  refuse(*reader, first_bytes);
}

template void TensorFile::read(const TensorInfo&, Index, std::span<float>, const RunContext&) const;
template void TensorFile::read(const TensorInfo&, Index, std::span<double>, const RunContext&) const;
template void TensorFile::read(const TensorInfo&, const PayloadMatrix&, MutableMatrixView<float>, const RunContext&) const;
template void TensorFile::read(const TensorInfo&, const PayloadMatrix&, MutableMatrixView<double>, const RunContext&) const;

}  // namespace convbasis
