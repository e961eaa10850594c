#include "view/row_filter.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

namespace convscope {
namespace {

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

/// Reads from the front of a text.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  void skip(std::string_view characters) { rest_.remove_prefix(std::min(rest_.find_first_not_of(characters), rest_.size())); }
  std::string_view word() {
    std::size_t length = 0;
    while (length < rest_.size() && is_letter(rest_[length])) ++length;
    return take(length);
  }
  bool accept(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  /// The longest of the words of a column that the text begins with, whatever their case.
  std::optional<double> word_of(std::span<const FilterWord> words, std::size_t column) {
    const FilterWord* longest = nullptr;
    for (const FilterWord& word : words) {
      const std::size_t length = word.text.size();
      if (word.column != column || (longest != nullptr && longest->text.size() >= length)) continue;
      const bool ends = length >= rest_.size() || !is_letter(rest_[length]);
      if (ends && lower(rest_.substr(0, length)) == word.text) longest = &word;
    }
    if (longest == nullptr) return std::nullopt;
    take(longest->text.size());
    return longest->value;
  }
  /// A number, divided by 100 when a percent sign follows.
  std::optional<double> number() {
    double value = 0.0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
    take(static_cast<std::size_t>(end - rest_.data()));
    Reader ahead = *this;
    ahead.skip(" ");
    if (ahead.accept("%")) {
      *this = ahead;
      value /= 100.0;
    }
    return value;
  }

 private:
  std::string_view take(std::size_t length) {
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }
  std::string_view rest_;
};

/// "layer, head or error": what may stand in a filter, one name a column.
std::string listed(std::span<const FilterName> names) {
  std::vector<std::string_view> list;
  std::vector<std::size_t> columns;
  for (const FilterName& name : names) {
    if (std::ranges::find(columns, name.column) != columns.end()) continue;
    columns.push_back(name.column);
    list.push_back(name.name);
  }
  std::string text;
  for (std::size_t x = 0; x < list.size(); ++x) {
    if (x > 0) text += x + 1 == list.size() ? " or " : ", ";
    text += list[x];
  }
  return text;
}

/// "a number", or "one of band, rank one": what belongs after a comparison, with an example.
std::string wanted_after(std::string_view name, std::size_t column, std::span<const FilterWord> words) {
  std::string list;
  std::string_view example = "0.2";
  for (const FilterWord& word : words) {
    if (word.column != column) continue;
    if (list.empty()) example = word.text;
    list += (list.empty() ? "" : ", ") + std::string(word.text);
  }
  const std::string what = list.empty() ? "a number" : "one of " + list;
  return "a comparison and " + what + " belong there, as in " + std::string(name) + (list.empty() ? " < " : " = ") +
         std::string(example);
}

/// The first few characters of what was not understood, never half of a UTF-8 character.
std::string piece(std::string_view text) {
  std::size_t length = std::min<std::size_t>(text.size(), 12);
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) ++length;
  return std::string(text.substr(0, length));
}

}  // namespace

bool RowFilter::Condition::holds(double value) const {
  if (std::isnan(value)) return false;
  switch (comparison) {
    case Comparison::less:
      return value < number;
    case Comparison::less_or_equal:
      return value <= number;
    case Comparison::greater:
      return value > number;
    case Comparison::greater_or_equal:
      return value >= number;
    case Comparison::equal:
      return value == number;
    case Comparison::different:
      return value != number;
    case Comparison::between:
      return value >= number && value <= last;
  }
  return false;
}

bool RowFilter::matches(std::span<const double> values) const {
  return std::ranges::all_of(conditions_, [&](const Condition& condition) { return condition.holds(values[condition.column]); });
}

ParsedFilter parse_filter(std::string_view text, std::span<const FilterName> names, std::span<const FilterWord> words) {
  using Comparison = RowFilter::Comparison;
  // Two characters before the one they begin with.
  constexpr std::array<std::pair<std::string_view, Comparison>, 7> comparisons{{{"<=", Comparison::less_or_equal},
                                                                                {">=", Comparison::greater_or_equal},
                                                                                {"!=", Comparison::different},
                                                                                {"==", Comparison::equal},
                                                                                {"<", Comparison::less},
                                                                                {">", Comparison::greater},
                                                                                {"=", Comparison::equal}}};
  const auto problem = [](std::string what) { return ParsedFilter{{}, std::move(what)}; };
  ParsedFilter parsed;
  Reader reader(text);
  while (true) {
    reader.skip(" \t,&");
    if (reader.at_end()) return parsed;
    const std::string_view before = reader.rest();
    const std::string name = lower(reader.word());
    if (name == "and") continue;
    const auto known = std::ranges::find(names, name, &FilterName::name);
    if (known == names.end()) {
      return problem("no column is called \"" + piece(name.empty() ? before : name) + "\"; there is " + listed(names));
    }
    RowFilter::Condition condition;
    condition.column = known->column;
    reader.skip(" \t");
    const auto comparison = std::ranges::find_if(comparisons, [&](const auto& entry) { return reader.accept(entry.first); });
    if (comparison != comparisons.end()) condition.comparison = comparison->second;
    reader.skip(" \t");
    // Words first: one may begin with a digit.
    const auto word = reader.word_of(words, condition.column);
    const auto number = word ? word : reader.number();
    if (!number) {
      const std::string found = reader.at_end() ? "the text ends" : "there is \"" + piece(reader.rest()) + "\"";
      return problem("after \"" + name + "\" " + found + "; " + wanted_after(name, condition.column, words));
    }
    condition.number = *number;
    if (comparison == comparisons.end() && !word && reader.accept("-")) {
      const auto last = reader.number();
      if (!last) return problem("the range after \"" + name + "\" has no end; it is written as in " + name + " 3-5");
      condition.comparison = Comparison::between;
      condition.last = *last;
    }
    parsed.filter.conditions_.push_back(condition);
  }
}

}  // namespace convscope
