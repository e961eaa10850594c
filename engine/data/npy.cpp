#include "core/errors.h"
#include "data/formats.h"
#include "data/untrusted.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>

namespace convbasis {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::uint64_t longest_header = 10'000;

/// What the header's dict literal says.
struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<Index>> shape;
};

/// Reads the one kind of Python literal that stands in npy headers: {'descr': text, 'fortran_order': bool, 'shape': tuple}.
/// It only moves forward over a text of at most 10,000 characters, so it always ends.
class LiteralParser {
 public:
  LiteralParser(const ByteSource& file, std::string_view text) : file_(file), text_(text) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      parse_item(header);
      if (accept(',')) continue;
      expect('}');
      break;
    }
    skip_space();
    if (at_ != text_.size()) fail("nothing after the closing brace");
    return header;
  }

 private:
  void parse_item(Header& header) {
    const std::string key = parse_text("a key in quotes");
    expect(':');
    if (key == "descr") {
      skip_space();
      if (peek() == '[') {
        throw UnreadDType(file_.name(), "holds a structured dtype (named fields); save each field as an array of its own");
      }
      set(header.descr, key, parse_text("a dtype in quotes"));
    } else if (key == "fortran_order") {
      set(header.fortran_order, key, parse_truth());
    } else if (key == "shape") {
      set(header.shape, key, parse_tuple());
    } else {
      throw FileError(file_.name(),
                      fmt::format("its npy header has a key {}; expected descr, fortran_order and shape", in_quotes(key)));
    }
  }

  template <class Value>
  void set(std::optional<Value>& place, const std::string& key, Value value) {
    if (place) throw FileError(file_.name(), fmt::format("its npy header has two keys {}", in_quotes(key)));
    place = std::move(value);
  }

  std::string parse_text(const char* expected) {
    skip_space();
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail(expected);
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("a closing quote");
    const std::string_view content = text_.substr(at_ + 1, end - at_ - 1);
    if (content.find('\\') != std::string_view::npos) fail("a text without escapes");
    at_ = end + 1;
    return std::string(content);
  }

  bool parse_truth() {
    skip_space();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return value;
    }
    fail("True or False");
  }

  /// "()", "(3,)", "(3, 4)": as Python writes tuples of numbers.
  std::vector<Index> parse_tuple() {
    std::vector<Index> numbers;
    expect('(');
    while (!accept(')')) {
      skip_space();
      Index number = 0;
      const char* begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), number);
      if (error != std::errc() || number < 0) fail("a whole number, 0 or more and below 2^63");
      at_ += static_cast<std::size_t>(end - begin);
      numbers.push_back(number);
      if (accept(',')) continue;
      if (numbers.size() == 1) fail("a comma: one axis is written (n,)");
      expect(')');
      break;
    }
    return numbers;
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool accept(char wanted) {
    skip_space();
    if (peek() != wanted || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) fail(fmt::format("'{}'", wanted));
  }

  [[noreturn]] void fail(std::string_view expected) const {
    throw FileError(file_.name(), fmt::format("its npy header, at character {}: found {}, expected {}", at_,
                                              at_ < text_.size() ? in_quotes(text_.substr(at_, 12)) : "the end", expected));
  }

  const ByteSource& file_;
  std::string_view text_;
  std::size_t at_ = 0;
};

struct NamedDType {
  std::string_view name;
  DType dtype;
};
constexpr std::array<NamedDType, 12> dtypes{{{"f2", DType::f16},
                                             {"f4", DType::f32},
                                             {"f8", DType::f64},
                                             {"i1", DType::i8},
                                             {"i2", DType::i16},
                                             {"i4", DType::i32},
                                             {"i8", DType::i64},
                                             {"u1", DType::u8},
                                             {"u2", DType::u16},
                                             {"u4", DType::u32},
                                             {"u8", DType::u64},
                                             {"b1", DType::boolean}}};

