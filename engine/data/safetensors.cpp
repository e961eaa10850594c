#include "core/errors.h"
#include "data/formats.h"
#include "data/untrusted.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <unordered_set>

namespace convbasis {
namespace {

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t longest_header = 100'000'000;

struct NamedDType {
  std::string_view name;
  DType dtype;
};
constexpr std::array<NamedDType, 13> dtypes{{{"F16", DType::f16},
                                             {"BF16", DType::bf16},
                                             {"F32", DType::f32},
                                             {"F64", DType::f64},
                                             {"I8", DType::i8},
                                             {"I16", DType::i16},
                                             {"I32", DType::i32},
                                             {"I64", DType::i64},
                                             {"U8", DType::u8},
                                             {"U16", DType::u16},
                                             {"U32", DType::u32},
                                             {"U64", DType::u64},
                                             {"BOOL", DType::boolean}}};

/// What the header's JSON says of one tensor, before its sizes are checked.
struct Entry {
  std::string name;
  std::optional<DType> dtype;
  std::optional<std::vector<Index>> shape;
  std::optional<std::vector<Index>> offsets;  ///< begin and end, counted from the first byte after the header
};

/// Walks the header's JSON event by event. A document tree would silently keep one of two equal keys, and would let a
/// 100 MB header grow to gigabytes.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderHandler(const ByteSource& file) : file_(file) {}

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) return go(Place::top);
    if (place_ == Place::metadata_value) return go(Place::metadata);
    if (place_ != Place::tensor_value) refuse("an object");
    return go(Place::tensor);
  }

  bool end_object() override {
    if (place_ != Place::tensor && place_ != Place::metadata) return go(Place::outside);
    if (place_ == Place::tensor) require_complete(entries.back());
    return go(Place::top);
  }

  bool key(std::string& name) override {
    key_ = name;
    if (place_ == Place::top) return top_key();
    if (place_ == Place::metadata) return go(Place::metadata_text);
    Entry& entry = entries.back();
    if (name == "dtype") {
      if (entry.dtype) fail(fmt::format("tensor {} has two entries \"dtype\"", in_quotes(entry.name)));
      return go(Place::dtype);
    }
    if (name != "shape" && name != "data_offsets") {
      fail(fmt::format("tensor {} has an entry {}; expected dtype, shape and data_offsets", in_quotes(entry.name),
                       in_quotes(name)));
    }
    auto& numbers = name == "shape" ? entry.shape : entry.offsets;
    if (numbers) fail(fmt::format("tensor {} has two entries {}", in_quotes(entry.name), in_quotes(name)));
    return go(Place::numbers_value);
  }

  bool string(std::string& text) override {
    if (place_ == Place::metadata_text) {
      if (!metadata.emplace(key_, text).second) fail("__metadata__ has two entries " + in_quotes(key_));
      return go(Place::metadata);
    }
    if (place_ != Place::dtype) refuse("a text");
    const auto* found = std::find_if(dtypes.begin(), dtypes.end(), [&](const NamedDType& known) { return known.name == text; });
    if (found == dtypes.end()) {
      fail(fmt::format("tensor {} has dtype {}, which is not read; save it as F16, BF16, F32 or F64",
                       in_quotes(entries.back().name), in_quotes(text)));
    }
    entries.back().dtype = found->dtype;
    return go(Place::tensor);
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::numbers_value) refuse("a list");
    (key_ == "shape" ? entries.back().shape : entries.back().offsets).emplace();
    return go(Place::numbers);
  }

  bool end_array() override { return go(Place::tensor); }

  bool number_unsigned(std::uint64_t number) override {
    if (place_ != Place::numbers) refuse("a number");
    if (number > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())) {
      fail(fmt::format("tensor {}: {} in {} is too large", in_quotes(entries.back().name), number, key_));
    }
    (key_ == "shape" ? entries.back().shape : entries.back().offsets)->push_back(static_cast<Index>(number));
    return true;
  }

  bool number_integer(std::int64_t number) override { refuse(fmt::format("the number {}", number)); }
  bool number_float(double, const std::string& text) override { refuse("the number " + in_quotes(text)); }
  bool null() override { refuse("null"); }
  bool boolean(bool) override { refuse("a truth value"); }
  bool binary(nlohmann::json::binary_t&) override { refuse("binary data"); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    fail(fmt::format("its header is no valid JSON at byte {} of the header", position));
  }

 private:
  /// What the next event belongs to.
  enum class Place { outside, top, metadata_value, metadata, metadata_text, tensor_value, tensor, dtype, numbers_value, numbers };

  bool go(Place place) {
    place_ = place;
    return true;
  }

  bool top_key() {
    if (!names_.insert(key_).second) fail(fmt::format("its header has two entries {}", in_quotes(key_)));
    if (key_ == "__metadata__") return go(Place::metadata_value);
    entries.push_back({key_, {}, {}, {}});
    return go(Place::tensor_value);
  }

  void require_complete(const Entry& entry) const {
    if (!entry.dtype || !entry.shape || !entry.offsets) {
      fail(fmt::format("tensor {} lacks {}; expected dtype, shape and data_offsets", in_quotes(entry.name),
                       !entry.dtype   ? "dtype"
                       : !entry.shape ? "shape"
                                      : "data_offsets"));
    }
    if (entry.offsets->size() != 2 || (*entry.offsets)[0] > (*entry.offsets)[1]) {
      fail(fmt::format("tensor {} has data_offsets {}; expected a begin and an end that is not before it", in_quotes(entry.name),
                       shape_text(*entry.offsets)));
    }
  }

  [[noreturn]] void fail(const std::string& problem) const { throw FileError(file_.name(), problem); }

  [[noreturn]] void refuse(const std::string& found) const {
    switch (place_) {
      case Place::metadata_value:
      case Place::metadata_text:
        fail(fmt::format("__metadata__ holds {}; expected texts under names", found));
      case Place::tensor_value:
        fail(fmt::format("tensor {} is {}; expected an object", in_quotes(key_), found));
      case Place::dtype:
        fail(fmt::format("tensor {} has {} as dtype; expected a text such as F32", in_quotes(entries.back().name), found));
      case Place::numbers_value:
      case Place::numbers:
        fail(fmt::format("tensor {} has {} in {}; expected a list of whole numbers, 0 or more", in_quotes(entries.back().name),
                         found, key_));
      default:
        fail(fmt::format("its header holds {} where an object was expected", found));
    }
  }

  const ByteSource& file_;
  Place place_ = Place::outside;
  std::string key_;
  std::unordered_set<std::string> names_;
};

