#include "state/json_fields.h"

#include "core/errors.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace convscope {

using nlohmann::json;

namespace {

constexpr int deepest = 16;
constexpr std::size_t longest_string = 4096;
constexpr std::size_t longest_quote = 60;

/// What was found, short enough for one line.
std::string described(const json& found) {
  if (found.is_object()) return "an object";
  if (found.is_array()) return "a list";
  std::string text = found.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > longest_quote) text = text.substr(0, longest_quote) + "...";
  return text;
}

bool printable(const std::string& text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == 0x7F; });
}

}  // namespace

json parse_json(std::string_view text, const std::string& file) {
  const auto check_depth = [&](int depth, json::parse_event_t, const json&) {
    if (depth > deepest) throw convbasis::FileError(file, fmt::format("is nested more than {} deep", deepest));
    return true;
  };
  try {
    return json::parse(text, check_depth);
  } catch (const json::parse_error& error) {
    throw convbasis::FileError(file, fmt::format("is not JSON: there is a mistake at byte {}", error.byte));
  } catch (const json::exception&) {
    throw convbasis::FileError(file, "is not JSON that this program can read: a number is out of range");
  }
}

JsonFields::JsonFields(const json& object, std::string file, std::string path)
    : object_(object), file_(std::move(file)), path_(std::move(path)) {
  if (!object_.is_object()) complain(fmt::format("is {}; it must be an object", described(object_)));
}

void JsonFields::complain(const std::string& problem) const {
  throw convbasis::FileError(file_, path_.empty() ? problem : path_ + " " + problem);
}

std::string JsonFields::path_of(const char* name) const { return path_.empty() ? name : path_ + "." + name; }

void JsonFields::wrong(const char* name, const json& found, const std::string& right) const {
  throw convbasis::FileError(file_, fmt::format("{} is {}; it must be {}", path_of(name), described(found), right));
}

std::size_t JsonFields::count(std::initializer_list<const char*> names) const {
  return static_cast<std::size_t>(std::ranges::count_if(names, [this](const char* name) { return has(name); }));
}

const json* JsonFields::find(const char* name) const {
  const auto field = object_.find(name);
  return field == object_.end() ? nullptr : &*field;
}

JsonFields JsonFields::object(const char* name) const {
  static const json nothing = json::object();
  const json* field = find(name);
  return {field ? *field : nothing, file_, path_of(name)};
}

void JsonFields::read(const char* name, std::ptrdiff_t least, std::ptrdiff_t largest, std::ptrdiff_t& value) const {
  const json* field = find(name);
  if (!field) return;
  const bool whole = field->is_number_integer() &&
                     !(field->is_number_unsigned() && field->get<std::uint64_t>() > static_cast<std::uint64_t>(PTRDIFF_MAX));
  const std::ptrdiff_t number = whole ? field->get<std::ptrdiff_t>() : 0;
  if (!whole || number < least || number > largest)
    wrong(name, *field, fmt::format("a whole number from {} to {}", least, largest));
  value = number;
}

void JsonFields::read(const char* name, double least, double largest, double& value) const {
  const json* field = find(name);
  if (!field) return;
  const double number = field->is_number() ? field->get<double>() : std::nan("");
  if (!(number >= least && number <= largest)) wrong(name, *field, fmt::format("a number from {:.3g} to {:.3g}", least, largest));
  value = number;
}

void JsonFields::read(const char* name, std::uint64_t& value) const {
  const json* field = find(name);
  if (!field) return;
  if (!field->is_number_unsigned()) wrong(name, *field, "a whole number that is not negative");
  value = field->get<std::uint64_t>();
}

void JsonFields::read(const char* name, bool& value) const {
  const json* field = find(name);
  if (!field) return;
  if (!field->is_boolean()) wrong(name, *field, "true or false");
  value = field->get<bool>();
}

std::string JsonFields::text(const char* name) const {
  const json* field = find(name);
  if (!field) return "";
  const auto* text = field->get_ptr<const std::string*>();
  if (!text || text->empty() || text->size() > longest_string || !printable(*text)) wrong(name, *field, "a name");
  return *text;
}

std::vector<std::string> JsonFields::strings(const char* name, std::size_t most) const {
  const json* field = find(name);
  if (!field) return {};
  std::vector<std::string> texts;
  const std::string right = fmt::format("a list of at most {} names", most);
  if (!field->is_array() || field->size() > most) wrong(name, *field, right);
  for (const json& item : *field) {
    const auto* text = item.get_ptr<const std::string*>();
    if (!text || text->empty() || text->size() > longest_string || !printable(*text)) wrong(name, item, right);
    texts.push_back(*text);
  }
  return texts;
}

std::vector<std::ptrdiff_t> JsonFields::ascending(const char* name, std::size_t most, std::ptrdiff_t least,
                                                  std::ptrdiff_t largest) const {
  const json* field = find(name);
  if (!field) return {};
  std::vector<std::ptrdiff_t> numbers;
  const std::string right = fmt::format("a rising list of at most {} whole numbers from {} to {}", most, least, largest);
  if (!field->is_array() || field->size() > most) wrong(name, *field, right);
  for (const json& item : *field) {
    const std::ptrdiff_t lowest = numbers.empty() ? least : numbers.back() + 1;
    const bool whole = item.is_number_integer() && !(item.is_number_unsigned() && item.get<std::uint64_t>() > PTRDIFF_MAX);
    const std::ptrdiff_t number = whole ? item.get<std::ptrdiff_t>() : lowest - 1;
    if (number < lowest || number > largest) wrong(name, item, right);
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace convscope
