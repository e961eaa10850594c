#include "data/pickle.h"

#include "core/errors.h"
#include "data/untrusted.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

namespace convbasis {
namespace {

using Kind = PickledKind;

constexpr std::size_t most_values = 2'000'000;
constexpr std::size_t longest_text = std::size_t{1} << 20U;
constexpr std::size_t longest_global = 256;
constexpr std::size_t most_tensors = 100'000;
constexpr std::uint32_t no_value = std::numeric_limits<std::uint32_t>::max();

struct StorageType {
  std::string_view name;
  DType dtype;
};
constexpr std::array<StorageType, 10> storage_types{{{"torch.DoubleStorage", DType::f64},
                                                     {"torch.FloatStorage", DType::f32},
                                                     {"torch.HalfStorage", DType::f16},
                                                     {"torch.BFloat16Storage", DType::bf16},
                                                     {"torch.LongStorage", DType::i64},
                                                     {"torch.IntStorage", DType::i32},
                                                     {"torch.ShortStorage", DType::i16},
                                                     {"torch.CharStorage", DType::i8},
                                                     {"torch.ByteStorage", DType::u8},
                                                     {"torch.BoolStorage", DType::boolean}}};

constexpr std::string_view ordered_dict = "collections.OrderedDict";
constexpr std::string_view rebuild_tensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view rebuild_parameter = "torch._utils._rebuild_parameter";

/// Instructions of pickle that are refused, for the message.
struct Instruction {
  unsigned char code;
  std::string_view name;
};
constexpr std::array<Instruction, 34> refused_instructions{
    {{'0', "POP"},          {'1', "POP_MARK"},      {'2', "DUP"},        {'F', "FLOAT"},          {'I', "INT"},
     {'L', "LONG"},         {'P', "PERSID"},        {'S', "STRING"},     {'T', "BINSTRING"},      {'U', "SHORT_BINSTRING"},
     {'V', "UNICODE"},      {'d', "DICT"},          {'g', "GET"},        {'i', "INST"},           {'l', "LIST"},
     {'o', "OBJ"},          {'p', "PUT"},           {'B', "BINBYTES"},   {'C', "SHORT_BINBYTES"}, {0x81, "NEWOBJ"},
     {0x82, "EXT1"},        {0x83, "EXT2"},         {0x84, "EXT4"},      {0x8B, "LONG4"},         {0x8C, "SHORT_BINUNICODE"},
     {0x8D, "BINUNICODE8"}, {0x8E, "BINBYTES8"},    {0x8F, "EMPTY_SET"}, {0x90, "ADDITEMS"},      {0x91, "FROZENSET"},
     {0x92, "NEWOBJ_EX"},   {0x93, "STACK_GLOBAL"}, {0x94, "MEMOIZE"},   {0x95, "FRAME"}}};

/// The stack machine. It only moves forward over the bytes, and every instruction makes at most one value, so it always ends.
class Machine {
 public:
  Machine(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Pickle run() {
    while (step()) {
    }
    if (stack_.size() != 1 || !marks_.empty()) fail(fmt::format("ends with {} values on its stack; expected one", stack_.size()));
    if (at_ != bytes_.size()) fail(fmt::format("has {} bytes after its end", bytes_.size() - at_));
    pickle_.root = stack_.front();
    return std::move(pickle_);
  }

 private:
  /// One instruction; false after the last.
  bool step() {
    instruction_ = at_;
    const auto code = static_cast<unsigned char>(take(1).front());
    switch (code) {
      case 0x80:
        return protocol(number(1));
      case '.':
        return false;
      case '(':
        if (marks_.size() >= most_values) fail("has too many marks on its stack");
        marks_.push_back(stack_.size());
        return true;
      case 'q':
        return remember(number(1));
      case 'r':
        return remember(number(4));
      case 'h':
        return recall(number(1));
      case 'j':
        return recall(number(4));
      case 'c':
        return global();
      case 'R':
        return reduce();
      case 'Q':
        return persistent();
      case 'b':
        return build();
      default:
        return step_literal(code);
    }
  }

  bool step_literal(unsigned char code) {
    switch (code) {
      case 'N':
        return push(make(Kind::none));
      case 0x88:
      case 0x89:
        return push_number(Kind::boolean, code == 0x88 ? 1 : 0);
      case 'K':
        return push_number(Kind::integer, static_cast<std::int64_t>(number(1)));
      case 'M':
        return push_number(Kind::integer, static_cast<std::int64_t>(number(2)));
      case 'J':
        return push_number(Kind::integer, static_cast<std::int32_t>(number(4)));
      case 0x8A:
        return push_number(Kind::integer, long_number(number(1)));
      case 'G':
        return real();
      case 'X':
        return text(number(4));
      default:
        return step_container(code);
    }
  }

  bool step_container(unsigned char code) {
    switch (code) {
      case '}':
        return push(make(Kind::dict));
      case ']':
        return push(make(Kind::list));
      case ')':
        return push(make(Kind::tuple));
      case 't':
        return push_tuple(since_mark());
      case 0x85:
      case 0x86:
      case 0x87:
        return push_tuple(pop(code - 0x84U));
      case 's':
        return extend(Kind::dict, pop(2));
      case 'u':
        return extend(Kind::dict, since_mark());
      case 'a':
        return extend(Kind::list, pop(1));
      case 'e':
        return extend(Kind::list, since_mark());
      default:
        refuse(code);
    }
  }

  [[noreturn]] void fail(const std::string& problem) const { throw FileError(name_, problem); }

  [[noreturn]] void refuse(unsigned char code) const {
    const auto* found = std::find_if(refused_instructions.begin(), refused_instructions.end(),
                                     [&](const Instruction& known) { return known.code == code; });
    const std::string named = found == refused_instructions.end() ? fmt::format("0x{:02x}", code) : std::string(found->name);
    fail(
        fmt::format("at byte {}: pickle instruction {}, which tensors do not need, so nothing of it is read; save plain tensors, "
                    "dicts and lists by torch.save",
                    instruction_, named));
  }

  std::string_view take(std::size_t count) {
    if (count > bytes_.size() - at_) fail(fmt::format("is cut off at byte {}", bytes_.size()));
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

  std::uint64_t number(std::size_t count) {
    std::uint64_t result = 0;
    const std::string_view digits = take(count);
    for (std::size_t i = 0; i < count; ++i) result |= std::uint64_t{static_cast<unsigned char>(digits[i])} << (8 * i);
    return result;
  }

  /// Two's complement in as few bytes as needed; none is 0.
  std::int64_t long_number(std::size_t count) {
    if (count > 8) fail(fmt::format("at byte {}: a number of {} bytes; at most 8 are read", instruction_, count));
    std::uint64_t bits = number(count);
    if (count > 0 && count < 8 && (bits >> (8 * count - 1)) != 0) bits |= ~std::uint64_t{0} << (8 * count);
    return static_cast<std::int64_t>(bits);
  }

  std::uint32_t make(PickledKind kind) {
    if (pickle_.values.size() >= most_values) fail(fmt::format("holds more than {} values", most_values));
    pickle_.values.push_back({kind, 0, 0.0, {}, {}});
    return static_cast<std::uint32_t>(pickle_.values.size() - 1);
  }

  PickledValue& value(std::uint32_t id) { return pickle_.values[id]; }

  bool push(std::uint32_t id) {
    if (stack_.size() >= most_values) fail(fmt::format("puts more than {} values on its stack", most_values));
    stack_.push_back(id);
    return true;
  }

  bool push_number(PickledKind kind, std::int64_t number) {
    const std::uint32_t id = make(kind);
    value(id).integer = number;
    return push(id);
  }

  bool push_tuple(std::vector<std::uint32_t> items) {
    const std::uint32_t id = make(Kind::tuple);
    value(id).items = std::move(items);
    return push(id);
  }

  bool protocol(std::uint64_t version) {
    if (version != 2) {
      fail(fmt::format("is a pickle of protocol {}; expected 2, which torch.save takes unless told otherwise", version));
    }
    return true;
  }

  bool real() {
    std::uint64_t bits = 0;  // the one big-endian number of the format
    for (const char c : take(8)) bits = bits << 8U | static_cast<unsigned char>(c);
    const std::uint32_t id = make(Kind::real);
    value(id).real = std::bit_cast<double>(bits);
    return push(id);
  }

  bool text(std::size_t count) {
    if (count > longest_text)
      fail(fmt::format("at byte {}: a text of {} bytes; at most {} are read", instruction_, count, longest_text));
    const std::uint32_t id = make(Kind::text);
    value(id).text = take(count);
    return push(id);
  }

  /// The values above the last mark are the only ones an instruction may take.
  std::vector<std::uint32_t> pop(std::size_t count) {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (count > stack_.size() - floor) fail(fmt::format("at byte {}: takes a value that is not there", instruction_));
    std::vector<std::uint32_t> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  std::vector<std::uint32_t> since_mark() {
    if (marks_.empty()) fail(fmt::format("at byte {}: takes the values since a mark that is not there", instruction_));
    std::vector<std::uint32_t> items = pop(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  std::uint32_t top() {
    const std::uint32_t id = pop(1).front();
    stack_.push_back(id);
    return id;
  }

  bool extend(PickledKind kind, const std::vector<std::uint32_t>& items) {
    PickledValue& target = value(top());
    require(target, kind, "a container");
    if (kind == Kind::dict && items.size() % 2 != 0) fail(fmt::format("at byte {}: a key without a value", instruction_));
    target.items.insert(target.items.end(), items.begin(), items.end());
    return true;
  }

  bool remember(std::uint64_t place) {
    if (place >= most_values)
      fail(fmt::format("at byte {}: remembers a value as number {}; at most {} are kept", instruction_, place, most_values));
    if (place >= memo_.size()) memo_.resize(place + 1, no_value);
    memo_[place] = top();
    return true;
  }

  bool recall(std::uint64_t place) {
    if (place >= memo_.size() || memo_[place] == no_value) {
      fail(fmt::format("at byte {}: asks for the remembered value {}, which is not there", instruction_, place));
    }
    return push(memo_[place]);
  }

  bool global() {
    std::string name = std::string(line()) + ".";
    name += line();
    const bool known =
        name == ordered_dict || name == rebuild_tensor || name == rebuild_parameter || storage_type(name) != nullptr;
    if (!known) {
      fail(fmt::format(
          "asks for the Python object {}, which plain tensors do not need and which is never run; save tensors, dicts "
          "and lists of them by torch.save",
          in_quotes(name)));
    }
    const std::uint32_t id = make(Kind::callable);
    value(id).text = std::move(name);
    return push(id);
  }

  std::string_view line() {
    const std::size_t end = bytes_.substr(at_, longest_global + 1).find('\n');
    if (end == std::string_view::npos) fail(fmt::format("at byte {}: the name of a Python object does not end", instruction_));
    return take(end + 1).substr(0, end);
  }

  static const StorageType* storage_type(std::string_view name) {
    const auto* found =
        std::find_if(storage_types.begin(), storage_types.end(), [&](const StorageType& known) { return known.name == name; });
    return found == storage_types.end() ? nullptr : found;
  }

  void require(const PickledValue& value, PickledKind kind, std::string_view what) const {
    if (value.kind == kind) return;
    fail(fmt::format("at byte {}: {} is a {}; expected a {}", instruction_, what, name_of(value.kind), name_of(kind)));
  }

  /// The arguments of a known callable, with the kinds they must have.
  template <std::size_t count>
  std::array<std::uint32_t, count> arguments(std::uint32_t tuple, const std::array<PickledKind, count>& kinds,
                                             std::string_view callable) {
    const std::vector<std::uint32_t>& items = value(tuple).items;
    if (items.size() < count) {
      fail(fmt::format("at byte {}: {} has {} arguments; expected {}", instruction_, callable, items.size(), count));
    }
    std::array<std::uint32_t, count> result{};
    for (std::size_t i = 0; i < count; ++i) {
      require(value(items[i]), kinds[i], fmt::format("argument {} of {}", i, callable));
      result[i] = items[i];
    }
    return result;
  }

  bool reduce() {
    const std::vector<std::uint32_t> taken = pop(2);
    require(value(taken[0]), Kind::callable, "what is called");
    require(value(taken[1]), Kind::tuple, "the list of arguments");
    const std::string callable = value(taken[0]).text;
    if (callable == rebuild_tensor) return make_tensor(taken[1]);
    if (callable == rebuild_parameter) {
      return push(arguments<3>(taken[1], {Kind::tensor, Kind::boolean, Kind::dict}, callable)[0]);
    }
    if (callable == ordered_dict && value(taken[1]).items.empty()) return push(make(Kind::dict));
    fail(fmt::format("at byte {}: calls {} as saved tensors never do", instruction_, callable));
  }

  bool make_tensor(std::uint32_t tuple) {
    const auto parts =
        arguments<6>(tuple, {Kind::storage, Kind::integer, Kind::tuple, Kind::tuple, Kind::boolean, Kind::dict}, rebuild_tensor);
    PickledTensor made;
    made.storage = static_cast<std::size_t>(value(parts[0]).integer);
    made.offset = value(parts[1]).integer;
    made.shape = integers(parts[2]);
    made.strides = integers(parts[3]);
    if (made.shape.size() != made.strides.size()) {
      fail(fmt::format("at byte {}: a tensor has {} axes and {} strides", instruction_, made.shape.size(), made.strides.size()));
    }
    if (pickle_.tensors.size() >= most_tensors) fail(fmt::format("holds more than {} tensors", most_tensors));
    pickle_.tensors.push_back(std::move(made));
    return push_number(Kind::tensor, static_cast<std::int64_t>(pickle_.tensors.size() - 1));
  }

  std::vector<std::int64_t> integers(std::uint32_t tuple) {
    constexpr std::size_t most_axes = 64;
    std::vector<std::int64_t> numbers;
    if (value(tuple).items.size() > most_axes) {
      fail(fmt::format("at byte {}: a tensor of {} axes; at most {} are read", instruction_, value(tuple).items.size(),
                       most_axes));
    }
    for (const std::uint32_t item : value(tuple).items) {
      require(value(item), Kind::integer, "a length or stride");
      numbers.push_back(value(item).integer);
    }
    return numbers;
  }

  /// ('storage', type, key, device, number of elements): the device does not matter here.
  bool persistent() {
    const std::uint32_t tuple = pop(1).front();
    require(value(tuple), Kind::tuple, "a persistent id");
    const auto parts =
        arguments<5>(tuple, {Kind::text, Kind::callable, Kind::text, Kind::text, Kind::integer}, "a persistent id");
    const StorageType* type = storage_type(value(parts[1]).text);
    if (value(parts[0]).text != "storage" || type == nullptr) {
      fail(fmt::format("at byte {}: a persistent id {} of {}; expected a storage", instruction_, in_quotes(value(parts[0]).text),
                       value(parts[1]).text));
    }
    pickle_.storages.push_back({type->dtype, value(parts[2]).text, value(parts[4]).integer});
    return push_number(Kind::storage, static_cast<std::int64_t>(pickle_.storages.size() - 1));
  }

  /// torch.save gives ordered dicts an attribute (_metadata); it says nothing about tensors.
  bool build() {
    const std::uint32_t state = pop(1).front();
    require(value(state), Kind::dict, "the state of an object");
    require(value(top()), Kind::dict, "an object with a state");
    return true;
  }

  std::string_view bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::size_t instruction_ = 0;  ///< where it begins
  Pickle pickle_;
  std::vector<std::uint32_t> stack_;
  std::vector<std::size_t> marks_;  ///< heights of the stack
  std::vector<std::uint32_t> memo_;
};

}  // namespace

std::string_view name_of(PickledKind kind) {
  constexpr std::array<std::string_view, 11> names{"None", "truth value", "whole number", "number",  "text",  "tuple",
                                                   "list", "dict",        "callable",     "storage", "tensor"};
  return names[static_cast<std::size_t>(kind)];
}

Pickle read_pickle(std::string_view bytes, const std::string& name) { return Machine(bytes, name).run(); }

}  // namespace convbasis