/// Sets type and byte order from a descr such as "<f4".
void set_dtype(const ByteSource& file, std::string_view descr, TensorInfo& tensor) {
  if (descr.size() >= 2 && descr[1] == 'O') {
    throw UnreadDType(file.name(), "holds Python objects (dtype object), which are never read; save it as float32 or float64");
  }
  for (const NamedDType& known : dtypes) {
    if (descr.size() != 3 || descr.substr(1) != known.name) continue;
    const char order = descr[0];
    if (order != '<' && order != '>' && !(order == '|' && bytes_of(known.dtype) == 1)) break;
    tensor.dtype = known.dtype;
    tensor.big_endian = order == '>';
    return;
  }
  throw UnreadDType(file.name(), fmt::format("tensor {} has dtype {}, which is not read; save it as '<f2', '<f4' or '<f8'",
                                             in_quotes(tensor.name), in_quotes(descr)));
}

/// The dict literal, and where the data begin.
struct HeaderText {
  std::string text;
  std::uint64_t end;
};

HeaderText read_header_text(const ByteSource& file) {
  std::array<unsigned char, 12> start{};
  const auto cut_off = [&] { return FileError(file.name(), "is cut off inside its npy header"); };
  if (file.size() < start.size()) throw cut_off();
  file.read(0, std::as_writable_bytes(std::span(start)));
  const unsigned major = start[6];
  const unsigned minor = start[7];
  if (major < 1 || major > 3 || minor != 0) {
    throw FileError(file.name(), fmt::format("is npy version {}.{}; expected 1.0, 2.0 or 3.0", major, minor));
  }
  std::uint64_t length = start[8] | static_cast<std::uint64_t>(start[9]) << 8U;
  if (major > 1) length |= static_cast<std::uint64_t>(start[10]) << 16U | static_cast<std::uint64_t>(start[11]) << 24U;
  const std::uint64_t begin = major > 1 ? 12 : 10;
  if (length > longest_header) {
    throw FileError(file.name(), fmt::format("its npy header is {} bytes long; at most {} are read", length, longest_header));
  }
  if (length > file.size() - begin) throw cut_off();
  HeaderText header{std::string(static_cast<std::size_t>(length), '\0'), begin + length};
  file.read(begin, std::as_writable_bytes(std::span(header.text)));
  return header;
}

}  // namespace

bool looks_like_npy(std::string_view first_bytes) { return first_bytes.starts_with(magic); }

TensorInfo read_npy_header(const ByteSource& file, std::string_view tensor_name) {
  const HeaderText text = read_header_text(file);
  const Header header = LiteralParser(file, text.text).parse();
  if (!header.descr || !header.fortran_order || !header.shape) {
    throw FileError(file.name(), fmt::format("its npy header lacks {}; expected descr, fortran_order and shape",
                                             !header.descr           ? "descr"
                                             : !header.fortran_order ? "fortran_order"
                                                                     : "shape"));
  }
  TensorInfo tensor;
  tensor.name = tensor_name;
  set_dtype(file, *header.descr, tensor);
  tensor.shape = *header.shape;
  tensor.fortran_order = *header.fortran_order;
  tensor.offset = text.end;
  const auto bytes = checked_bytes(tensor.shape, bytes_of(tensor.dtype));
  if (!bytes) throw FileError(file.name(), fmt::format("its shape {} is too large", shape_text(tensor.shape)));
  tensor.bytes = *bytes;
  const std::uint64_t held = file.size() - text.end;
  if (tensor.bytes != held) {
    throw FileError(file.name(),
                    fmt::format("its shape {} of {} takes {} bytes, but {} follow the header{}", shape_text(tensor.shape),
                                name_of(tensor.dtype), tensor.bytes, held, held < tensor.bytes ? "; is the file cut off?" : ""));
  }
  return tensor;
}

TensorIndex read_npy(const FileReader& file) {
  TensorIndex index;
  index.format = "npy";
  index.tensors.push_back(read_npy_header(file, file.path().stem().string()));
  return index;
}

}  // namespace convbasis
