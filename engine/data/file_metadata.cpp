#include "data/file_metadata.h"

#include "core/errors.h"
#include "data/untrusted.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace convbasis {
namespace {

constexpr double longest_window = 1e15;  ///< whole numbers are exact below

using Files = std::vector<std::unique_ptr<TensorFile>>;

/// An entry and the file that has it; nullptr when none has.
struct Entry {
  const TensorFile* file = nullptr;
  std::string text;

  [[noreturn]] void fail(const std::string& problem) const { throw FileError(file->path().string(), problem); }
};

Entry find_entry(const Files& files, const std::string& name) {
  for (const auto& file : files) {
    const auto found = file->metadata().find(name);
    if (found != file->metadata().end()) return {file.get(), found->second};
  }
  return {};
}

std::optional<double> finite_number(const std::string& text) {
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

/// A JSON object of numbers under layer numbers; nothing when the text is something else.
std::optional<std::map<Index, double>> numbers_by_layer(const std::string& text) {
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  std::map<Index, double> numbers;
  for (const auto& [key, value] : object.items()) {
    Index layer = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), layer);
    if (error != std::errc() || end != key.data() + key.size() || layer < 0) return std::nullopt;
    if (!value.is_number() || !std::isfinite(value.get<double>())) return std::nullopt;
    numbers[layer] = value.get<double>();
  }
  return numbers;
}

NumbersByLayer read_scale(const Files& files) {
  const Entry entry = find_entry(files, "scale");
  if (entry.file == nullptr) return {};
  if (const auto number = finite_number(entry.text)) return {number, {}};
  if (const auto numbers = numbers_by_layer(entry.text)) return {std::nullopt, *numbers};
  entry.fail(fmt::format("metadata \"scale\" is {}; expected a finite number, or a JSON object of them by layer",
                         in_quotes(entry.text)));
}

std::map<Index, Index> read_windows(const Files& files) {
  const Entry entry = find_entry(files, "sliding_window");
  if (entry.file == nullptr) return {};
  const auto numbers = numbers_by_layer(entry.text);
  const auto is_window = [](const auto& item) {
    return item.second >= 1.0 && item.second <= longest_window && std::floor(item.second) == item.second;
  };
  if (!numbers || !std::all_of(numbers->begin(), numbers->end(), is_window)) {
    entry.fail(
        fmt::format("metadata \"sliding_window\" is {}; expected a JSON object of token counts, at least 1, by layer, such "
                    "as {{\"0\": 4096}}",
                    in_quotes(entry.text)));
  }
  std::map<Index, Index> windows;
  for (const auto& [layer, tokens] : *numbers) windows[layer] = static_cast<Index>(tokens);
  return windows;
}

std::vector<std::string> read_tokens(const Entry& entry) {
  if (entry.file == nullptr) return {};
  const nlohmann::json list = nlohmann::json::parse(entry.text, nullptr, false);
  const auto is_text = [](const nlohmann::json& item) { return item.is_string(); };
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_text)) {
    entry.fail("metadata \"tokens\" is no JSON list of texts");
  }
  return list.get<std::vector<std::string>>();
}

}  // namespace

FileMetadata read_metadata(const Files& files) {
  const Entry tokens = find_entry(files, "tokens");
  return {read_scale(files), read_windows(files), read_tokens(tokens), find_entry(files, "model").text,
          tokens.file == nullptr ? "" : tokens.file->path().string()};
}

}  // namespace convbasis