std::string read_header_text(const ByteSource& file) {
  std::array<unsigned char, length_bytes> raw{};
  file.read(0, std::as_writable_bytes(std::span(raw)));
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) length |= static_cast<std::uint64_t>(raw[i]) << (8 * i);
  if (length > file.size() - length_bytes) {
    throw FileError(file.name(),
                    fmt::format("its safetensors header should be {} bytes long, but only {} bytes follow; is the file cut off?",
                                length, file.size() - length_bytes));
  }
  if (length > longest_header) {
    throw FileError(file.name(),
                    fmt::format("its safetensors header is {} bytes long; at most {} are read", length, longest_header));
  }
  std::string header(static_cast<std::size_t>(length), '\0');
  file.read(length_bytes, std::as_writable_bytes(std::span(header)));
  return header;
}

/// The tensor of one entry, with the size of its data checked against its shape. `data` is where the data begin in the file.
TensorInfo to_tensor(const ByteSource& file, const Entry& entry, std::uint64_t data) {
  TensorInfo tensor;
  tensor.name = entry.name;
  tensor.dtype = *entry.dtype;
  tensor.shape = *entry.shape;
  const auto expected = checked_bytes(tensor.shape, bytes_of(tensor.dtype));
  if (!expected) {
    throw FileError(file.name(),
                    fmt::format("tensor {} has shape {}, which is too large", in_quotes(tensor.name), shape_text(tensor.shape)));
  }
  const auto begin = static_cast<std::uint64_t>((*entry.offsets)[0]);
  tensor.bytes = static_cast<std::uint64_t>((*entry.offsets)[1]) - begin;
  if (tensor.bytes != *expected) {
    throw FileError(file.name(), fmt::format("tensor {} has shape {} of {}, which is {} bytes, but its data_offsets {} hold {}",
                                             in_quotes(tensor.name), shape_text(tensor.shape), name_of(tensor.dtype), *expected,
                                             shape_text(*entry.offsets), tensor.bytes));
  }
  tensor.offset = data + begin;
  return tensor;
}

/// Sorted by place, each tensor must begin where the one before ends, and the last must end with the file.
void require_exact_cover(const ByteSource& file, const std::vector<TensorInfo>& tensors, std::uint64_t data) {
  std::uint64_t end = data;
  std::string before = "the beginning of the data";
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset < end) {
      throw FileError(file.name(), fmt::format("tensor {} begins at data byte {}, inside {} (they overlap)",
                                               in_quotes(tensor.name), tensor.offset - data, before));
    }
    if (tensor.offset > end) {
      throw FileError(file.name(), fmt::format("data bytes {} to {}, before tensor {}, belong to no tensor; expected no gap",
                                               end - data, tensor.offset - data - 1, in_quotes(tensor.name)));
    }
    end = tensor.offset + tensor.bytes;
    before = "tensor " + in_quotes(tensor.name);
  }
  if (end > file.size()) {
    throw FileError(file.name(),
                    fmt::format("its tensors take {} bytes of data, up to {}, but only {} are there; is the file cut off?",
                                end - data, before, file.size() - data));
  }
  if (end < file.size()) {
    throw FileError(file.name(), fmt::format("{} bytes follow after its last tensor; expected none", file.size() - end));
  }
}

}  // namespace

bool looks_like_safetensors(std::string_view first_bytes) {
  return first_bytes.size() > length_bytes && first_bytes[length_bytes] == '{';
}

TensorIndex read_safetensors_header(const ByteSource& file) {
  const std::string header = read_header_text(file);
  if (header.empty()) throw FileError(file.name(), "its safetensors header is 0 bytes long; expected a JSON object");
  HeaderHandler handler(file);
  nlohmann::json::sax_parse(header, &handler);
  TensorIndex index;
  index.format = "safetensors";
  index.metadata = std::move(handler.metadata);
  const std::uint64_t data = length_bytes + header.size();
  for (const Entry& entry : handler.entries) index.tensors.push_back(to_tensor(file, entry, data));
  const auto place = [](const TensorInfo& tensor) { return std::pair(tensor.offset, tensor.bytes); };
  std::sort(index.tensors.begin(), index.tensors.end(),
            [&](const TensorInfo& a, const TensorInfo& b) { return place(a) < place(b); });
  require_exact_cover(file, index.tensors, data);
  return index;
}

TensorIndex read_safetensors(const FileReader& file) { return read_safetensors_header(file); }

}  // namespace convbasis
