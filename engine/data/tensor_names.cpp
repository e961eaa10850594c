#include "data/tensor_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <vector>

namespace convbasis {
namespace {

/// A word of a name and where it begins there.
struct Word {
  std::string lower;
  std::size_t begin;
};

std::vector<Word> words_of(std::string_view name) {
  std::vector<Word> words;
  bool inside = false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (std::string_view("._/- ").find(name[i]) != std::string_view::npos) {
      inside = false;
      continue;
    }
    if (!inside) words.push_back({"", i});
    inside = true;
    words.back().lower += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return words;
}

std::optional<Role> role_of_letter(std::string_view word) {
  if (word == "q") return Role::query;
  if (word == "k") return Role::key;
  if (word == "v") return Role::value;
  return std::nullopt;
}

std::optional<Role> role_of_word(std::string_view word) {
  if (word == "query" || word == "queries") return Role::query;
  if (word == "key" || word == "keys") return Role::key;
  if (word == "value" || word == "values") return Role::value;
  return std::nullopt;
}

/// A layer number has at most 6 digits; a longer run of digits is something else.
std::optional<Index> layer_number(std::string_view digits) {
  Index number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || digits.size() > 6 || error != std::errc() || end != digits.data() + digits.size() || number < 0)
    return std::nullopt;
  return number;
}

/// The number after a word such as "layers", or glued to it ("layer12"); else the first word that is a number.
std::optional<Index> layer_of(const std::vector<Word>& words) {
  constexpr std::array<std::string_view, 6> layer_words{"layers", "layer", "blocks", "block", "h", "l"};
  std::optional<Index> first_number;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i].lower;
    const std::size_t letters = std::min(word.find_first_of("0123456789"), word.size());
    const bool is_layer_word = std::find(layer_words.begin(), layer_words.end(), word.substr(0, letters)) != layer_words.end();
    if (is_layer_word) {
      const auto glued = layer_number(word.substr(letters));
      if (glued) return glued;
      if (letters == word.size() && i + 1 < words.size()) {
        if (const auto next = layer_number(words[i + 1].lower)) return next;
      }
    }
    if (!first_number) first_number = layer_number(word);
  }
  return first_number;
}

}  // namespace

std::string_view name_of(Role role) {
  switch (role) {
    case Role::query:
      return "query";
    case Role::key:
      return "key";
    case Role::value:
      return "value";
  }
  return "";
}

bool names_a_parameter(std::string_view name) {
  const std::vector<Word> words = words_of(name);
  return !words.empty() && (words.back().lower == "weight" || words.back().lower == "bias");
}

bool names_attention(std::string_view name) {
  constexpr std::array<std::string_view, 16> known{
      "attention", "attentions",  "attn",          "attns",   "att",    "score",    "scores",  "prob",
      "probs",     "probability", "probabilities", "weights", "matrix", "matrices", "pattern", "patterns"};
  const std::vector<Word> words = words_of(name);
  return std::any_of(words.begin(), words.end(),
                     [&](const Word& word) { return std::find(known.begin(), known.end(), word.lower) != known.end(); });
}

std::optional<ParsedName> parse_name(std::string_view name) {
  if (names_a_parameter(name)) return std::nullopt;
  const std::vector<Word> words = words_of(name);
  for (const auto role_of : {role_of_letter, role_of_word}) {
    const auto last =
        std::find_if(words.rbegin(), words.rend(), [&](const Word& word) { return role_of(word.lower).has_value(); });
    if (last == words.rend()) continue;
    const std::string group = fmt::format("{}*{}", name.substr(0, last->begin), name.substr(last->begin + last->lower.size()));
    return ParsedName{*role_of(last->lower), group, layer_of(words)};
  }
  return std::nullopt;
}

std::optional<PatternMatch> match_pattern(std::string_view pattern, std::string_view name) {
  constexpr std::string_view placeholder = "{L}";
  const std::size_t at = pattern.find(placeholder);
  if (at == std::string_view::npos) {
    if (name != pattern) return std::nullopt;
    return PatternMatch{layer_of(words_of(name))};
  }
  const std::string_view before = pattern.substr(0, at);
  const std::string_view after = pattern.substr(at + placeholder.size());
  if (name.size() < before.size() + after.size() || !name.starts_with(before) || !name.ends_with(after)) return std::nullopt;
  const auto layer = layer_number(name.substr(before.size(), name.size() - before.size() - after.size()));
  if (!layer) return std::nullopt;
  return PatternMatch{layer};
}

}  // namespace convbasis
