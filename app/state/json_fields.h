/// \file
/// Reading JSON that nobody vouches for: every field is checked, and an error names it, what was found and what would be right.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace convscope {

/// Parses a text with objects and arrays at most 16 deep. Throws FileError naming `file` and the place.
nlohmann::json parse_json(std::string_view text, const std::string& file);

/// The fields of one object. A missing field leaves the value as it is. All throw FileError. Keeps a reference to the JSON.
class JsonFields {
 public:
  /// The outermost object of a file.
  JsonFields(const nlohmann::json& object, std::string file) : JsonFields(object, std::move(file), "") {}

  bool has(const char* name) const { return object_.contains(name); }
  /// How many of the names there are.
  std::size_t count(std::initializer_list<const char*> names) const;
  /// Throws: "<file>: <this object> <problem>".
  [[noreturn]] void complain(const std::string& problem) const;

  /// Empty when it is missing.
  JsonFields object(const char* name) const;
  void read(const char* name, std::ptrdiff_t least, std::ptrdiff_t largest, std::ptrdiff_t& value) const;
  void read(const char* name, double least, double largest, double& value) const;
  void read(const char* name, std::uint64_t& value) const;
  void read(const char* name, bool& value) const;
  /// A string of 1 to 4096 bytes without control characters; empty when it is missing.
  std::string text(const char* name) const;
  /// One of some names.
  template <class Value, std::size_t size>
  void read(const char* name, const std::array<std::pair<std::string_view, Value>, size>& names, Value& value) const {
    const nlohmann::json* field = find(name);
    if (!field) return;
    std::string choices;
    for (const auto& [word, meaning] : names) {
      if (field->is_string() && *field->get_ptr<const std::string*>() == word) {
        value = meaning;
        return;
      }
      choices += (choices.empty() ? "" : ", ") + std::string(word);
    }
    wrong(name, *field, "one of " + choices);
  }
  /// A list of at most `most` strings of at most 4096 bytes each, without control characters.
  std::vector<std::string> strings(const char* name, std::size_t most) const;
  /// A list of at most `most` whole numbers, each from `least` to `largest` and above the one before.
  std::vector<std::ptrdiff_t> ascending(const char* name, std::size_t most, std::ptrdiff_t least, std::ptrdiff_t largest) const;

 private:
  JsonFields(const nlohmann::json& object, std::string file, std::string path);
  const nlohmann::json* find(const char* name) const;
  std::string path_of(const char* name) const;
  [[noreturn]] void wrong(const char* name, const nlohmann::json& found, const std::string& right) const;

  const nlohmann::json& object_;
  std::string file_;
  std::string path_;  ///< "view.window", empty for the outermost
};

}  // namespace convscope
