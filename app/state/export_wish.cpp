#include "state/export_wish.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace convscope {

namespace fs = std::filesystem;

namespace {

constexpr std::array picture_formats{ExportFormat::png};
constexpr std::array list_formats{ExportFormat::csv};
constexpr std::array matrix_formats{ExportFormat::csv, ExportFormat::npy};
constexpr std::array report_formats{ExportFormat::html};
constexpr std::array all_formats{ExportFormat::png, ExportFormat::csv, ExportFormat::npy, ExportFormat::html};

std::string for_file_name(std::string text) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_'; };
  std::ranges::replace_if(
      text, [&](char c) { return !plain(static_cast<unsigned char>(c)); }, '-');
  const auto first = text.find_first_not_of(".-");
  return first == std::string::npos ? "" : text.substr(first, 80);
}

}  // namespace

const char* name_of(ExportItem item) {
  constexpr std::array names{
      "three maps",  "exact map", "approximation map", "residual map", "basis plot",   "error plot", "map values",
      "lag vectors", "starts",    "row errors",        "output",       "exact output", "report"};
  return names[static_cast<std::size_t>(item)];
}

const char* name_of(ExportFormat format) {
  constexpr std::array names{"png", "csv", "npy", "html"};
  return names[static_cast<std::size_t>(format)];
}

std::span<const ExportFormat> formats_of(ExportItem item) {
  switch (item) {
    case ExportItem::three_maps:
    case ExportItem::exact_map:
    case ExportItem::approximation_map:
    case ExportItem::residual_map:
    case ExportItem::basis_plot:
    case ExportItem::error_plot:
      return picture_formats;
    case ExportItem::starts:
    case ExportItem::row_errors:
      return list_formats;
    case ExportItem::map_values:
    case ExportItem::lag_vectors:
    case ExportItem::output:
    case ExportItem::exact_output:
      return matrix_formats;
    case ExportItem::report:
      return report_formats;
  }
  return picture_formats;
}

std::string suggested_name(const Provenance& provenance, const ExportWish& wish) {
  std::string name = for_file_name(fs::path(provenance.name).stem().string());
  if (name.empty()) name = "head";
  return fmt::format("{}-L{}-H{}-{}.{}", name, provenance.layer, provenance.head, for_file_name(name_of(wish.item)),
                     name_of(wish.format));
}

fs::path with_ending(fs::path path, ExportFormat format) {
  std::string ending = path.extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool is_ours =
      std::ranges::any_of(all_formats, [&](ExportFormat known) { return ending == std::string(".") + name_of(known); });
  if (ending == std::string(".") + name_of(format)) return path;
  // "head-L18.5" is a name with a dot, not with an ending.
  if (!is_ours) return path += std::string(".") + name_of(format);
  return path.replace_extension(name_of(format));
}

std::string problem_of(const ExportWish& wish) {
  if (wish.path.empty()) return "Give the path of a file to write.";
  std::error_code error;
  if (fs::is_directory(wish.path, error)) return fmt::format("{} is a folder; give the path of a file.", wish.path.string());
  const fs::path folder = wish.path.has_parent_path() ? wish.path.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, error)) return fmt::format("The folder {} does not exist.", folder.string());
  return "";
}

}  // namespace convscope
