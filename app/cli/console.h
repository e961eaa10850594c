/// \file
/// What the verbs share when they print: text that is safe to show, aligned tables, JSON, and how results go to files.
#pragma once

#include "core/errors.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

/// Three significant digits in plain ASCII, so that they paste into a script: "0.983", "1.2e-06".
std::string three_digits(double value);
/// "640 B", "21.4 MB".
std::string bytes_text(double bytes);
/// The text with every control character replaced by '?': names in a file are the file's, and must not steer the terminal.
std::string printable(std::string_view text);

/// Prints "name   value" with the values aligned.
void print_field(std::string_view name, std::string_view value);

/// Rows of text under a heading, columns aligned: the first `left_columns` to the left, the others to the right.
class TextTable {
 public:
  TextTable(std::vector<std::string> heading, std::size_t left_columns);
  void add(std::vector<std::string> row);
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::size_t left_columns_;
};

/// One JSON value on standard output. Numbers that are not finite become null; bytes that are not UTF-8 become U+FFFD.
void print_json(const nlohmann::ordered_json& value);

/// Throws InvalidArgument when `path` cannot become a file because its folder is missing or it is a folder itself:
/// asked before the work, so that nobody waits for a result that has nowhere to go.
void require_writable_place(std::string_view option, const std::filesystem::path& path);

/// Calls `write` and passes its FileError on as a plain Error: a result that cannot be written is failed work (exit code 1),
/// not a bad input file (3).
template <class Write>
void write_result(const Write& write) {
  try {
    write();
  } catch (const convbasis::FileError& error) {
    throw convbasis::Error(error.what());
  }
}

}  // namespace convscope
