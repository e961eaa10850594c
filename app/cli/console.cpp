#include "cli/console.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace convscope {

std::string three_digits(double value) { return fmt::format("{:.3g}", value); }

std::string bytes_text(double bytes) {
  if (bytes < 1e3) return fmt::format("{:.0f} B", bytes);
  if (bytes < 999.5e3) return fmt::format("{:.3g} kB", 1e-3 * bytes);
  if (bytes < 999.5e6) return fmt::format("{:.3g} MB", 1e-6 * bytes);
  return fmt::format("{:.3g} GB", 1e-9 * bytes);
}

std::string printable(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20 || code == 0x7f) c = '?';
  }
  return result;
}

void print_field(std::string_view name, std::string_view value) { fmt::print("{:<22}{}\n", name, value); }

TextTable::TextTable(std::vector<std::string> heading, std::size_t left_columns) : left_columns_(left_columns) {
  rows_.push_back(std::move(heading));
}

void TextTable::add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

void TextTable::print() const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t column = 0; column < row.size(); ++column) widths[column] = std::max(widths[column], row[column].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      line += column < left_columns_ ? fmt::format("{:<{}}  ", row[column], widths[column])
                                     : fmt::format("{:>{}}  ", row[column], widths[column]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }
}

void print_json(const nlohmann::ordered_json& value) {
  fmt::print("{}\n", value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void require_writable_place(std::string_view option, const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    throw convbasis::InvalidArgument(
        fmt::format("{} {}: there is no folder {}; name a file in an existing folder", option, path.string(), folder.string()));
  }
  if (!path.has_filename() || std::filesystem::is_directory(path, ignored)) {
    throw convbasis::InvalidArgument(fmt::format("{} {}: this is a folder; name a file", option, path.string()));
  }
}

}  // namespace convscope
